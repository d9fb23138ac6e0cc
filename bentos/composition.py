"""Builds a service from stores, logic, routes and middleware; the only module that knows all of them."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from starlette.datastructures import State
from starlette.types import ASGIApp

from bentos.config.settings import Settings
from bentos.config.startup import is_serving
from bentos.domain.errors import Dependency, FaceSearchError, InvalidImageFormat, PhotoNotFound
from bentos.domain.image_links import ImageLinks
from bentos.http.api import create_api
from bentos.http.middleware.options import MiddlewareOptions
from bentos.http.middleware.signed_images import SignedImages
from bentos.imaging.kinds import sniff_content_type
from bentos.observability.logs import configure_logging
from bentos.observability.measured import measured
from bentos.observability.traced import traced
from bentos.observability.tracing import TracesUnavailable, Tracing, outgoing_headers, trace_fields
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.connect import check_transport, connect
from bentos.runner.face_runner import QUIET
from bentos.runner.finder import FaceFinder
from bentos.runner.transport.choice import TransportUnavailable
from bentos.serving.background import running
from bentos.serving.connections import ConnectionLimitsUnavailable, bound_connections, check_uvicorn
from bentos.serving.drain import Drain
from bentos.serving.gc_tuning import tune_garbage_collection
from bentos.serving.readiness import Readiness, Store
from bentos.serving.runner_check import RunnerCheck
from bentos.serving.scheduling import use_batch_scheduling
from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.stores.factory import image_store, metadata_store, vector_store
from bentos.stores.records import LeaseLost, PhotoBusy
from bentos.web.page import WebPage

logger = logging.getLogger(__name__)

T = TypeVar("T")
Attach = Callable[[State, "Dependencies"], None]
"""Adds the logic of one service to the state of the app."""
Background = Callable[[str, State], Coroutine[Any, Any, None]]
"""Work that runs beside a service, named by the first argument, until it is cancelled."""

SERVICE_CONFIG: dict[str, Any] = {
    "workers": 1,
    "traffic": {"timeout": 2 * 3600},
    **QUIET,
}
"""How BentoML runs the HTTP process: one process, because it mostly waits for other processes.

