"""Turns an error into an HTTP answer; nothing else writes a status code of an error."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Scope

from bentos.domain import errors
from bentos.domain.errors import FaceSearchError
from bentos.http.request_state import record_error
from bentos.observability.request_ids import current_request_id

STATUS: Mapping[str, int] = {
    errors.InvalidImageFormat.code: 400,
    errors.InvalidApiKey.code: 401,
    errors.RouteNotFound.code: 404,
    errors.PhotoNotFound.code: 404,
    errors.FaceNotFound.code: 404,
    errors.MethodNotAllowed.code: 405,
    errors.CollectionMismatch.code: 409,
    errors.ImageTooLarge.code: 413,
    errors.NoFacesDetected.code: 422,
    errors.TooManyFaces.code: 422,
    errors.InvalidRequest.code: 422,
    errors.InternalError.code: 500,
    errors.DependencyUnavailable.code: 503,
    errors.Overloaded.code: 503,
    errors.TimedOut.code: 504,
}
_RETRY_AFTER_S: Mapping[str, int] = {errors.DependencyUnavailable.code: 2, errors.Overloaded.code: 1}


def error_response(scope: Scope, error: FaceSearchError) -> Response:
    """The error in the format of all errors, with `Retry-After` where trying again makes sense.

    The error is kept in the record of the request, for its log line and its metrics.
    """
    record_error(scope, error)
    body = {
        "error": error.code,
        "message": error.message,
        "request_id": current_request_id(),
        "details": error.details,
    }
    headers = {}
    if error.code in _RETRY_AFTER_S:
        headers["Retry-After"] = str(_RETRY_AFTER_S[error.code])
    if isinstance(error, errors.MethodNotAllowed) and error.details:
        headers["Allow"] = str(error.details["allow"])
    return Response(
        json.dumps(body, ensure_ascii=False, default=str),
        status_code=STATUS[error.code],
        headers=headers,
        media_type="application/json",
    )
