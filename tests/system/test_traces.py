"""A service sends its last spans when it stops, and an unreachable collector changes nothing for its callers."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

import httpx
import pytest

from bentos.demo import photos
from bentos.demo.embedded import SERVICE
from tests.system.conftest import Live, running
from tests.trace_receiver import collecting

pytestmark = pytest.mark.system

NAMES = ["POST /detect_faces/", "PUT /add_face/", "POST /search/"]


def one_of_each(live: Live, trace_id: str) -> list[httpx.Response]:
    image = photos.astronaut().read_bytes()
    with live.client() as client:
        client.headers["traceparent"] = f"00-{trace_id}-00f067aa0ba902b7-01"
        detected = client.post("/detect_faces/", files={"file": image})
        added = client.put("/add_face/", data={"face_id": detected.json()["faces"][0]["face_id"]})
        return [detected, added, client.post("/search/", files={"file": image})]


def test_spans_that_were_not_sent_yet_are_sent_when_the_service_stops(tmp_path: Path) -> None:
    trace_id = secrets.token_hex(16)
    with collecting() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
        with running(SERVICE, tmp_path, RUNNER_WORKERS="1", **settings) as live:
            assert [answer.status_code for answer in one_of_each(live, trace_id)] == [200] * 3
            assert collector.spans == []
        found = collector.trace(trace_id)
    assert [span.name for span in found if span.kind == "server"] == NAMES
    assert {span.name.split()[0] for span in found if span.kind == "client"} == {
        "runner",
        "postgrest",
        "object_store",
        "milvus",
    }


def test_an_unreachable_collector_changes_nothing_for_callers_and_is_logged_once(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }
        with running(SERVICE, tmp_path, RUNNER_WORKERS="1", **settings) as live:
            for _ in range(5):
                answers = one_of_each(live, secrets.token_hex(16))
                assert [answer.status_code for answer in answers] == [200] * 3
                assert all("traceparent" not in answer.headers for answer in answers)
    lines = [
        line
        for line in live.log.read_text().splitlines()
        if "deliver" in line or "opentelemetry" in line.lower()
    ]
    assert len(lines) == 1
    assert "traces cannot be delivered to OTEL_EXPORTER_OTLP_ENDPOINT: it cannot be reached" in lines[0]
    assert '"level": "warning"' in lines[0]