BentoML's timeout is above the largest REQUEST_TIMEOUT_S and is never reached: our own timeout answers first, in the
format of all errors.
"""


_EXPECTED_ERRORS = (FaceSearchError, PhotoBusy, LeaseLost)
"""What a dependency may raise without being out of order."""


class Dependencies:
    """The dependencies of the logic; a store is created on first use. Calls to each store are counted and timed."""

    def __init__(
        self, settings: Settings, finder: FaceFinder, pack: PackInfo, tracing: Tracing | None = None
    ) -> None:
        self.settings, self._pack, self._tracing = settings, pack, tracing
        self._headers = None if tracing is None else outgoing_headers
        self.finder = self._observed(finder, "runner")

    @cached_property
    def vectors(self) -> VectorStore:
        """The store of the embeddings."""
        return self._observed(vector_store(self.settings, self._pack, self._headers), "milvus")

    @cached_property
    def metadata(self) -> MetadataStore:
        """The store of the records of photos and faces."""
        return self._observed(metadata_store(self.settings, self._headers), "postgrest")

    @cached_property
    def images(self) -> ImageStore:
        """The store of the images."""
        return self._observed(image_store(self.settings, self._headers), "object_store")

    def store(self, name: Dependency) -> Store:
        """The store behind a dependency."""
        stores: dict[Dependency, Callable[[], Store]] = {
            "milvus": lambda: self.vectors,
            "postgrest": lambda: self.metadata,
            "object_store": lambda: self.images,
        }
        return stores[name]()

    def _observed(self, dependency: T, name: Dependency) -> T:
        if self._tracing is not None:
            dependency = traced(dependency, name, self._tracing, expected_errors=_EXPECTED_ERRORS)
        return measured(dependency, name, expected_errors=_EXPECTED_ERRORS)


def compose(
    service: str,
    settings: Settings,
    *,
    routers: Sequence[APIRouter],
    attach: Sequence[Attach],
    opens: Sequence[Dependency],
    background: Sequence[Background] = (),
) -> FastAPI:
    """The FastAPI app of `service`, which opens the stores in `opens` and runs the work in `background`.

    `state.finder` has to be set before the app starts: a factory of the `FaceFinder`.
    """

    drain = Drain(settings.shutdown_delay_s)
    tracing = Tracing(service) if settings.otel_exporter_otlp_endpoint else None
    limit_connections = settings.connection_limits == "required" and is_serving()
    if limit_connections:
        _or_exit(check_uvicorn)
    if is_serving():
        _or_exit(lambda: check_transport(settings))

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        use_batch_scheduling()
        configure_logging(settings.log_level, None if tracing is None else trace_fields)
        if tracing is not None:
            _or_end(tracing.open)
        if limit_connections:
            _or_end(lambda: bound_connections(settings.receive_timeout_s))
        elif settings.connection_limits == "off":
            logger.warning("connections are not limited in time and size: CONNECTION_LIMITS is off")
        pack = PackInfo.read(face_pack_folder(settings.face_pack))
        finder: FaceFinder = api.state.finder()
        dependencies = Dependencies(settings, finder, pack, tracing)
        api.state.dependencies = dependencies
        api.state.runner = RunnerCheck(dependencies.finder.check, service=service)
        readiness = Readiness(
            {name: dependencies.store(name) for name in opens},
            service=service,
            check_s=settings.dependency_check_s,
        )
        api.state.readiness = readiness
        for put in attach:
            put(api.state, dependencies)
        try:
            work = running(each(service, api.state) for each in background)
            async with readiness.opened(), drain.awaited(), work:
                tune_garbage_collection()
                yield
        finally:
            await finder.close()
            if tracing is not None:
                await tracing.close()

    api = create_api(service, list(routers), lifespan=lifespan, docs=settings.docs_enabled)
    api.state.drain, api.state.tracing = drain, tracing
    return api


def runner_client(settings: Settings, runner: Any) -> FaceFinder:
    """The `FaceFinder` that calls the runner which BentoML started for this service: `bentoml.depends(FaceRunner)`."""
    return _or_end(lambda: connect(settings, runner))


def middleware_options(service: str, settings: Settings, api: FastAPI) -> Callable[[], MiddlewareOptions]:
    """The options of the middleware of `service`, read in the process that serves."""

    drain: Drain = api.state.drain

    async def not_ready() -> str | None:
        if drain.begun:
            return "the service is stopping"
        readiness: Readiness | None = getattr(api.state, "readiness", None)
        if readiness is None:
            return "the service is starting"
        runner: RunnerCheck = api.state.runner
        reasons = (readiness.not_ready(), await runner.not_ready())
        return "; ".join(reason for reason in reasons if reason) or None

    def full() -> bool:
        dependencies: Dependencies | None = getattr(api.state, "dependencies", None)
        return dependencies is not None and dependencies.finder.is_full

    async def image_of(photo_id: str) -> tuple[bytes, str]:
        images: ImageStore = api.state.dependencies.images
        image = await images.get(photo_id, max_bytes=settings.vectorize_max_image_bytes)
        try:
            return image, sniff_content_type(image)
        except InvalidImageFormat:
            raise PhotoNotFound(photo_id) from None

    def before_the_key(protected: ASGIApp) -> ASGIApp:
        if settings.images_in_folder:
            protected = SignedImages(protected, ImageLinks(settings.api_keys), image_of)
        return WebPage(protected, settings) if settings.ui_enabled else protected

    return lambda: MiddlewareOptions(
        service=service,
        present_keys=settings.api_keys,
        max_image_bytes={
            "/detect_faces": settings.vectorize_max_image_bytes,
            "/search": settings.search_max_image_bytes,
        },
        receive_timeout_s=settings.receive_timeout_s,
        request_timeout_s=settings.request_timeout_s,
        slow_request_s=settings.slow_request_s,
        not_ready=not_ready,
        full=full,
        before_the_key=before_the_key,
        stopping=lambda: drain.begun,
        tracing=api.state.tracing,
    )


def _or_end(step: Callable[[], T]) -> T:
    """Run `step`; when it fails, end the process with one log line, because raising would print a traceback."""
    try:
        return step()
    except (ConnectionLimitsUnavailable, TransportUnavailable, TracesUnavailable) as error:
        logger.critical("%s", error)
        os._exit(1)


def _or_exit(check: Callable[[], None]) -> None:
    """Run `check`; when the settings ask for something impossible, exit the process with one sentence."""
    try:
        check()
    except (ConnectionLimitsUnavailable, TransportUnavailable) as error:
        raise SystemExit(f"{error}") from None
