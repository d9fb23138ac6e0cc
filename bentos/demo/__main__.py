"""`python -m bentos.demo`: indexes and searches real photos on embedded stores, and checks the answers.

`--serve` starts the service and keeps it running; `--real` uses real store servers.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from bentos.client import FaceSearch
from bentos.demo.embedded import SERVICE, embedded_environment
from bentos.demo.photos import astronaut
from bentos.demo.process import DidNotStart, RunningService, serving
from bentos.demo.real import run_on_real_servers
from bentos.demo.scenario import Scenario


def main() -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bentos.demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="start on embedded stores and run until Ctrl-C")
    parser.add_argument(
        "--data", type=Path, default=Path(".data"), help="with --serve: the folder for its data"
    )
    parser.add_argument(
        "--real",
        action="store_true",
        help="two services with Milvus, PostgreSQL and S3 servers (from a checkout)",
    )
    parser.add_argument("--port", type=int, help="default: a free port")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if options.real:
            return run_on_real_servers(_say)
        return _serve(options.data, options.port) if options.serve else _demo(options.port)
    except DidNotStart as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("\nstopped")
        return 0 if options.serve else 130


def _demo(port: int | None) -> int:
    with tempfile.TemporaryDirectory(prefix="face-search-demo-") as folder:
        environment = embedded_environment(Path(folder))
        _say("starting the service on embedded stores ...")
        with serving(SERVICE, environment, log=Path(folder) / "service.log", port=port) as service:
            _say(f"ready at {service.url}\n")
            with FaceSearch(service.url, environment["API_KEY"]) as client:
                right = Scenario(client, _say).run()
            if not right:
                _say(
                    f"\nan answer is wrong; the end of the service's log:\n{service.log.read_text()[-3000:]}"
                )
    _say("\nall answers are right" if right else "\nNOT all answers are right")
    return 0 if right else 1


def _serve(data: Path, port: int | None) -> int:
    environment = {**embedded_environment(data), "UI_ENABLED": "true"}
    _say(f"starting the service; its data folder is {data.resolve()} ...")
    with serving(SERVICE, environment, log=data / "service.log", port=port) as service:
        _say(_greeting(service, environment["API_KEY"]))
        return service.process.wait()


def _greeting(service: RunningService, key: str) -> str:
    return (
        f"ready at {service.url}, log in {service.log}\n"
        f"API key: {key}\n\n"
        f"open  {service.url}/ui/  in a browser; it asks for the key\n"
        f"try:  curl -H 'X-Api-Key: {key}' -F file=@{astronaut()} {service.url}/detect_faces/\n\n"
        "Ctrl-C stops it."
    )


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command-line program


if __name__ == "__main__":
    sys.exit(main())
