"""ASGI middleware: answers `/ui/` with the files of the page, without a key; all other paths go to the API."""

from __future__ import annotations

import json

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.config.settings import Settings
from bentos.domain.errors import MethodNotAllowed, RouteNotFound
from bentos.version import VERSION
from bentos.web.figures import figures_of
from bentos.web.files import WebFile, static_files
from bentos.web.policy import security_headers

PREFIX = "/ui"


class _UiRoute:
    """Names the files of the page in logs and metrics, as the pattern of a route does."""

    path = f"{PREFIX}/{{file}}"


class WebPage:
    """Serves the files from memory. A browser asks each time whether a file has changed, and keeps it otherwise."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = {"Cache-Control": "no-cache", **security_headers(settings)}
        self._files = {**static_files(), "settings.json": page_settings(settings)}
        self._files[""] = self._files["index.html"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a file of the page, or pass it on. Raises `RouteNotFound`, `MethodNotAllowed`."""
        path: str = scope["path"]
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        scope["route"] = _UiRoute
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed("GET, HEAD")
        await self._response(scope)(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        path: str = scope["path"]
        if path == PREFIX:
            return RedirectResponse("ui/", status_code=308)  # relative: a proxy may add a prefix
        file = self._files.get(path.removeprefix(f"{PREFIX}/"))
        if file is None:
            raise RouteNotFound
        headers = {"ETag": file.etag, **self._headers}
        if file.etag in Headers(scope=scope).get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        body = file.body if scope["method"] == "GET" else b""
        headers["Content-Length"] = str(len(file.body))
        return Response(body, media_type=file.content_type, headers=headers)


def page_settings(settings: Settings) -> WebFile:
    """What the page has to know of the settings; none of it is secret."""
    shown = {
        "version": VERSION,
        "face_pack": settings.face_pack,
        "figures": figures_of(settings.face_pack),
        "top_k_max": settings.top_k_max,
        "score_threshold": settings.score_threshold,
        "search_max_bytes": settings.search_max_image_bytes,
        "vectorize_max_bytes": settings.vectorize_max_image_bytes,
        "url_expires_s": settings.url_expires_s,
    }
    return WebFile(json.dumps(shown).encode(), "application/json")
