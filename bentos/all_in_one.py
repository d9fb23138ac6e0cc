"""Both services as one, for one machine: `bentoml serve` in the repository root serves every endpoint."""

from __future__ import annotations

import bentoml

from bentos.composition import SERVICE_CONFIG, compose, middleware_options, runner_client
from bentos.config.settings import Role
from bentos.config.startup import settings_or_exit
from bentos.http.middleware.stack import with_middleware
from bentos.http.ping import ping_router
from bentos.pipeline.pack_store import pack_or_exit
from bentos.runner.face_runner import FaceRunner
from bentos.search.api import SERVICE as SEARCH
from bentos.search.api import router as search_router
from bentos.search.wiring import attach_search
from bentos.vectorizer.api import router as vectorizer_router
from bentos.vectorizer.overview import report_overview
from bentos.vectorizer.wiring import attach_indexing

SERVICE: Role = "face-search"
settings = settings_or_exit(SERVICE)
pack_or_exit(settings)

# `/ping` answers as image-search, because the ingress sends `/ping` there when there are two services.
api = compose(
    SERVICE,
    settings,
    routers=[vectorizer_router, search_router, ping_router(SEARCH)],
    attach=[attach_indexing, attach_search],
    opens=["milvus", "postgrest", "object_store"],
    background=[report_overview],
)


@bentoml.asgi_app(api, path="/")
@bentoml.service(name=SERVICE, **SERVICE_CONFIG)
class FaceSearch:
    """Photos in, faces indexed, selfies answered."""

    runner = bentoml.depends(FaceRunner)

    def __init__(self) -> None:
        api.state.finder = lambda: runner_client(settings, self.runner)


FaceSearch.add_asgi_middleware(  # type: ignore[attr-defined]
    with_middleware, options=middleware_options(SERVICE, settings, api)
)
