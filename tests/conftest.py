"""Fixtures for all tests: the real servers, each started once per run and only when a test needs it."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from bentos.stores.s3.store import S3Options

# The same inputs in every run, so that a change fails for what it changed; HYPOTHESIS_PROFILE=default draws new ones.
hypothesis_settings.register_profile("repeatable", derandomize=True, database=None)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A shell that starts a command in the background makes it ignore SIGINT, and child processes inherit that: without this
# line the processes that the tests start could not be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)


_LONGEST_FIRST = ("system/real", "system", "rollout", "swap", "web", "bulk", "http")
"""Folders whose files take longest. Run last, they would keep one process busy while the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders of `_LONGEST_FIRST`."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.relative_to(here).as_posix()
        return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _log_reaches_caplog(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what an earlier service of this process did: `configure_logging` sets a level and stops propagation."""
    logger = logging.getLogger("bentos")
    level = logger.level
    monkeypatch.setattr(logger, "propagate", True)
    logger.setLevel(logging.NOTSET)
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def milvus_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Milvus server: the one that MILVUS_TEST_URI names, else one that is started here."""
    from bentos.demo.servers.milvus import milvus_server

    if given := os.environ.get("MILVUS_TEST_URI"):
        yield given
        return
    with milvus_server(tmp_path_factory.mktemp("milvus")) as uri:
        yield uri


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A real PostgreSQL server with the project's schema: a superuser's connection string."""
    from bentos.demo.servers.postgres import postgres_server

    # Not in pytest's folder: pytest makes it private, and PostgreSQL runs as another user when root starts it.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, postgres_server(Path(folder)) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def postgrest_url(postgres_dsn: str) -> Iterator[str]:
    """The URL of PostgREST for that PostgreSQL: the binary that POSTGREST_BIN names, else the stand-in."""
    from bentos.demo.servers.postgrest import postgrest_server

    with postgrest_server(postgres_dsn) as url:
        yield url


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server that is started here; bucket `photos`, keys from `bentos.demo.servers.s3`."""
    from bentos.demo.servers.s3 import s3_server

    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture(scope="session")
def bucket(request: pytest.FixtureRequest) -> Iterator[S3Options]:
    """A bucket with a prefix for this run: on the server that S3_TEST_* name, else on `s3_endpoint`."""
    from tests.object_store import bucket_of_the_tests

    with bucket_of_the_tests(lambda: request.getfixturevalue("s3_endpoint")) as options:
        yield options


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path


@pytest.fixture(scope="session")
def pack_folder() -> Path:
    """The default face pack, assembled by `make test` before the tests run."""
    from bentos.pipeline.pack_store import face_pack_folder

    return face_pack_folder("yunet-mbf")


@pytest.fixture(scope="session")
def extraction(pack_folder: Path):
    """The pipeline with the default face pack."""
    from bentos.config.settings import Settings
    from bentos.runner.local import extraction_of

    return extraction_of(pack_folder, Settings())


@pytest.fixture(scope="session")
def finder(extraction):
    """The pipeline as a `FaceFinder`."""
    from bentos.runner.local import LocalFaceFinder

    return LocalFaceFinder(extraction)
