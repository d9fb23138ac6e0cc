"""The photos to index, and what became of each, as values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

ABOVE_THE_LIMIT = "above_max_faces"
UNREADABLE = "unreadable_file"
OutcomeStatus = Literal["indexed", "no_faces", "failed"]


@dataclass(frozen=True, slots=True)
class Item:
    """One photo. `source`: its name in the report. `file`: where it is; None when it is in the object store already.

    `photo_id`: None for a file that was never read, because the id is derived from the bytes.
    `problem`: why the photo cannot be indexed, when that is known before; `error`: its code in the report.
    """

    source: str
    photo_id: str | None = None
    file: Path | None = None
    problem: str | None = None
    error: str = "invalid_photo_id"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo.

    `faces`: how many were found; `indexed`: how many of them are searchable; `left_out`: how many are not, by reason.
    `error` and `message`: those of the API, for a photo that failed. `before`: the work was done by an earlier run.
    """

    status: OutcomeStatus
    photo_id: str | None = None
    faces: int = 0
    indexed: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    message: str | None = None
    before: bool = False


class WrongSetup(Exception):
    """Nothing can be indexed as things are: a wrong key, other stores; the message says why."""


class Indexer(Protocol):
    """Indexes photos of one collection, here or through a running service."""

    async def open(self) -> None:
        """Connect. Raises errors that `waits_for` names; `WrongSetup`."""

    async def close(self) -> None:
        """Close every connection, and end every process."""

    def waits_for(self, error: Exception) -> str | None:
        """What does not answer, when the error is one that passes; else None."""

    async def recorded(self) -> dict[str, Outcome | None]:
        """Every recorded photo of the collection by `photo_id`; None where only `look` can say whether work is left."""

    async def look(self, photo_id: str) -> Outcome | None:
        """What became of a recorded photo, or None when work on it is left."""

    async def index(self, item: Item, image: bytes | None) -> Outcome:
        """Index every face of a photo. A photo that cannot be indexed is an outcome. `image`: the bytes of its file.

        Raises errors that `waits_for` names; `WrongSetup`.
        """


class _Row(Protocol):
    @property
    def photo_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def faces_detected(self) -> int: ...
    @property
    def faces_indexed(self) -> int: ...


class _Seen(Protocol):
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str | None: ...


def outcome_of_row(row: _Row) -> Outcome | None:
    """The outcome of a photo in the listing, or None: of `partial` and `detected` photos the listing has no reasons."""
    if row.status == "indexed":
        return Outcome(
            "indexed", row.photo_id, faces=row.faces_detected, indexed=row.faces_indexed, before=True
        )
    return Outcome("no_faces", row.photo_id, before=True) if row.status == "no_faces" else None


def outcome_of(photo_id: str, faces: Sequence[_Seen], *, above_the_limit: int = 0) -> Outcome:
    """The outcome of a photo whose faces were indexed together. `above_the_limit`: faces beyond MAX_FACES."""
    left_out = Counter(face.reason or "unfinished" for face in faces if face.status != "indexed")
    left_out += Counter({ABOVE_THE_LIMIT: above_the_limit})
    indexed = sum(face.status == "indexed" for face in faces)
    return Outcome(
        "indexed", photo_id, faces=len(faces) + above_the_limit, indexed=indexed, left_out=left_out
    )


def outcome_before(photo_id: str, faces: Sequence[_Seen]) -> Outcome | None:
    """The outcome of a recorded photo, or None when a face is neither indexed nor left out with a reason."""
    if any(face.status != "indexed" and face.reason is None for face in faces):
        return None
    return replace(outcome_of(photo_id, faces), before=True)


def failed(item: Item, error: str, message: str, details: Mapping[str, Any] | None = None) -> Outcome:
    """The outcome of a photo that failed. `details`: those of the API; their reasons are added to the message."""
    fields = (details or {}).get("fields") or {}
    reasons = "".join(f" {name}: {reason}." for name, reason in fields.items())
    return Outcome("failed", item.photo_id, error=error, message=message + reasons)
