"""Errors that every metadata store raises with the same message."""

from __future__ import annotations

from bentos.domain.errors import InvalidRequest


def other_image(photo_id: str) -> InvalidRequest:
    """The error for an image that is sent under the id of another image."""
    reason = (
        f"photo_id {photo_id!r} already names another image; remove it with purge=true first,"
        " or choose another id"
    )
    return InvalidRequest(f"{reason}.", {"photo_id": reason})
