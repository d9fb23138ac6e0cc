"""Defines every error that the client raises, as one tree.

FaceSearchError
├── NoAnswer                   the service could not be reached, or did not answer in time
├── UnexpectedAnswer           the answer is not one of this API: a wrong address, or a proxy in between
└── ApiError                   the service answered with an error; one class for each code
    ├── InvalidImageFormat     400
    ├── InvalidApiKey          401
    ├── PhotoNotFound          404
    ├── FaceNotFound           404
    ├── RouteNotFound          404
    ├── MethodNotAllowed       405
    ├── CollectionMismatch     409
    ├── ImageTooLarge          413
    ├── NoFacesDetected        422
    ├── TooManyFaces           422
    ├── InvalidRequest         422
    ├── InternalError          500
    ├── DependencyUnavailable  503
    ├── Overloaded             503
    └── TimedOut               504
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar


class FaceSearchError(Exception):
    """The base class. `message` is one sentence that a person can act on."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NoAnswer(FaceSearchError):
    """The service could not be reached, or did not answer in time. `sent`: whether the call may have arrived there."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(FaceSearchError):
    """The answer is not one of this API. `retry_after_s`: seconds, or None."""

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class ApiError(FaceSearchError):
    """The service answered with an error.

    `error`: its code; `request_id` is in the log lines of the service; `details` as in the API; `retry_after_s`: after
    how many seconds the call may be sent again, or None.
    """

    code: ClassVar[str] = ""

    def __init__(
        self,
        error: str,
        message: str,
        *,
        status: int,
        request_id: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.error, self.status, self.request_id = error, status, request_id
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after_s = retry_after_s


class InvalidImageFormat(ApiError):
    """The bytes are no JPEG, PNG or WebP image, or damaged."""

    code = "invalid_image_format"


class InvalidApiKey(ApiError):
    """There is no key, or a wrong one."""

    code = "invalid_api_key"


class PhotoNotFound(ApiError):
    """There is no such photo."""

    code = "photo_not_found"


class FaceNotFound(ApiError):
    """There is no such face."""

    code = "face_not_found"


class RouteNotFound(ApiError):
    """There is no such path."""

    code = "not_found"


class MethodNotAllowed(ApiError):
    """The path does not support this method."""

    code = "method_not_allowed"


class CollectionMismatch(ApiError):
    """The photo belongs to another collection."""

    code = "collection_mismatch"


class ImageTooLarge(ApiError):
    """The image has too many bytes or pixels; `details` have the limit."""

    code = "image_too_large"


class NoFacesDetected(ApiError):
    """There is no face in the image."""

    code = "no_faces_detected"


class TooManyFaces(ApiError):
    """There is more than one face in a selfie; `details["faces"]` have their boxes."""

    code = "too_many_faces"


class InvalidRequest(ApiError):
    """A field is missing, malformed or out of range; `details["fields"]` name each."""

    code = "invalid_request"


class InternalError(ApiError):
    """A bug of the service; its log has the request id."""

    code = "internal_error"


class DependencyUnavailable(ApiError):
    """A store is down or too slow; `details["dependency"]` names it."""

    code = "dependency_unavailable"


class Overloaded(ApiError):
    """More work is waiting than the service can do in time."""

    code = "overloaded"


class TimedOut(ApiError):
    """The whole request took too long; repeating the call finishes what it has begun."""

    code = "timed_out"


BY_CODE: Mapping[str, type[ApiError]] = {each.code: each for each in ApiError.__subclasses__()}
"""The class of each code."""


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ApiError | UnexpectedAnswer:
    """The error that an answer with a status from 400 on describes."""
    retry_after_s = _seconds(headers.get("retry-after", ""))
    try:
        answer = json.loads(body)
        code, message = str(answer["error"]), str(answer["message"])
        request_id, details = str(answer.get("request_id", "")), dict(answer.get("details") or {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return UnexpectedAnswer(
            f"The service answered {status}, without an error of this API; is the address right?",
            status=status,
            retry_after_s=retry_after_s,
        )
    return BY_CODE.get(code, ApiError)(
        code, message, status=status, request_id=request_id, details=details, retry_after_s=retry_after_s
    )


def _seconds(retry_after: str) -> float | None:
    """The header Retry-After (RFC 9110, section 10.2.3): a number of seconds, or a date."""
    try:
        return max(0.0, float(int(retry_after)))
    except OverflowError:
        return math.inf
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
