"""Tests of the metrics of the base: photos by status, the result of the last audit, and failures to read them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from bentos.config.settings import Settings
from bentos.domain.errors import DependencyUnavailable
from bentos.pipeline.extraction import Extraction
from bentos.stores.records import Overview
from bentos.stores.sqlite.store import SqliteMetadataStore
from tests.http.conftest import Api, serving_in_process

_INTERVAL_S = 0.05


@pytest_asyncio.fixture
async def quick(environment: Callable[..., Settings], extraction: Extraction) -> AsyncIterator[Api]:
    """The service with a short interval."""
    async with serving_in_process(environment(overview_interval_s=_INTERVAL_S), extraction) as client:
        yield Api(client)


async def test_photos_are_counted_by_their_status(quick: Api, astronaut: bytes, coffee_cup: bytes) -> None:
    await quick.index(astronaut)
    await quick.detect(coffee_cup)
    await _eventually(quick, 'face_search_photos{service="face-search",status="indexed"} 1.0')
    await _eventually(quick, 'face_search_photos{service="face-search",status="no_faces"} 1.0')


async def test_the_result_of_an_audit_is_exported_from_then_on(
    quick: Api, environment: Callable[..., Settings]
) -> None:
    name = "face_search_audit_finished_timestamp_seconds"
    store = SqliteMetadataStore(_path(environment()))
    await store.open()
    await store.record_audit(photos=1, differences={"stale_vector": 2, "half_removed": 0})
    await _eventually(quick, 'face_search_audit_differences{kind="stale_vector",service="face-search"} 2.0')
    finished = await store.overview()
    assert finished.audit is not None
    text = (await quick.client.get("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    assert float(line.rpartition(" ")[2]) == pytest.approx(finished.audit.finished_at.timestamp(), abs=1)
    await store.record_audit(photos=1, differences={"half_removed": 0})
    await _eventually(quick, 'kind="stale_vector"', absent=True)
    await store.close()


@pytest.mark.parametrize("error", [DependencyUnavailable("postgrest", "no right"), ZeroDivisionError()])
async def test_a_failure_is_logged_once_and_the_next_success_is_exported(
    quick: Api,
    astronaut: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    calls: list[int] = []

    async def failing(_: SqliteMetadataStore) -> Overview:
        calls.append(1)
        raise error

    logger = logging.getLogger("bentos")
    monkeypatch.setattr(logger, "propagate", True)
    with monkeypatch.context() as patched, caplog.at_level("WARNING", logger="bentos"):
        patched.setattr(SqliteMetadataStore, "overview", failing)
        while len(calls) < 3:
            await asyncio.sleep(_INTERVAL_S)
    said = {record.created for record in caplog.records if "not up to date" in record.getMessage()}
    assert len(said) == 1
    await quick.index(astronaut)
    await _eventually(quick, 'face_search_photos{service="face-search",status="indexed"} 1.0')


def _path(settings: Settings) -> Path:
    return Path(settings.postgrest_url.removeprefix("sqlite:///"))


async def _eventually(api: Api, line: str, *, absent: bool = False) -> None:
    async with asyncio.timeout(30):
        while (line in (await api.client.get("/metrics")).text) is absent:
            await asyncio.sleep(_INTERVAL_S)
