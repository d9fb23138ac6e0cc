"""Defines image-search as a BentoML service."""

from __future__ import annotations

import bentoml

from bentos.composition import SERVICE_CONFIG, compose, middleware_options, runner_client
from bentos.config.startup import settings_or_exit
from bentos.http.middleware.stack import with_middleware
from bentos.http.ping import ping_router
from bentos.pipeline.pack_store import pack_or_exit
from bentos.runner.face_runner import FaceRunner
from bentos.search.api import SERVICE, router
from bentos.search.wiring import attach_search

settings = settings_or_exit(SERVICE)
pack_or_exit(settings)


api = compose(
    SERVICE, settings, routers=[router, ping_router(SERVICE)], attach=[attach_search], opens=["milvus"]
)


@bentoml.asgi_app(api, path="/")
@bentoml.service(name=SERVICE, **SERVICE_CONFIG)
class ImageSearch:
    """Finds the photos that show the person of a selfie."""

    runner = bentoml.depends(FaceRunner)

    def __init__(self) -> None:
        api.state.finder = lambda: runner_client(settings, self.runner)


ImageSearch.add_asgi_middleware(  # type: ignore[attr-defined]
    with_middleware, options=middleware_options(SERVICE, settings, api)
)
