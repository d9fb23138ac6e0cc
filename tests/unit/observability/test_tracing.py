"""Without a collector traces are off and change nothing; with one they are exported in the background and bounded."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bentos.composition import Dependencies
from bentos.config.loading import read_settings
from bentos.config.settings import Settings, SettingsError
from bentos.domain.errors import DependencyUnavailable, PhotoNotFound
from bentos.http.middleware.access_log import AccessLog
from bentos.http.middleware.options import MiddlewareOptions
from bentos.http.middleware.stack import with_middleware
from bentos.observability.traced import traced
from bentos.observability.tracing import TracesUnavailable, Tracing, outgoing_headers, trace_fields
from bentos.pipeline.pack_info import PackInfo
from bentos.stores.files import FilesStore
from bentos.stores.postgrest.client import PostgrestClient, PostgrestOptions
from bentos.stores.s3.store import S3Options, S3Store
from tests.trace_receiver import Collector, collecting

ROOT = Path(__file__).parents[3]
PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")  # what arrives earlier was drained
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        yield running


@asynccontextmanager
async def opened() -> AsyncIterator[Tracing]:
    tracing = Tracing("service-of-the-test")
    tracing.open()
    try:
        yield tracing
    finally:
        await tracing.close()


def spans(outcome: str) -> float:
    return REGISTRY.get_sample_value("face_search_trace_spans_total", {"outcome": outcome}) or 0.0


def test_without_a_collector_nothing_is_imported_and_nothing_wraps_the_stores(pack_folder: Path) -> None:
    code = "import sys, bentos.composition, bentos.http.middleware.stack; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "bentos.composition" in loaded
    assert not [
        name for name in loaded if name.startswith(("opentelemetry.exporter", "bentos.observability.trace_"))
    ]

    settings = Settings(s3_endpoint_url="file:///tmp/images", postgrest_url="sqlite:///:memory:")
    images = Dependencies(settings, None, PackInfo.read(pack_folder)).images  # type: ignore[arg-type]
    assert isinstance(images._target, FilesStore)  # type: ignore[attr-defined]  # measured, and nothing between
    stack = with_middleware(lambda *_: None, lambda: MiddlewareOptions("a-service", present_keys=list))  # type: ignore[arg-type,return-value]
    assert isinstance(stack._requests, AccessLog)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL has to be http/protobuf"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://user:password@host:4318",
            "OTEL_EXPORTER_OTLP_HEADERS takes headers",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said) as refused:
        read_settings()
    assert "password@" not in str(refused.value)


def test_variables_that_the_sdk_refuses_are_one_sentence(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")  # less than one batch
    with pytest.raises(
        TracesUnavailable, match=r"^traces cannot be exported: .*; correct the variables OTEL_"
    ):
        Tracing("service-of-the-test").open()


async def test_a_span_is_a_child_of_the_caller_and_errors_are_named_by_fixed_words(
    collector: Collector,
) -> None:
    class Store:
        async def missing(self) -> None:
            raise PhotoNotFound("an-id-of-a-photo")

        async def away(self) -> None:
            raise DependencyUnavailable("milvus", "it cannot be reached")

        async def broken(self) -> None:
            raise ValueError("Bearer secret-in-a-message")

    async with opened() as tracing:
        store = traced(Store(), "milvus", tracing, expected_errors=(PhotoNotFound,))
        with pytest.raises(PhotoNotFound):
            await store.missing()  # outside of a request: no span
        with tracing.request("GET", PARENT):
            assert trace_fields()["trace_id"] == TRACE
            for call in (store.missing, store.away, store.broken):
                with pytest.raises((PhotoNotFound, DependencyUnavailable, ValueError)):
                    await call()
    found = collector.trace(TRACE)
    assert [(s.name, s.attributes.get("error.type"), s.error) for s in found] == [
        ("GET", None, None),
        ("milvus missing", "photo_not_found", None),
        ("milvus away", "dependency_unavailable", "milvus is not available: it cannot be reached."),
        ("milvus broken", "ValueError", "ValueError"),
    ]
    assert found[0].parent_id == "b7ad6b7169203331"
    assert {s.parent_id for s in found[1:]} == {found[0].span_id}
    assert "secret-in-a-message" not in str(found)
    assert "an-id-of-a-photo" not in str(found)
    assert (trace_fields(), outgoing_headers()) == ({}, {})


@pytest.mark.parametrize("given", ["", "00-zz-1-01", f"00-{'0' * 32}-{'1' * 16}-01", "x" * 5000])
async def test_a_malformed_traceparent_begins_a_new_trace(collector: Collector, given: str) -> None:
    async with opened() as tracing:
        with tracing.request("GET", {"traceparent": given}):
            trace_id = trace_fields()["trace_id"]
    [span] = collector.trace(trace_id)
    assert span.parent_id == ""


async def test_a_caller_that_does_not_sample_gets_no_spans_but_its_trace_in_the_log(
    collector: Collector,
) -> None:
    async with opened() as tracing:
        with tracing.request("GET", {"traceparent": PARENT["traceparent"][:-1] + "0"}):
            assert trace_fields()["trace_id"] == TRACE
    assert collector.spans == []


async def test_spans_that_wait_are_bounded_and_requests_do_not_wait_for_the_collector(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    collector.open.clear()  # the first batch waits for the collector
    before = spans("made")
    async with opened() as tracing:
        for _ in range(500):
            with tracing.request("GET", PARENT):
                pass
        assert spans("made") - before == 500
        assert collector.spans == []
        collector.open.set()
    assert 20 <= len(collector.spans) <= 25


async def test_an_unreachable_collector_is_said_once_and_so_is_its_return(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    caplog.set_level(logging.DEBUG)

    def said() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.levelno >= logging.INFO]

    async def until(outcome: str, count: float) -> None:
        while spans(outcome) < count:
            with tracing.request("GET", PARENT):
                pass
            await asyncio.sleep(0.05)

    lost, sent = spans("lost"), spans("sent")
    async with opened() as tracing:
        await asyncio.wait_for(until("lost", lost + 3), 60)
        [warning] = said()
        assert "it cannot be reached (ConnectionError); requests are not affected" in warning
        with collecting(port):
            await asyncio.wait_for(until("sent", sent + 1), 60)
            assert said()[1:] == ["traces are delivered again"]


async def test_the_answer_of_a_collector_that_refuses_is_in_the_warning(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 401
    async with opened() as tracing:
        with tracing.request("GET", PARENT):
            pass
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [
        "traces cannot be delivered to OTEL_EXPORTER_OTLP_ENDPOINT: it answers 401; requests are not affected"
    ]


async def test_a_collector_that_does_not_answer_holds_up_the_end_of_a_service_for_a_bounded_time(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    monkeypatch.setattr("bentos.observability.tracing._CLOSE_WITHIN_S", 0.2)
    collector.open.clear()
    async with opened() as tracing:
        with tracing.request("GET", PARENT):
            pass
        began = time.monotonic()
    assert time.monotonic() - began < 30  # not the 60 s of the collector's timeout


async def test_the_stores_send_the_trace_to_their_servers(collector: Collector) -> None:
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("traceparent"))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    metadata = PostgrestClient(PostgrestOptions(url, headers=outgoing_headers))
    images = S3Store(S3Options(url, "region", "bucket", "", "key-id", "secret-key", headers=outgoing_headers))
    try:
        async with opened() as tracing:
            with tracing.request("GET", PARENT):
                current = trace_fields()
                await metadata.row_of("photos", "photo_id", "a")
                await images.check()
            await images.check()  # outside of a request
    finally:
        await metadata.close()
        await images.close()
        server.shutdown()
        server.server_close()
    expected = f"00-{current['trace_id']}-{current['span_id']}-01"
    assert seen == [expected, expected, None]
