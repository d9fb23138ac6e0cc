"""Tests that the log line and the metrics of a failed request name the error, the dependency and the reason."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bentos.config.settings import Settings
from bentos.domain.errors import DependencyUnavailable
from bentos.pipeline.extraction import Extraction
from bentos.stores.milvus.store import MilvusVectorStore
from bentos.stores.sqlite.store import SqliteMetadataStore
from tests.http.conftest import Api, serving_in_process


async def _metrics(api: Api) -> dict[str, float]:
    """Each series and its value."""
    lines = (await api.client.get("/metrics")).text.splitlines()
    return {
        series: float(value)
        for series, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def _lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_an_outage_logs_one_warning_per_request_with_dependency_reason_and_request_id(
    api: Api, selfie: bytes, request_log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any, **__: Any) -> Any:
        raise DependencyUnavailable("milvus", "no connection to MILVUS_URI")

    before = await _metrics(api)
    monkeypatch.setattr(MilvusVectorStore, "nearest", unavailable)
    response = await api.search(selfie)
    assert response.status_code == 503
    (line,) = _lines(request_log)
    assert line["level"] == "warning"
    assert line["route"] == "/search/"
    assert line["error"] == "dependency_unavailable"
    assert line["dependency"] == "milvus"
    assert line["reason"] == "milvus is not available: no connection to MILVUS_URI."
    assert line["request_id"] == response.headers["x-request-id"]
    after = await _metrics(api)
    for series in (
        'face_search_dependency_calls_total{dependency="milvus",operation="nearest",outcome="unavailable"}',
        'face_search_errors_total{code="dependency_unavailable",route="/search/",service="face-search"}',
        'face_search_dependency_seconds_count{dependency="milvus",operation="nearest"}',
    ):
        assert after[series] - before.get(series, 0) == 1, series


async def test_a_bug_logs_one_error_with_its_traceback(
    api: Api, request_log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a bug")

    before = await _metrics(api)
    monkeypatch.setattr(SqliteMetadataStore, "list_photos", broken)
    assert (await api.client.get("/embed_status/")).status_code == 500
    (line,) = _lines(request_log)
    assert (line["level"], line["error"]) == ("error", "internal_error")
    assert "ZeroDivisionError: a bug" in line["traceback"]
    after = await _metrics(api)
    series = (
        'face_search_dependency_calls_total{dependency="postgrest",operation="list_photos",outcome="failed"}'
    )
    assert after[series] - before.get(series, 0) == 1


async def test_an_error_of_the_caller_is_logged_at_level_info_with_its_code(
    api: Api, coffee_cup: bytes, request_log: io.StringIO
) -> None:
    await api.search(coffee_cup)
    await api.search(b"no image")
    await api.client.get("/nowhere")
    await api.client.get("/ping", headers={"X-Api-Key": "wrong"})
    await api.client.delete("/remove/never-seen")
    assert [(line["level"], line["error"]) for line in _lines(request_log)] == [
        ("info", "no_faces_detected"),
        ("info", "invalid_image_format"),
        ("info", "not_found"),
        ("info", "invalid_api_key"),
        ("info", "photo_not_found"),
    ]
    metrics = await _metrics(api)
    refused = 'face_search_dependency_calls_total{dependency="postgrest",operation="begin_removal",outcome="refused"}'
    assert metrics[refused] >= 1, "an expected error is no outage"


async def test_a_successful_request_logs_no_error(api: Api, request_log: io.StringIO) -> None:
    await api.client.get("/ping")
    (line,) = _lines(request_log)
    assert line["level"] == "info"
    assert not {"error", "reason", "dependency"} & set(line)


@pytest.mark.parametrize(("slow_request_s", "is_slow"), [(0, True), (3600, False)])
async def test_a_slow_request_is_logged_with_the_time_of_each_stage(
    environment: Callable[..., Settings],
    extraction: Extraction,
    selfie: bytes,
    request_log: io.StringIO,
    slow_request_s: float,
    is_slow: bool,
) -> None:
    async with serving_in_process(environment(slow_request_s=slow_request_s), extraction) as client:
        await Api(client).search(selfie)
    (line,) = _lines(request_log)
    stages = line.get("stages_ms", {})
    assert bool(stages) == is_slow
    assert sum(stages.values()) <= line["ms"] + 1
    assert not is_slow or {"form", "milvus", "answer"} <= stages.keys()


async def test_no_label_of_a_metric_depends_on_values_that_callers_send(api: Api) -> None:
    async def series() -> set[str]:
        return {name for name in await _metrics(api) if name.startswith("face_search_")}

    async def ask(name: str) -> None:
        for response in (
            await api.client.delete(f"/remove/{name}"),
            await api.client.get(f"/{name}"),
            await api.client.get("/embed_status/", params={"collection_id": name}),
            await api.client.request(name.upper(), "/ping"),
            await api.client.get("/ping", headers={"X-Api-Key": name, "X-Request-Id": name}),
        ):
            assert isinstance(response, httpx.Response)

    await ask("first")
    known = await series()
    for number in range(20):
        await ask(f"other{number}")
    assert await series() == known
