"""Makes OpenTelemetry spans: one for each request, each call to a dependency and each stage that the runner measured.

Without OTEL_EXPORTER_OTLP_ENDPOINT there is no `Tracing` object, and nothing of the code below runs. API and SDK are
those that BentoML depends on. BentoML's own spans stay off, because their names and attributes contain the raw path
(with photo ids) and the address of the caller.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bentos.domain.errors import Dependency, DependencyUnavailable, FaceSearchError

if TYPE_CHECKING:
    from bentos.observability.trace_export import TraceExport

PARENT_HEADERS = ("traceparent", "tracestate")
"""The headers of W3C Trace Context (https://www.w3.org/TR/trace-context/) that name the caller's span."""

_PROPAGATOR = TraceContextTextMapPropagator()
_CLOSE_WITHIN_S = 3.0
_FIRST_SERVER_ERROR = 500


class TracesUnavailable(Exception):
    """The variables `OTEL_*` contradict each other; the message is one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"traces cannot be exported: {reason.rstrip('.')}; correct the variables OTEL_*.")


class Tracing:
    """The spans of one service. Between `open` and `close` they are exported in the background, else dropped.

    No attribute contains an id, a path, an address, a header or the text of an unexpected exception.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._tracer: trace.Tracer = trace.NoOpTracer()
        self._export: TraceExport | None = None

    def open(self) -> None:
        """Start the export that the environment variables `OTEL_*` describe. Raises `TracesUnavailable`."""
        from bentos.observability.trace_export import TraceExport  # noqa: PLC0415 - imports the SDK

        try:
            self._export = TraceExport(self._service)
        except ValueError as error:
            raise TracesUnavailable(str(error)) from None
        self._tracer = self._export.tracer()

    async def close(self) -> None:
        """Export the remaining spans; after 3 s those that are left are lost."""
        export, self._export, self._tracer = self._export, None, trace.NoOpTracer()
        if export is None:
            return
        loop, drained = asyncio.get_running_loop(), asyncio.Event()

        def drain() -> None:
            export.drain()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(drained.set)

        # A thread of its own: the end of the process would wait for a thread of asyncio's executor.
        threading.Thread(target=drain, name="trace-drain", daemon=True).start()
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await drained.wait()
        except TimeoutError:
            export.give_up()

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """The span of a request; its parent is the span that `headers` name, if any."""
        parent = _PROPAGATOR.extract(headers, Context())
        with self._tracer.start_as_current_span(
            method,
            parent,
            SpanKind.SERVER,
            {"http.request.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def call(
        self, dependency: Dependency, operation: str, expected_errors: tuple[type[Exception], ...]
    ) -> Iterator[None]:
        """The span of one call to a dependency; none outside of a request, such as for the periodic checks.

        Every exception is named in the span. An outage, a cancellation and an exception that is none of
        `expected_errors` are its status too.
        """
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        with self._tracer.start_as_current_span(
            f"{dependency} {operation}",
            kind=SpanKind.CLIENT,
            attributes={"peer.service": dependency},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _note_error(span, error, expected_errors)
                raise

    def stage(self, name: str, began: float, seconds: float) -> None:
        """A span that has ended already, unless it took no time; `began`: on the monotonic clock, s."""
        if not seconds or not trace.get_current_span().is_recording():
            return
        start = time.time_ns() - time.monotonic_ns() + int(began * 1e9)
        self._tracer.start_span(name, start_time=start).end(start + int(seconds * 1e9))


def end_request(span: Span, *, method: str, route: str | None, status: int, error: str | None) -> None:
    """Describe the answer. `route`: its pattern; `status`: 0 without an answer; `error`: the code of the error.

    An answer with 5xx, and none at all, is an error of the service; 4xx is an error of the caller.
    """
    if not span.is_recording():
        return
    if route is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    if status:
        span.set_attribute("http.response.status_code", status)
    if error is not None:
        span.set_attribute("error.type", error)
    if not status or status >= _FIRST_SERVER_ERROR:
        span.set_status(StatusCode.ERROR, error or "not answered")


def outgoing_headers() -> dict[str, str]:
    """The headers that make the current span the parent of what the called server does; empty outside of a request."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    return headers


def trace_fields() -> dict[str, str]:
    """The current trace and span for a log line, in hexadecimal; empty outside of a request."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(current.trace_id),
        "span_id": trace.format_span_id(current.span_id),
    }


def _note_error(span: Span, error: BaseException, expected_errors: tuple[type[Exception], ...]) -> None:
    """Only codes, names of classes and the fixed sentences of outages: other texts may quote what a caller sent."""
    code = error.code if isinstance(error, FaceSearchError) else type(error).__name__
    span.set_attribute("error.type", code)
    if isinstance(error, DependencyUnavailable):
        span.set_status(StatusCode.ERROR, error.message)
    elif not isinstance(error, expected_errors):
        span.set_status(StatusCode.ERROR, code)
