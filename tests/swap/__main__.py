"""`python -m tests.swap`: changes to another face pack under traffic, on real stores, and kills the job twice."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from bentos.demo.servers.real import real_servers
from tests.swap.scenario import Swap
from tests.swap.traffic import Rates


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.swap", description=__doc__)
    add = parser.add_argument
    add("--photos", type=int, default=1000, help="photos indexed before the change")
    add("--searches", type=float, default=8, help="a second")
    add("--additions", type=float, default=1, help="a second")
    add("--removals", type=float, default=1, help="a second")
    add(
        "--linger",
        type=float,
        default=30,
        help="seconds during which both versions serve after the alias has moved",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started processes are stopped
    folder = Path(tempfile.mkdtemp(prefix="swap-check-"))
    folder.chmod(0o755)
    print(f"logs in {folder}\nstarting Milvus, PostgreSQL and the object store ...", flush=True)
    with real_servers(folder) as servers:
        swap = Swap(
            servers.environment(),
            folder,
            photos=options.photos,
            rates=Rates(options.searches, options.additions, options.removals),
            linger_s=options.linger,
            back=True,
            say=lambda line: print(line, flush=True),
        )
        outcome = asyncio.run(swap.run())
    counts = outcome.counts
    print(f"{len(counts.failed)} failed requests, {len(counts.wrong)} wrong answers; audit: {outcome.audit}")
    for line in (*counts.failed[:10], *counts.wrong[:10]):
        print(f"  {line}")
    passed = not counts.failed and not counts.wrong and outcome.audit.startswith("the three stores agree")
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
