"""ASGI middleware: answers a signed link with its image, without an API key; everything else is passed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.domain.ids import is_valid_id
from bentos.domain.image_links import PREFIX, ImageLinks

ReadImage = Callable[[str], Awaitable[tuple[bytes, str]]]
"""The bytes of an image and its content type by its content. Raises `PhotoNotFound` when there is no image."""


class _ImageRoute:
    """Names the images in logs and metrics, as the pattern of a route does."""

    path = f"{PREFIX}{{photo_id}}"


class SignedImages:
    """Serves the images of a folder. A link that is wrong or has expired is passed on, where it needs an API key."""

    def __init__(self, app: ASGIApp, links: ImageLinks, read: ReadImage) -> None:
        self._app, self._links, self._read = app, links, read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a signed link, or pass the request on. Raises `PhotoNotFound` when the image is gone."""
        path: str = scope["path"]
        photo_id = path.removeprefix(PREFIX)
        if scope["method"] not in {"GET", "HEAD"} or photo_id == path or not self._allows(scope, photo_id):
            await self._app(scope, receive, send)
            return
        scope["route"] = _ImageRoute
        image, content_type = await self._read(photo_id)
        body = image if scope["method"] == "GET" else b""
        headers = {"Content-Length": str(len(image)), "Content-Disposition": "inline"}
        await Response(body, media_type=content_type, headers=headers)(scope, receive, send)

    def _allows(self, scope: Scope, photo_id: str) -> bool:
        query = QueryParams(scope["query_string"]).multi_items()
        fields = dict(query)
        return (
            is_valid_id(photo_id)
            and sorted(name for name, _ in query) == ["expires", "signature"]
            and self._links.allows(photo_id, expires=fields["expires"], signature=fields["signature"])
        )
