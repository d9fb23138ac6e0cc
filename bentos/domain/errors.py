"""Defines every error that the API returns, as one tree.

FaceSearchError
├── InvalidImageFormat     the bytes are not a readable JPEG, PNG or WebP
├── InvalidApiKey          no key, or a wrong one
├── PhotoNotFound          no such photo
├── FaceNotFound           no such face
├── RouteNotFound          no such path
├── MethodNotAllowed       the path exists, the method does not
├── CollectionMismatch     the photo belongs to another collection
├── ImageTooLarge          too many bytes or too many pixels
├── NoFacesDetected        no face in the image
├── TooManyFaces           more than one face in a search image
├── InvalidRequest         a field is missing, malformed or out of range
├── DependencyUnavailable  a store is down or too slow
│   └── (names the dependency)
├── Overloaded             more work is waiting than can be done in time
├── TimedOut               the whole request took too long
├── NotReady               a store does not match the settings
└── InternalError          a bug

The domain raises them; only `bentos.http.error_responses` turns them into HTTP responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from bentos.domain.redaction import redacted

Dependency = Literal["milvus", "postgrest", "object_store", "runner"]


class FaceSearchError(Exception):
    """The base class. `message` is one sentence that says what to do; `details` is JSON-serialisable."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = dict(details or {})


class InvalidImageFormat(FaceSearchError):
    code = "invalid_image_format"


class InvalidApiKey(FaceSearchError):
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("Send a valid key in the X-Api-Key header.")


class PhotoNotFound(FaceSearchError):
    code = "photo_not_found"

    def __init__(self, photo_id: str) -> None:
        super().__init__(f"There is no photo {photo_id!r}.", {"photo_id": photo_id})


class FaceNotFound(FaceSearchError):
    code = "face_not_found"

    def __init__(self, face_id: str) -> None:
        super().__init__(f"There is no face {face_id!r}.", {"face_id": face_id})


class RouteNotFound(FaceSearchError):
    code = "not_found"

    def __init__(self) -> None:
        super().__init__("There is no endpoint at this path; the README lists the endpoints.")


class MethodNotAllowed(FaceSearchError):
    code = "method_not_allowed"

    def __init__(self, allowed: str | None = None) -> None:
        super().__init__("This path does not support this method.", {"allow": allowed} if allowed else None)


class CollectionMismatch(FaceSearchError):
    code = "collection_mismatch"

    def __init__(self, photo_id: str, actual: str, asked: str) -> None:
        super().__init__(
            f"Photo {photo_id!r} belongs to collection {actual!r}, not to {asked!r}.",
            {"photo_id": photo_id, "collection_id": actual},
        )


class ImageTooLarge(FaceSearchError):
    """`details` contain the limit: `max_bytes` or `max_pixels`."""

    code = "image_too_large"


class NoFacesDetected(FaceSearchError):
    code = "no_faces_detected"


class TooManyFaces(FaceSearchError):
    code = "too_many_faces"


class InvalidRequest(FaceSearchError):
    """`details.fields` contains one sentence for each wrong field."""

    code = "invalid_request"

    def __init__(self, message: str, fields: Mapping[str, str]) -> None:
        super().__init__(message, {"fields": dict(fields)})


class DependencyUnavailable(FaceSearchError):
    """`reason` is a fixed text, because the text of a client's exception may quote a header with its token."""

    code = "dependency_unavailable"

    def __init__(self, dependency: Dependency, reason: str) -> None:
        message = redacted(f"{dependency} is not available: {reason}.")
        super().__init__(message, {"dependency": dependency})
        self.dependency = dependency


class Overloaded(FaceSearchError):
    code = "overloaded"

    def __init__(
        self, message: str = "More images are waiting than can be processed in time; try again shortly."
    ) -> None:
        super().__init__(message)


class TimedOut(FaceSearchError):
    code = "timed_out"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The request took longer than {seconds:g} s; repeat it to finish what it has begun.",
            {"timeout_s": seconds},
        )


class NotReady(FaceSearchError):
    """A store responds but does not match the settings. `summary`: fixed text for `/readyz`, which needs no key."""

    code = "dependency_unavailable"

    def __init__(
        self,
        message: str,
        details: Mapping[str, object] | None = None,
        *,
        summary: str = "not set up as the settings say",
    ) -> None:
        super().__init__(message, details)
        self.summary = summary


class InternalError(FaceSearchError):
    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("The service has a bug; search its log for the request id.")
