"""`/ping`: whether the service behind the ingress answers; needs a key."""

from __future__ import annotations

from fastapi import Depends
from pydantic import BaseModel

from bentos.http.api import EitherSlashRouter, api_key_header
from bentos.http.openapi import documented
from bentos.version import VERSION


class Pong(BaseModel):
    """The service is there."""

    status: str = "ok"
    service: str
    version: str


def ping_router(service: str) -> EitherSlashRouter:
    """The route of `service`."""
    router = EitherSlashRouter(dependencies=[Depends(api_key_header)], tags=[service])

    @router.get("/ping", summary="Whether the service answers", responses=documented())
    async def ping() -> Pong:
        """Needs no store and no model."""
        return Pong(service=service, version=VERSION)

    return router
