"""Defines image-vectorizer as a BentoML service."""

from __future__ import annotations

import bentoml

from bentos.composition import SERVICE_CONFIG, compose, middleware_options, runner_client
from bentos.config.startup import settings_or_exit
from bentos.http.middleware.stack import with_middleware
from bentos.http.ping import ping_router
from bentos.pipeline.pack_store import pack_or_exit
from bentos.runner.face_runner import FaceRunner
from bentos.vectorizer.api import SERVICE, router
from bentos.vectorizer.overview import report_overview
from bentos.vectorizer.wiring import attach_indexing

settings = settings_or_exit(SERVICE)
pack_or_exit(settings)


api = compose(
    SERVICE,
    settings,
    routers=[router, ping_router(SERVICE)],
    attach=[attach_indexing],
    opens=["milvus", "postgrest", "object_store"],
    background=[report_overview],
)


@bentoml.asgi_app(api, path="/")
@bentoml.service(name=SERVICE, **SERVICE_CONFIG)
class ImageVectorizer:
    """Finds, embeds, lists and removes the faces of photos."""

    runner = bentoml.depends(FaceRunner)

    def __init__(self) -> None:
        api.state.finder = lambda: runner_client(settings, self.runner)


ImageVectorizer.add_asgi_middleware(  # type: ignore[attr-defined]
    with_middleware, options=middleware_options(SERVICE, settings, api)
)
