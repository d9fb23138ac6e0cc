"""`make bench`: measures how many searches per second this machine answers, as a share of its ceiling.

Starts a real Milvus server with two collections and image-search, and loads it with 4, 8 and 16 clients. Before and
after, it calls the same pipeline directly, which gives the ceiling. Compared figures are measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import baseline_report, gpu
from bench.capacity_report import Capacity, text_of, write_json, write_plot
from bench.ceiling import Ceiling, mean_of, measure_ceiling
from bench.level import Load, measure_level
from bench.rig import rig
from bench.selfie_pool import DEFAULT_FOLDER, selfie_pool, size_of
from bench.settings_of import settings_of
from bench.side_by_side import compare
from bentos.config.settings import SettingsError
from bentos.demo.process import DidNotStart
from bentos.runner.cpus import available_cpus
from seed.face_images import DEFAULT_SIZE


def main() -> int:
    """Run the command line. Returns the exit status: 1 when a search failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started processes are stopped
    if "--gpu" in sys.argv:
        return gpu.main([each for each in sys.argv[1:] if each != "--gpu"])
    options = _parser().parse_args()
    environment = {"DETECTION_SIZE": str(options.detection_size)} if options.detection_size else {}
    options.reports.mkdir(parents=True, exist_ok=True)
    try:
        if options.baseline:
            return _beside_the_baseline(options, environment)
        capacity = _measure(options, environment)
    except (DidNotStart, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    write_json(capacity, options.reports / "capacity.json")
    write_plot(capacity, options.reports / "capacity.png")
    print(text_of(capacity))
    print(f"\n{options.reports}/capacity.json, {options.reports}/capacity.png")
    return 1 if capacity.failures else 0


def _measure(options: argparse.Namespace, environment: Mapping[str, str]) -> Capacity:
    jpegs = selfie_pool(DEFAULT_FOLDER, count=options.selfies, size=options.image_size)
    load = Load(DEFAULT_FOLDER / "{}x{}".format(*options.image_size), options.top_k, options.seconds)
    settings = settings_of(environment)

    def ceiling() -> Ceiling:
        _say(f"ceiling: {available_cpus()} processes, {options.seconds:g} s")
        return measure_ceiling(jpegs, settings, processes=available_cpus(), seconds=options.seconds)

    ceilings = [ceiling()]
    levels = []
    with tempfile.TemporaryDirectory(prefix="face-search-bench-") as folder:
        _say("starting Milvus and image-search")
        with rig(Path(folder), photos=options.photos, indexed=options.full, settings=environment) as running:
            for clients in options.clients or (4, 8, 16):
                _say(f"{clients} clients, {options.seconds:g} s")
                levels.append(measure_level(running.url, running.environment, load, clients=clients))
        shutil.copy(Path(folder) / "service.log", options.reports / "capacity-service.log")
    ceilings.append(ceiling())
    return Capacity(_conditions(options), mean_of(ceilings), [each.rps for each in ceilings], levels)


def _beside_the_baseline(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Compare image-search with the plain service. Returns the exit status."""
    comparison = compare(
        selfie_pool(DEFAULT_FOLDER, count=options.selfies, size=options.image_size),
        clients=options.clients or (8, 16),
        rounds=options.rounds,
        seconds=options.seconds,
        top_k=options.top_k,
        photos=options.photos,
        environment=environment,
    )
    baseline_report.write_json(comparison, options.reports / "baseline.json")
    print(baseline_report.text_of(comparison))
    print(f"\n{options.reports}/baseline.json")
    return 1 if comparison.failures else 0


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "cpus": available_cpus(),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "detection_size": options.detection_size or "default",
        "image_size": "{}x{}".format(*options.image_size),
        "top_k": options.top_k,
        "photos": 2 * options.photos,
        "indexed": options.full,
        "seconds": options.seconds,
        "load_average_at_end": os.getloadavg()[0],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=10.0, help="seconds of each measurement (10)")
    add(
        "--clients",
        type=int,
        nargs="+",
        help="numbers of clients to measure with (4 8 16; with --baseline 8 16)",
    )
    add("--gpu", action="store_true", help="measure the runner over batches (bench/gpu.py; --gpu --help)")
    add("--baseline", action="store_true", help="measure in turns with a plain service (bench/baseline.py)")
    add("--rounds", type=int, default=3, help="with --baseline: how many times each is measured (3)")
    add("--detection-size", type=int, help="side of the detector's input (default: that of the settings)")
    add("--image-size", type=size_of, default=DEFAULT_SIZE, help="width and height of the selfies (480x640)")
    add("--top-k", type=int, nargs="+", default=[10, 50], help="values of top_k, used in turn (10 50)")
    add("--photos", type=int, default=5000, help="photos in each of the two collections (5000)")
    add("--selfies", type=int, default=300, help="number of different selfies, used in turn (300)")
    add(
        "--full",
        action="store_true",
        help="index real photos; by default vectors are filled in, which is faster",
    )
    add("--reports", type=Path, default=Path("reports"), help="folder of the JSON and the plot (reports)")
    return parser


def _say(line: str) -> None:
    print(f"... {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
