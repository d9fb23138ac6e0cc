"""Puts a service together: its stores, its logic, its routes, its door. The one place that knows all the parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.datastructures import State

from bentos.config.settings import Settings
from bentos.domain.errors import Dependency
from bentos.http.api import create_api
from bentos.http.middleware import DoorOptions
from bentos.observability.logs import configure_logging
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.client import FaceFinder, RunnerClient
from bentos.runner.face_runner import QUIET
from bentos.runner.transport.server import shared_socket
from bentos.serving.connections import bound_connections
from bentos.serving.drain import Leave
from bentos.serving.gc_tuning import collect_less
from bentos.serving.readiness import Opening, Store
from bentos.serving.scheduling import give_way
from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.stores.factory import image_store, metadata_store, vector_store

Attach = Callable[[State, "Parts"], None]
"""Puts the logic of one service into the state of the app."""

SERVICE_CONFIG: dict[str, Any] = {
    "workers": 1,
    "traffic": {"timeout": 60},
    **QUIET,
}
"""How BentoML runs the process that talks to the network: one, because it only waits for others."""


class Parts:
    """What the logic is made of; a store is made when it is first asked for."""

    def __init__(self, settings: Settings, finder: FaceFinder, pack: PackInfo) -> None:
        self.settings, self.finder, self._pack = settings, finder, pack

    @cached_property
    def vectors(self) -> VectorStore:
        """Where the embeddings are."""
        return vector_store(self.settings, self._pack)

    @cached_property
    def metadata(self) -> MetadataStore:
        """Where photos and faces are recorded."""
        return metadata_store(self.settings)

    @cached_property
    def images(self) -> ImageStore:
        """Where the images are."""
        return image_store(self.settings)

    def store(self, name: Dependency) -> Store:
        """The store behind a dependency."""
        stores: dict[Dependency, Callable[[], Store]] = {
            "milvus": lambda: self.vectors,
            "postgrest": lambda: self.metadata,
            "object_store": lambda: self.images,
        }
        return stores[name]()


def compose(
    service: str,
    settings: Settings,
    *,
    routers: Sequence[APIRouter],
    attach: Sequence[Attach],
    opens: Sequence[Dependency],
) -> FastAPI:
    """The FastAPI app of `service`, with the stores that it `opens`.

    Before it starts, `state.finder` has to be set: a factory of the `FaceFinder`.
    """

    leave = Leave(settings.shutdown_delay_s)

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        give_way()
        configure_logging(settings.log_level)
        bound_connections(settings.receive_timeout_s)
        pack = PackInfo.read(face_pack_folder(settings.face_pack))
        finder: FaceFinder = api.state.finder()
        parts = Parts(settings, finder, pack)
        api.state.parts = parts
        opening = Opening({name: parts.store(name) for name in opens})
        api.state.opening = opening
        for put in attach:
            put(api.state, parts)
        try:
            async with opening.opened(), leave.possible():
                collect_less()
                yield
        finally:
            await finder.close()

    api = create_api(service, list(routers), lifespan=lifespan, docs=settings.docs_enabled)
    api.state.leave = leave
    return api


def runner_client(settings: Settings) -> RunnerClient:
    """The `FaceFinder` over the runner that BentoML started for this service, by `bentoml.depends(FaceRunner)`."""
    return RunnerClient(shared_socket(), queue=settings.runner_queue, timeout_s=settings.runner_timeout_s)


def door_of(service: str, settings: Settings, api: FastAPI) -> Callable[[], DoorOptions]:
    """What the door of `service` has to know, read when the door is built."""

    leave: Leave = api.state.leave

    def not_ready() -> str | None:
        if leave.begun:
            return "the service is stopping"
        opening: Opening | None = getattr(api.state, "opening", None)
        return "the service is starting" if opening is None else opening.not_ready()

    def full() -> bool:
        parts: Parts | None = getattr(api.state, "parts", None)
        return parts is not None and parts.finder.is_full

    return lambda: DoorOptions(
        service=service,
        present_keys=settings.api_keys,
        max_image_bytes={
            "/detect_faces": settings.vectorize_max_image_bytes,
            "/search": settings.search_max_image_bytes,
        },
        receive_timeout_s=settings.receive_timeout_s,
        not_ready=not_ready,
        full=full,
        leaving=lambda: leave.begun,
    )
