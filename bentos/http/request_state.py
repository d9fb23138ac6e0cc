"""The record of one request for the middleware; it is stored in the ASGI scope of the request."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from bentos.domain.errors import FaceSearchError

_KEY = "face_search.request"


@dataclass(slots=True)
class RequestState:
    """`path` has no trailing slash. `status` is 0 until the answer has begun.

    `error` is the error that was answered, `exception` the unexpected exception behind an `internal_error`.
    `close_connection` asks the caller to close the connection after the answer.
    """

    path: str
    request_id: str
    status: int = 0
    error: FaceSearchError | None = None
    exception: Exception | None = None
    close_connection: bool = False


def begin_state(scope: Scope, request_id: str) -> RequestState:
    """Put a new record into the scope of a request."""
    state = RequestState(scope["path"].rstrip("/") or "/", request_id)
    scope[_KEY] = state
    return state


def state_of(scope: Scope) -> RequestState:
    """The record of the request. Raises `KeyError` outside of our middleware."""
    state: RequestState = scope[_KEY]
    return state


def record_error(scope: Scope, error: FaceSearchError) -> None:
    """Keep the error of a request for its log line and its metrics; without our middleware, do nothing."""
    state: RequestState | None = scope.get(_KEY)
    if state is not None:
        state.error = error
