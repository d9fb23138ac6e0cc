"""Tests that an outage of a store can be seen in the log, with the reason, and in the metrics.

With `-s` each test prints the lines that docs/operations.md quotes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.demo.process import RunningService
from tests.system.real.stack import Api, Stack, eventually

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Outage:
    """A stopped store and a request that needs it; `operation`: the call to the store."""

    dependency: str
    operation: str
    route: str
    server: Any
    service: RunningService
    name: str
    request: Callable[[], httpx.Response]

    def series(self, outcome: str) -> str:
        labels = f'dependency="{self.dependency}",operation="{self.operation}",outcome="{outcome}"'
        return f"face_search_dependency_calls_total{{{labels}}}"

    def errors(self) -> str:
        labels = f'code="dependency_unavailable",route="{self.route}",service="{self.name}"'
        return f"face_search_errors_total{{{labels}}}"

    def all_dependencies_answer(self) -> bool:
        up = [
            value for name, value in self.metrics().items() if name.startswith("face_search_dependency_up{")
        ]
        return len(up) > 0 and all(up)

    def metrics(self) -> dict[str, float]:
        lines = httpx.get(f"{self.service.url}/metrics").text.splitlines()
        values = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {series: float(value) for series, _, value in values}


@pytest.fixture(params=["milvus", "postgrest", "object_store"])
def outage(request: pytest.FixtureRequest, stack: Stack, api: Api, astronaut: bytes, selfie: bytes) -> Outage:
    servers = stack.servers
    if request.param == "milvus":
        needs, search = lambda: api.search(selfie), "image-search"
        return Outage("milvus", "nearest", "/search/", servers.milvus, stack.search, search, needs)
    vectorizer = "image-vectorizer"
    if request.param == "postgrest":
        operation, route = "list_photos", "/embed_status/"
        return Outage(
            "postgrest", operation, route, servers.postgrest, stack.vectorizer, vectorizer, api.status
        )
    fresh = f"seen-{uuid.uuid4().hex[:8]}"
    uploads = lambda: api.detect(astronaut, collection_id=fresh)  # noqa: E731
    return Outage("object_store", "put", "/detect_faces/", servers.s3, stack.vectorizer, vectorizer, uploads)


def test_the_log_and_the_metrics_name_the_stopped_store_and_the_reason(outage: Outage) -> None:
    eventually(outage.all_dependencies_answer, "every store answers")
    assert outage.request().status_code == 200
    before = outage.metrics()
    outage.server.stop()
    try:
        answers = [outage.request() for _ in range(3)]
        during = outage.metrics()
    finally:
        outage.server.start()
    assert [answer.status_code for answer in answers] == [503] * 3

    for answer in answers:
        (line,) = _lines(outage.service.log, answer.headers["x-request-id"])
        assert (line["level"], line["status"], line["route"]) == ("warning", 503, outage.route)
        assert (line["error"], line["dependency"]) == ("dependency_unavailable", outage.dependency)
        assert line["reason"] == answer.json()["message"]
        assert line["reason"].startswith(f"{outage.dependency} is not available: ")
    print("\n" + json.dumps(line))
    for series in sorted(during):
        if series.startswith("face_search_") and "_total" in series and _growth(before, during, series):
            print(f"{series} +{_growth(before, during, series):g}")

    assert _growth(before, during, outage.series("unavailable")) >= 3
    assert _growth(before, during, outage.series("ok")) == 0
    assert _growth(before, during, outage.errors()) == 3
    others = {"milvus", "postgrest", "object_store", "runner"} - {outage.dependency}
    for series in during:
        if 'outcome="unavailable"' in series and any(f'dependency="{other}"' in series for other in others):
            assert _growth(before, during, series) == 0, "no other store is reported"

    eventually(lambda: outage.request().status_code == 200, f"{outage.dependency} is back")
    assert _growth(during, outage.metrics(), outage.series("ok")) >= 1


def _lines(log: Path, request_id: str) -> list[dict[str, Any]]:
    """The access log's lines of one request."""
    with log.open(errors="replace") as lines:
        ours = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in ours if line["request_id"] == request_id and line["message"] == "request"]


def _growth(before: dict[str, float], after: dict[str, float], series: str) -> float:
    return after.get(series, 0) - before.get(series, 0)
