"""Tests of the command `python -m bentos.reembed` on embedded stores, from the default pack to a rotated one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from bentos.composition import Dependencies
from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.demo.embedded import embedded_environment
from bentos.demo.process import free_port
from bentos.pipeline.pack_info import PackInfo
from bentos.reembed.__main__ import main
from bentos.runner.local import LocalFaceFinder
from bentos.vectorizer.wiring import indexing_of
from tests.swap.packs import NEW, ROOT, model_home

KEY = "0123456789abcdef-key-of-the-tests"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with both packs."""
    return model_home(tmp_path_factory.mktemp("packs"))


class Base:
    """Embedded stores with three faces of the default pack, and the command for them."""

    def __init__(self, environment: dict[str, str], finder: LocalFaceFinder, pack: PackInfo) -> None:
        self.environment = environment
        settings = Settings(**{name.lower(): value for name, value in environment.items()})
        self._dependencies: Callable[[], Dependencies] = lambda: Dependencies(settings, finder, pack)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Dependencies]:
        dependencies = self._dependencies()
        stores = (dependencies.metadata, dependencies.images, dependencies.vectors)
        for store in stores:
            await store.open()
        try:
            yield dependencies
        finally:
            for store in stores:
                await store.close()

    def start(self, *arguments: str, **changed: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bentos.reembed", "--processes", "1", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment, "FACE_PACK": NEW, **changed},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **changed: str) -> tuple[int, str]:
        """Exit status and output of the command in this process."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
            for name, value in {**self.environment, "FACE_PACK": NEW, **changed}.items():
                patch.setenv(name, value)
            return main(["--processes", "1", *arguments]), said.getvalue()


@pytest.fixture
async def base(tmp_path: Path, home: Path, finder: LocalFaceFinder, pack_folder: Path) -> Base:
    # BentoML reads its own variable once in a process; the folder of a running bento is read each time.
    environment = {**embedded_environment(tmp_path, KEY), "BENTO_PATH": str(home)}
    base = Base(environment, finder, PackInfo.read(pack_folder))
    async with base.opened() as dependencies:
        indexing, _ = indexing_of(dependencies)
        for n in range(3):
            photo = await indexing.detect_uploaded(
                photos.astronaut().read_bytes(), "image/png", photo_id=f"photo{n}", collection_id=None
            )
            await indexing.index_face(photo.faces[0].face_id, collection_id=None)
    return base


def test_a_dry_run_changes_nothing_and_the_change_is_made_once(base: Base) -> None:
    foretold = (
        "the vectors of 3 of 3 photos would be stored or removed\nthe alias 'faces' would move from faces_"
    )
    status, said = base.run("--dry-run")
    assert (status, said.startswith(foretold)) == (0, True), said

    status, said = base.run()
    assert status == 0, said
    assert "3 vectors stored and 0 removed" in said
    assert "run it again" in said

    status, said = base.run("--dry-run")
    assert said == "the vectors of 0 of 3 photos would be stored or removed\nthe alias 'faces' would stay\n"
    status, said = base.run("--remove-old")
    assert (status, "0 vectors stored" in said, "was dropped" in said) == (0, True, True), said


def test_faces_that_cannot_be_embedded_are_listed_and_the_status_is_1(base: Base) -> None:
    async def lose_an_image() -> None:
        async with base.opened() as dependencies:
            await dependencies.images.delete("photo1")

    asyncio.run(lose_an_image())
    status, said = base.run()
    assert status == 1, said
    assert "2 vectors stored" in said
    assert said.endswith("  photo photo1: its image is missing\n")


async def test_a_file_that_a_service_has_open_is_refused_at_once(base: Base) -> None:
    async with base.opened():
        process = base.start()
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "stop the service" in said


def test_a_missing_pack_or_one_with_another_dimension_is_refused(base: Base) -> None:
    assert base.run(FACE_PACK="nobody")[0] == 2
    status, said = base.run(EMBEDDING_DIM="128")
    assert (status, said.startswith("EMBEDDING_DIM is 128")) == (2, True), said


def test_a_stop_signal_ends_the_wait_for_a_store_with_a_message(base: Base) -> None:
    process = base.start(POSTGREST_URL=f"http://127.0.0.1:{free_port()}", POSTGREST_TOKEN="x")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("waiting: postgrest is not available")
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (
        2,
        "stopped; nothing is lost, run it again to go on",
    )
    assert time.monotonic() - begun < 30
