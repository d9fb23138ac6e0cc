"""Turns the errors of other middleware, and exceptions that nothing else has handled, into responses."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.domain.errors import FaceSearchError, InternalError
from bentos.http.error_responses import error_response
from bentos.http.request_state import state_of


class AnswerErrors:
    """Turns every exception into a response in the format of all errors.

    A response that has begun cannot be replaced: it stays incomplete, and the server closes its connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or answer its error."""
        state = state_of(scope)
        try:
            await self._app(scope, receive, send)
        except Exception as exception:  # noqa: BLE001 - the access log prints it
            error = exception if isinstance(exception, FaceSearchError) else InternalError()
            if error is not exception:
                state.exception = exception
            if state.status:
                state.error = state.error or error
            else:
                await error_response(scope, error)(scope, receive, send)
