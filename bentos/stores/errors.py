"""What every metadata store refuses in the same words."""

from __future__ import annotations

from bentos.domain.errors import InvalidRequest


def other_image(photo_id: str) -> InvalidRequest:
    """The refusal of an image under the id of another one."""
    reason = (
        f"photo_id {photo_id!r} already names another image; remove it with purge=true first,"
        " or choose another id"
    )
    return InvalidRequest(f"{reason}.", {"photo_id": reason})
