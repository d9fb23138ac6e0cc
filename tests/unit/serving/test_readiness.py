"""Tests readiness with real stores: opened again after any error, checked while open, outages logged once."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bentos.domain.errors import Dependency, DependencyUnavailable, NotReady
from bentos.serving import readiness
from bentos.serving.readiness import Readiness, Store
from bentos.stores.files import FilesStore
from bentos.stores.sqlite.store import SqliteMetadataStore

SECRET = "a-secret-that-no-output-may-hold"
SERVICE = "image-of-the-test"
CHECK_S = 0.01


class FailsAtFirst(FilesStore):
    """A folder whose `open` raises these errors, one per call, and then works."""

    def __init__(self, folder: Path, *errors: Exception) -> None:
        super().__init__(folder)
        self._errors = list(errors)

    async def open(self) -> None:
        if self._errors:
            raise self._errors.pop(0)
        await super().open()


class FailsLater(FilesStore):
    """A folder whose `check` raises `error` while there is one."""

    error: Exception | None = None

    async def check(self) -> None:
        if self.error is not None:
            raise self.error
        await super().check()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_FIRST_RETRY_S", CHECK_S)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The warnings and errors so far."""
    logger = logging.getLogger("bentos")
    before, logger.propagate = logger.propagate, True
    caplog.set_level(logging.INFO, "bentos")
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    logger.propagate = before


def readiness_of(store: Store, name: Dependency = "object_store") -> Readiness:
    return Readiness({name: store}, service=SERVICE, check_s=CHECK_S)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(CHECK_S)


def up(name: Dependency = "object_store") -> float | None:
    return REGISTRY.get_sample_value("face_search_dependency_up", {"service": SERVICE, "dependency": name})


async def test_a_store_is_opened_again_after_any_exception_and_each_reason_is_logged_once(
    folder: Path, logged: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    store = FailsAtFirst(
        folder / "images",
        ValueError(SECRET),
        ValueError(SECRET),
        DependencyUnavailable("object_store", "no answer within 5 s"),
        DependencyUnavailable("object_store", "no answer within 5 s"),
    )
    ready = readiness_of(store)
    async with ready.opened():
        await until(lambda: ready.not_ready() is None)
        await store.put("photo", b"image", "image/jpeg")
    assert logged() == [
        "object_store is not open yet: ValueError was not expected",
        "object_store is not open yet: object_store is not available: no answer within 5 s.",
    ]
    unexpected = caplog.records[0]
    assert "in open" in unexpected.fields["traceback"]  # type: ignore[attr-defined]
    assert SECRET not in str([record.__dict__ for record in caplog.records])


async def test_an_unexpected_exception_is_named_neither_to_probes_nor_to_callers(folder: Path) -> None:
    ready = readiness_of(FailsAtFirst(folder, *(ValueError(SECRET) for _ in range(1000))))
    async with ready.opened():
        await until(lambda: "expected" in str(ready.states()["object_store"]))
        assert ready.not_ready() == "object_store: not available"
        with pytest.raises(DependencyUnavailable) as refused:
            ready.require("object_store")
    for text in (refused.value.message, str(ready.states())):
        assert SECRET not in text
        assert "ValueError" not in text


async def test_the_probe_says_in_fixed_words_which_store_is_missing(folder: Path) -> None:
    missing = FailsAtFirst(folder, *(DependencyUnavailable("object_store", SECRET) for _ in range(1000)))
    wrong = FailsAtFirst(
        folder, *(NotReady(SECRET, summary="built with another face pack") for _ in range(1000))
    )
    stores: dict[Dependency, Store] = {
        "object_store": missing,
        "milvus": wrong,
        "postgrest": SqliteMetadataStore(folder / "metadata.db"),
    }
    ready = Readiness(stores, service=SERVICE, check_s=CHECK_S)
    assert ready.not_ready() == "; ".join(f"{name}: not available" for name in stores)
    async with ready.opened():
        await until(lambda: "pack" in str(ready.not_ready()) and "postgrest" not in str(ready.not_ready()))
        assert ready.not_ready() == "object_store: not available; milvus: built with another face pack"
        ready.require("postgrest")
        with pytest.raises(NotReady):
            ready.require("milvus")


async def test_an_outage_of_an_open_store_is_logged_once_and_measured_while_the_service_stays_ready(
    folder: Path, logged: Callable[[], list[str]]
) -> None:
    images = folder / "images"
    ready = readiness_of(FilesStore(images))
    assert up() == 0
    async with ready.opened():
        await until(lambda: ready.not_ready() is None)
        assert (up(), ready.states()) == (1, {"object_store": None})
        shutil.rmtree(images)
        await until(lambda: up() == 0)
        await asyncio.sleep(10 * CHECK_S)
        assert "does not exist" in str(ready.states()["object_store"])
        assert ready.not_ready() is None
        ready.require("object_store")
        assert not images.exists(), "a check creates nothing"
        images.mkdir()
        await until(lambda: up() == 1)
    outage, end = logged()
    assert outage.startswith("object_store does not answer: ")
    assert "does not exist" in outage
    assert end.startswith("object_store answers again after ")


async def test_a_check_that_fails_unexpectedly_is_an_outage_and_not_the_end_of_the_checks(
    folder: Path, logged: Callable[[], list[str]]
) -> None:
    store = FailsLater(folder)
    ready = readiness_of(store)
    async with ready.opened():
        await until(lambda: up() == 1)
        store.error = RuntimeError(SECRET)
        await until(lambda: up() == 0)
        store.error = None
        await until(lambda: up() == 1)
    assert logged()[0] == "object_store does not answer: RuntimeError was not expected"


async def test_a_base_that_becomes_wrong_makes_an_open_service_not_ready_until_it_is_right_again(
    folder: Path,
) -> None:
    store = FailsLater(folder)
    ready = readiness_of(store, "milvus")
    async with ready.opened():
        await until(lambda: ready.not_ready() is None)
        store.error = NotReady("another pack", summary="built with another face pack")
        await until(lambda: ready.not_ready() == "milvus: built with another face pack")
        with pytest.raises(NotReady):
            ready.require("milvus")
        store.error = None
        await until(lambda: ready.not_ready() is None)
        ready.require("milvus")


async def test_stopping_ends_the_attempts_at_once_and_closes_the_stores(folder: Path) -> None:
    waiting = asyncio.Event()

    class NeverAnswers(FilesStore):
        closed = False

        async def open(self) -> None:
            waiting.set()
            await asyncio.sleep(3600)

        async def close(self) -> None:
            self.closed = True

    store = NeverAnswers(folder)

    async def serve() -> None:
        async with readiness_of(store).opened():
            await asyncio.sleep(3600)

    service = asyncio.create_task(serve())
    await waiting.wait()
    service.cancel()
    async with asyncio.timeout(20):
        with suppress(asyncio.CancelledError):
            await service
    assert store.closed
