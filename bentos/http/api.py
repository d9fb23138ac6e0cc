"""What both FastAPI apps have in common: error handlers, paths with and without a trailing slash, OpenAPI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from bentos.domain.errors import (
    FaceSearchError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    RouteNotFound,
)
from bentos.http.docs_page import docs_page
from bentos.http.error_responses import error_response
from bentos.http.openapi import tighten
from bentos.version import VERSION

ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]

NOT_A_FILE = (
    "has to be a part with a filename; without one it is a text, as with curl's file=< in place of file=@"
)
NOT_A_FORM = "has to be a form, multipart/form-data; JSON and bare files are not read"
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_LONG_TEXT = "Part exceeded maximum size"
"""Start of Starlette's message for a part without a filename above 1 MB; only an image can be so large."""

api_key_header = APIKeyHeader(name="X-Api-Key", description="One of the keys in API_KEY.", auto_error=False)
"""Only for OpenAPI: `bentos.http.middleware.api_key` checks the key before any route."""


class EitherSlashRouter(APIRouter):
    """A router whose paths answer with and without the trailing slash, without redirecting a large body."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> None:
        """Add the route as written, which OpenAPI shows, and the other form of its path, which OpenAPI hides."""
        super().add_api_route(path, endpoint, **kwargs)
        sibling = path.removesuffix("/") if path.endswith("/") else path + "/"
        super().add_api_route(sibling, endpoint, **{**kwargs, "include_in_schema": False})


def unambiguous(*fields: str, repeatable: str | None = None) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses a field that is empty, given more than once (except `repeatable`), or out of its place.

    FastAPI would take the last of several values, an empty form field as absent, and a form's field in the address as
    absent too: `collection_id=`, or `?collection_id=a`, would search all.
    """

    async def check(request: Request) -> None:
        query: list[tuple[str, UploadFile | str]] = [*request.query_params.multi_items()]
        has_form = request.method in {"POST", "PUT"}
        if has_form and _has_another_body(request):
            raise invalid_fields({"body": NOT_A_FORM})
        form = (await request.form()).multi_items() if has_form else []
        given = query + form
        times = Counter(name for name, _ in given)
        known = {*fields, repeatable}
        wrong = {name: "belongs in the form" for name, _ in query if has_form and name in known}
        wrong |= {name: "is given more than once" for name in fields if times[name] > 1}
        wrong |= {name: "is empty" for name, value in given if value == "" and name in known}
        wrong |= {
            name: NOT_A_FILE for name, value in form if name == "file" and isinstance(value, str) and value
        }
        if wrong:
            raise invalid_fields(wrong)

    return check


def _has_another_body(request: Request) -> bool:
    """Whether there is a body that is no form: Starlette reads none of its fields, so that each would seem missing."""
    headers = request.headers
    is_form = headers.get("content-type", "").lower().startswith(_FORMS)
    return not is_form and (headers.get("content-length", "0") != "0" or "transfer-encoding" in headers)


def nothing_else(*fields: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses a request with any other field in its query, or with a body.

    For requests that remove: a field that is misspelt, or sent in a form, would be ignored, and more would be removed
    than was meant.
    """

    async def check(request: Request) -> None:
        wrong = {name: "is no field of this request" for name in request.query_params if name not in fields}
        if await request.body():
            wrong["body"] = "has to be empty; send the fields in the address, as in ?name=value"
        if wrong:
            raise invalid_fields(wrong)

    return check


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        made = self.openapi_schema is not None
        document = super().openapi()
        if not made:
            tighten(document)
        return document


def create_api(
    title: str,
    routers: list[APIRouter],
    *,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    docs: bool,
) -> FastAPI:
    """A FastAPI app that serves `routers` and answers everything else with an error."""
    api = _Api(
        title=title,
        version=VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
    )
    api.state.endpoints = [route for router in routers for route in router.routes]
    for router in routers:
        api.include_router(router)
    if docs:
        api.add_api_route("/docs", _docs, include_in_schema=False)
    api.exception_handler(FaceSearchError)(_known)
    api.exception_handler(RequestValidationError)(_invalid)
    api.exception_handler(HTTPException)(_from_framework)
    api.exception_handler(Exception)(_unexpected)
    api.add_api_route("/{path:path}", _elsewhere, methods=ALL_METHODS, include_in_schema=False)
    return api


async def _docs(request: Request) -> Response:
    return docs_page(request.app.title, request.app.openapi())


async def _elsewhere(request: Request) -> Response:
    return error_response(request.scope, _no_endpoint(request))


def _no_endpoint(request: Request) -> FaceSearchError:
    allowed = {
        method
        for route in request.app.state.endpoints
        if route.matches(request.scope)[0] is Match.PARTIAL
        for method in route.methods
    }
    return MethodNotAllowed(", ".join(sorted(allowed))) if allowed else RouteNotFound()


async def _known(request: Request, error: FaceSearchError) -> Response:
    return error_response(request.scope, error)


async def _unexpected(request: Request, _: Exception) -> Response:
    return error_response(
        request.scope, InternalError()
    )  # Starlette raises the exception again, so that it is logged


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    fields: dict[str, str] = {}
    for problem in error.errors():
        name = next((str(part) for part in reversed(problem["loc"]) if isinstance(part, str)), "body")
        fields.setdefault(name, _sentence(problem))
    return error_response(request.scope, invalid_fields(fields))


def invalid_fields(fields: dict[str, str]) -> InvalidRequest:
    """The error for fields that are missing, malformed or out of range; one reason for each."""
    return InvalidRequest(f"Check {', '.join(sorted(fields))}.", fields)


def _sentence(problem: dict[str, Any]) -> str:
    if problem["type"] == "missing":
        return "is required"
    return str(problem["msg"]).removeprefix("Value error, ")


async def _from_framework(request: Request, error: HTTPException) -> Response:
    """The errors that Starlette and FastAPI raise themselves: mostly a body that cannot be parsed."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # a method that the endpoint does not have
        return error_response(request.scope, _no_endpoint(request))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FaceSearchError):
            return error_response(request.scope, cause)
        cause = cause.__cause__ or cause.__context__
    if str(error.detail).startswith(_LONG_TEXT):
        return error_response(request.scope, invalid_fields({"file": NOT_A_FILE}))
    unreadable = InvalidRequest("The body is not a readable form.", {"body": str(error.detail)})
    return error_response(request.scope, unreadable)
