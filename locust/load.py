"""`make load`: runs the load test headless and writes a table, HTML and CSV; exit status 1 if a threshold is missed.

With --host it tests a running service (its key in API_KEY). Without --host it starts a real Milvus server with two
collections and image-search, checks that the memory of every process stays constant, and shows what the slowest
searches waited for. Every option that is not listed here is one of Locust's or of the locustfile (--p95-ms, --p99-ms,
--max-errors, --min-answered, --arrivals, --collections, --top-ks, --selfies).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.memory_watch import Growth, MemoryWatch, growths
from bench.processes import costs
from bench.rig import rig
from bench.slowest import searches_in, table_of, write_picture
from bentos.config.settings import SettingsError
from bentos.demo.process import DidNotStart

_HERE = Path(__file__).parent
_EVERY_STAGE = {"SLOW_REQUEST_S": "0"}
"""So that every search is logged with its stages."""


def main() -> int:
    """Run the command line. Returns the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started processes are stopped
    options, others = _parser().parse_known_args()
    options.reports.mkdir(parents=True, exist_ok=True)
    if options.host:
        return _locust(options.host, options, others, {})
    try:
        return _on_this_machine(options, others)
    except (DidNotStart, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1


def _on_this_machine(options: argparse.Namespace, others: Sequence[str]) -> int:
    print("... starting Milvus and image-search", file=sys.stderr, flush=True)
    log = options.reports / "load-service.log"
    with (
        tempfile.TemporaryDirectory(prefix="face-search-load-") as folder,
        rig(Path(folder), photos=options.photos, indexed=options.full, settings=_EVERY_STAGE) as running,
    ):
        try:
            with MemoryWatch(costs) as watch:
                status = _locust(running.url, options, others, running.environment)
        finally:
            shutil.copy(Path(folder) / "service.log", log)
    print(_memory_table(growths(watch.samples)))
    _show_slowest(log, options.reports / "load-slowest.png")
    return status


def _locust(
    host: str, options: argparse.Namespace, others: Sequence[str], environment: Mapping[str, str]
) -> int:
    prefix = options.reports / "load"
    # The program, not `-m locust`, which in the project's root would run this folder.
    program = str(Path(sys.executable).with_name("locust"))
    command = [program, "-f", str(_HERE / "locustfile.py"), "--headless", "-u", "1", "--only-summary"]
    command += ["--host", host, "-t", options.duration, "--rps", str(options.rps)]
    command += ["--html", f"{prefix}.html", "--csv", str(prefix), *others]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def _show_slowest(log: Path, picture: Path) -> None:
    with log.open(encoding="utf-8", errors="replace") as lines:
        searches = list(searches_in(lines))
    if searches:
        write_picture(searches, picture)
        print(f"\n{table_of(searches)}\n\n{picture}")


def _memory_table(found: Sequence[Growth]) -> str:
    lines = [f"\n{'process':<22}{'settled MB':>12}{'at the end':>12}{'growth':>9}"]
    lines += [
        f"{each.role:<22}{each.settled_mb:>12.0f}{each.last_mb:>12.0f}{each.share:>9.1%}" for each in found
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--host", default="", help="address of a running service, https://... (default: start one)")
    add("--rps", type=float, default=100.0, help="requests per second (100)")
    add("--duration", default="5m", help="duration in Locust's format: 30s, 5m (5m)")
    add(
        "--photos",
        type=int,
        default=5000,
        help="without --host: photos in each of the two collections (5000)",
    )
    add(
        "--full",
        action="store_true",
        help="without --host: index real photos instead of filling in vectors; takes long",
    )
    add("--reports", type=Path, default=Path("reports"), help="folder of the reports (reports)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
