"""Formats answers for a person at a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bentos.client.answers import Box, Photo, PhotoPage, PhotoStatus, SearchPage
from bentos.client.errors import ApiError


def indexed(photo: Photo) -> str:
    """What became of the faces of a photo."""
    done = sum(face.status == "indexed" for face in photo.faces)
    reasons = Counter(face.reason or "not indexed" for face in photo.faces if face.status != "indexed")
    left_out = "".join(f", {count} left out: {reason}" for reason, count in sorted(reasons.items()))
    return f"photo {photo.photo_id}, {done} of {len(photo.faces)} faces indexed{left_out}"


def matches(page: SearchPage) -> Iterator[str]:
    """One line for each photo found, best first."""
    for match in page.results:
        yield "  ".join(
            [f"{match.score:.4f}", match.photo_id, match.collection_id or "-", match.face_id, box(match.bbox)]
            + ([match.url] if match.url else [])
        )
    if not page.results:
        yield f"no photo with a score from {page.score_threshold:g} on"
    if page.has_more:
        yield f"more on page {page.page + 1}"


def listing(page: PhotoPage) -> Iterator[str]:
    """One line for each photo, and how many there are."""
    for item in page.items:
        yield _row(item)
    yield f"{page.offset + bool(page.items)} to {page.offset + len(page.items)} of {page.total} photos"


def photo(status: PhotoStatus) -> Iterator[str]:
    """The photo and one line for each of its faces."""
    yield _row(status)
    for face in status.faces or ():
        yield f"  {face.face_id}  {box(face.bbox)}  {face.score:.2f}  {face.status}  {face.reason or ''}".rstrip()


def refusal(error: ApiError) -> str:
    """The code, the message and what to look for in the log."""
    fields = error.details.get("fields")
    reasons = (
        "".join(f" {name}: {reason}." for name, reason in fields.items()) if isinstance(fields, dict) else ""
    )
    return f"{error.error}: {error.message}{reasons} (request {error.request_id or 'unknown'})"


def box(corners: Box) -> str:
    """The corners, as `--bbox` takes them."""
    return ",".join(f"{corner:g}" for corner in corners)


def _row(item: PhotoStatus) -> str:
    faces = f"{item.faces_indexed} of {item.faces_detected} faces"
    cells = (
        item.photo_id,
        item.collection_id or "-",
        item.status,
        faces,
        f"{item.created_at:%Y-%m-%d %H:%M:%S}",
    )
    return "  ".join(cells)
