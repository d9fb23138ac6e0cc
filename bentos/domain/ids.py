"""Derives the ids of photos and faces: the same input gives the same id, so that every write can be repeated."""

from __future__ import annotations

import hashlib
import re
import uuid

from bentos.domain.faces import BoundingBox

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
ID_RULE = "1 to 128 of A-Z a-z 0-9 . _ - that begin with a letter or a digit"
"""The pattern in words, for messages."""
_ID = re.compile(ID_PATTERN, re.ASCII)
_FACE_NAMESPACE = uuid.UUID("6f1d1b7e-3f0b-5c55-9d5e-0f6d3f2b8a11")


def is_valid_id(value: str) -> bool:
    """Whether `value` may name a photo or a collection."""
    return _ID.match(value) is not None


def is_face_id(value: str) -> bool:
    """Whether `value` is a UUID in its canonical form: lower case, with hyphens."""
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False


def image_digest(image: bytes) -> str:
    """The SHA-256 of the bytes as they were uploaded, in hex."""
    return hashlib.sha256(image).hexdigest()


def derive_photo_id(image_sha256: str, collection_id: str | None) -> str:
    """The id of a photo that was sent without one, derived from its bytes and its collection."""
    return hashlib.sha256(f"{collection_id or ''}\n{image_sha256}".encode()).hexdigest()[:32]


def derive_face_id(photo_id: str, bbox: BoundingBox) -> str:
    """The id of a face: UUID version 5 (RFC 9562, section 5.5) of its photo and its box, rounded to 0.1 px."""
    corners = ",".join(f"{v:.1f}" for v in bbox.as_list())
    return str(uuid.uuid5(_FACE_NAMESPACE, f"{photo_id}\n{corners}"))
