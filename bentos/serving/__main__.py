"""`python -m bentos.serving TARGET`: runs `bentoml serve TARGET`, drains it on SIGTERM, and logs JSON lines."""

from __future__ import annotations

import argparse
import os
import sys

from bentos.config.settings import SHUTDOWN_DELAY_S, SHUTDOWN_TIMEOUT_S
from bentos.serving.command import serve_command
from bentos.serving.drain import SETTLE_S
from bentos.serving.supervisor import Supervisor


def main() -> int:
    """Run the command line until the service has ended. Returns the exit status: 0 after an orderly end."""
    parser = argparse.ArgumentParser(prog="python -m bentos.serving", description=__doc__)
    parser.add_argument("target", help="a bento's folder or tag, or module:Service")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - a container is reached from outside
    parser.add_argument("--port", type=int, default=3000)
    options = parser.parse_args()
    command = serve_command(options.target, host=options.host, port=options.port)
    return Supervisor(command, leave_within_s=_leave_within_s()).run()


def _leave_within_s() -> float:
    """Longest time between SIGTERM and the end of the serving process, s."""
    delay = _seconds("SHUTDOWN_DELAY_S", SHUTDOWN_DELAY_S)
    return delay + SETTLE_S + _seconds("SHUTDOWN_TIMEOUT_S", SHUTDOWN_TIMEOUT_S)


def _seconds(name: str, default: float) -> float:
    try:
        return float(os.environ.get(name) or default)
    except ValueError:
        return default  # the service refuses to start, and says why


if __name__ == "__main__":
    sys.exit(main())
