"""`make bench ARGS=--baseline`: image-search in turns with the plain service of `baseline.py`, and the bare pipeline.

Both services run with the same Milvus, the same face pack and as many worker processes as there are CPUs; one is loaded
at a time. Only selfies in which the bare pipeline finds the face are sent, so that neither answers an error instead.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.bare_pipeline import BarePipeline
from bench.baseline_report import Comparison, Round
from bench.ceiling import Ceiling, measure_ceiling
from bench.level import Load, measure_level
from bench.rig import rig
from bench.settings_of import settings_of
from bentos.config.settings import Settings
from bentos.demo.process import free_port, launched_program, wait_until_ready
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.cpus import available_cpus

_ROOT = Path(__file__).parents[2]


def compare(
    jpegs: Sequence[bytes],
    *,
    clients: Sequence[int],
    rounds: int,
    seconds: float,
    top_k: Sequence[int],
    photos: int,
    environment: Mapping[str, str],
) -> Comparison:
    """Measure both services in turns, `rounds` times, with each number of clients."""
    settings = settings_of(environment)
    measured = []
    with tempfile.TemporaryDirectory(prefix="face-search-bench-") as name:
        folder = Path(name)
        usable = _store_usable(jpegs, settings, folder / "selfies")
        load = Load(folder / "selfies", top_k, seconds)
        _say("starting Milvus, image-search and the plain service")
        with (
            rig(folder, photos=photos, indexed=False, settings=environment) as ours,
            plain_service(ours.environment, log=folder / "plain.log") as plain,
        ):
            for number in range(1, rounds + 1):
                _say(f"round {number} of {rounds}")
                bare = _bare(usable, settings, seconds)
                levels = {
                    count: (
                        measure_level(ours.url, ours.environment, load, clients=count),
                        measure_level(plain, ours.environment, load, clients=count, has_stages=False),
                    )
                    for count in clients
                }
                measured.append(Round(bare, levels))
    return Comparison(measured, selfies=len(usable))


@contextmanager
def plain_service(environment: Mapping[str, str], *, log: Path) -> Iterator[str]:
    """Run the plain service with as many workers as there are CPUs, and return its URL. Raises `DidNotStart`."""
    settings = settings_of(environment)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.baseline:app", "--port", str(port)]
    command += ["--workers", str(available_cpus()), "--loop", "uvloop", "--http", "httptools"]
    more = {
        **environment,
        "BASELINE_FACE_PACK": str(face_pack_folder(settings.face_pack)),
        "BASELINE_COLLECTION": settings.milvus_collection,
        "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'locust'}",
    }
    with launched_program([*command, "--no-access-log"], more, log=log, port=port) as service:
        wait_until_ready(service)
        yield service.url


def _store_usable(jpegs: Sequence[bytes], settings: Settings, folder: Path) -> list[bytes]:
    """The JPEGs in which the bare pipeline finds one face, which are also written to `folder`."""
    bare = BarePipeline(face_pack_folder(settings.face_pack))
    usable = [jpeg for jpeg in jpegs if bare.embed(jpeg) is not None]
    folder.mkdir()
    for number, jpeg in enumerate(usable):
        (folder / f"{number:04d}.jpg").write_bytes(jpeg)
    return usable


def _bare(jpegs: Sequence[bytes], settings: Settings, seconds: float) -> Ceiling:
    return measure_ceiling(jpegs, settings, processes=available_cpus(), seconds=seconds, work="bare")


def _say(line: str) -> None:
    print(f"... {line}", file=sys.stderr, flush=True)
