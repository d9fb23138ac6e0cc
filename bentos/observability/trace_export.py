"""Exports spans with OTLP over HTTP, in the background and bounded; a collector that does not answer is logged once."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer
from prometheus_client import Counter
from requests.adapters import HTTPAdapter

from bentos.version import VERSION

logger = logging.getLogger(__name__)

# The SDK logs each failed attempt, with texts of the server; `_Reporting` says once what failed.
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

_SPANS = Counter(
    "face_search_trace_spans_total",
    "Spans by outcome: made, sent to the collector, or lost because it did not take them.",
    ["outcome"],
)
_OK = 400


class TraceExport:
    """Puts the spans of `service` into a bounded queue, from which a thread sends them in batches.

    The variables `OTEL_EXPORTER_OTLP_*`, `OTEL_BSP_*`, `OTEL_TRACES_SAMPLER*`, `OTEL_SERVICE_NAME`,
    `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SDK_DISABLED` are read by the SDK. When the queue is full, spans are lost.
    """

    def __init__(self, service: str) -> None:
        self._exporter = _Reporting()
        ours = {
            SERVICE_NAME: service,
            SERVICE_VERSION: VERSION,
            SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{os.getpid()}",
        }
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(_Counting(self._exporter))

    def tracer(self) -> Tracer:
        """What makes the spans."""
        return self._provider.get_tracer("bentos", VERSION)

    def drain(self) -> None:
        """Send what is in the queue. Takes as long as the collector does."""
        self._provider.shutdown()

    def give_up(self) -> None:
        """End attempts that are under way."""
        self._exporter.shutdown()


class _Counting(BatchSpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            _SPANS.labels("made").inc()
        super().on_end(span)


class _Reporting(SpanExporter):
    """OTLP over HTTP; logs the first failure of an outage with its reason, and its end."""

    def __init__(self) -> None:
        self._attempts = _Attempts()
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, self._attempts)
        self._otlp = OTLPSpanExporter(session=session)
        self._failing = self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._otlp.export(spans)
        sent = result is SpanExportResult.SUCCESS
        _SPANS.labels("sent" if sent else "lost").inc(len(spans))
        if sent and self._failing:
            logger.warning("traces are delivered again")
        elif not sent and not self._failing:
            logger.warning(
                "traces cannot be delivered to OTEL_EXPORTER_OTLP_ENDPOINT: %s; requests are not affected",
                self._attempts.failure,
            )
        self._failing = not sent
        return result

    def shutdown(self) -> None:
        if not self._closed:
            self._closed = True
            self._otlp.shutdown()  # type: ignore[no-untyped-call]


class _Attempts(HTTPAdapter):
    """Remembers in fixed words why the last attempt failed."""

    failure = "no attempt was made"

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        try:
            response = super().send(request, *arguments, **options)
        except Exception as error:
            self.failure = f"it cannot be reached ({type(error).__name__})"
            raise
        if response.status_code >= _OK:
            self.failure = f"it answers {response.status_code}"
        return response
