"""A snapshot of the three stores in a temporary SQLite database, where SQL finds the differences between them.

The stores are read batch by batch, so that memory does not grow with their size.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from bentos.stores.records import PhotoRecord, StoredVector

_ROWS_AT_ONCE = 1000
_SCHEMA = """
CREATE TABLE photos (photo_id TEXT PRIMARY KEY, finished INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE faces (face_id TEXT PRIMARY KEY, photo_id TEXT NOT NULL, collection_id TEXT, state TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE vectors (face_id TEXT PRIMARY KEY, photo_id TEXT NOT NULL, collection_id TEXT) WITHOUT ROWID;
CREATE TABLE images (photo_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE purged (photo_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE earlier (kind TEXT, photo_id TEXT, face_id TEXT, PRIMARY KEY (kind, photo_id, face_id)) WITHOUT ROWID;
"""
_WITHOUT_PHOTO = (
    "SELECT photo_id FROM images WHERE photo_id NOT IN (SELECT photo_id FROM photos) AND photo_id > ?"
    " ORDER BY 1 LIMIT ?"
)
_UNRECORDED = (
    "SELECT count(*) FROM images WHERE photo_id NOT IN (SELECT photo_id FROM photos)"
    " AND photo_id NOT IN (SELECT photo_id FROM purged)"
)


class Kind(Enum):
    """A kind of difference between the stores: its title, and the query for its rows (photo_id, face_id)."""

    VECTOR_WITHOUT_FACE = (
        "vectors without a face",
        (
            "SELECT photo_id, face_id FROM vectors"
            " WHERE face_id NOT IN (SELECT face_id FROM faces WHERE state != 'detected')"
        ),
    )
    FACE_WITHOUT_VECTOR = (
        "indexed faces without a vector",
        "SELECT photo_id, face_id FROM faces WHERE state = 'indexed' AND face_id NOT IN (SELECT face_id FROM vectors)",
    )
    STALE_VECTOR = (
        "vectors with another photo or collection than their face",
        (
            "SELECT f.photo_id, f.face_id FROM faces f JOIN vectors v USING (face_id) WHERE f.state = 'indexed'"
            " AND (f.photo_id IS NOT v.photo_id OR f.collection_id IS NOT v.collection_id)"
        ),
    )
    HALF_INDEXED = (
        "unfinished additions",
        "SELECT photo_id, face_id FROM faces WHERE state = 'pending'",
    )
    HALF_REMOVED = (
        "unfinished removals",
        "SELECT photo_id, face_id FROM faces WHERE state = 'removing'",
    )
    HALF_DETECTED = (
        "unfinished detections",
        "SELECT photo_id, '' FROM photos WHERE NOT finished AND photo_id IN (SELECT photo_id FROM images)",
    )
    PHOTO_WITHOUT_IMAGE = (
        "photos without an image",
        "SELECT photo_id, '' FROM photos WHERE photo_id NOT IN (SELECT photo_id FROM images)",
    )
    IMAGE_OF_PURGED_PHOTO = (
        "images whose photo was purged",
        "SELECT photo_id, '' FROM purged",
    )

    def __init__(self, title: str, query: str) -> None:
        self.title, self.query = title, query


_OUT_OF_LINE = f"""
{Kind.FACE_WITHOUT_VECTOR.query}
UNION ALL {Kind.STALE_VECTOR.query}
UNION ALL SELECT v.photo_id, v.face_id FROM vectors v LEFT JOIN faces f USING (face_id)
    WHERE f.face_id IS NULL OR f.state IN ('detected', 'removing')
"""  # noqa: S608 - constants
"""Unlike `Kind`, this query includes the vectors of faces in state `removing`, and returns each face once."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `face_id` is empty when the difference concerns the whole photo."""

    kind: Kind
    photo_id: str
    face_id: str


class Snapshot:
    """A context manager: the file at `path` exists while the context is open."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._only_confirmed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add_photos(self, photos: Sequence[PhotoRecord]) -> None:
        """Add photos and faces of the metadata store."""
        self._insert("photos VALUES (?, ?)", [(p.photo_id, p.width is not None) for p in photos])
        faces = [(f.face_id, p.photo_id, p.collection_id, f.state) for p in photos for f in p.faces]
        self._insert("faces VALUES (?, ?, ?, ?)", faces)

    def add_vectors(self, vectors: Sequence[StoredVector]) -> None:
        """Add faces of the vector store."""
        self._insert("vectors VALUES (?, ?, ?)", [(v.face_id, v.photo_id, v.collection_id) for v in vectors])

    def add_images(self, photo_ids: Sequence[str]) -> None:
        """Add images of the object store."""
        self._insert("images VALUES (?)", [(photo_id,) for photo_id in photo_ids])

    def add_purged(self, photo_ids: Sequence[str]) -> None:
        """Add photos that were purged and still have an image."""
        self._insert("purged VALUES (?)", [(photo_id,) for photo_id in photo_ids])

    def images_without_photo(self, batch_size: int) -> Iterator[list[str]]:
        """Images without a photo record, ordered by id, in batches: never sent to detection, or purged."""
        last = ""
        while batch := [row[0] for row in self._database.execute(_WITHOUT_PHOTO, (last, batch_size))]:
            yield batch
            last = batch[-1]

    @property
    def unrecorded_images(self) -> int:
        """How many images were never sent to detection, which is no difference: the bucket may hold other images."""
        return self._number(_UNRECORDED)

    def count(self, kind: Kind) -> int:
        """How many differences of this kind there are."""
        return self._number(f"SELECT count(*) FROM ({self._query(kind)})")  # noqa: S608 - a constant

    def findings(self, kind: Kind, limit: int = -1) -> Iterator[Finding]:
        """The differences of this kind, ordered by photo; -1 means no limit."""
        query = f"SELECT * FROM ({self._query(kind)}) ORDER BY 1, 2 LIMIT ?"  # noqa: S608 - a constant
        for photo_id, face_id in self._database.execute(query, (limit,)):
            yield Finding(kind, photo_id, face_id)

    def confirm(self, earlier: Snapshot) -> None:
        """From now on count and return only the differences that the earlier snapshot has too."""
        for kind in Kind:
            findings = earlier.findings(kind)
            while batch := list(islice(findings, _ROWS_AT_ONCE)):
                rows = [(kind.name, finding.photo_id, finding.face_id) for finding in batch]
                self._insert("earlier VALUES (?, ?, ?)", rows)
        self._only_confirmed = True

    def count_out_of_line(self) -> int:
        """How many photos `out_of_line` returns."""
        return self._number(f"SELECT count(DISTINCT photo_id) FROM ({_OUT_OF_LINE})")  # noqa: S608 - a constant

    def out_of_line(self) -> Iterator[tuple[str, list[str]]]:
        """Photos whose vectors differ from their indexed faces, each with the `face_id`s concerned."""
        rows = self._database.execute(f"SELECT photo_id, face_id FROM ({_OUT_OF_LINE}) ORDER BY 1, 2")  # noqa: S608
        for photo_id, group in groupby(rows, key=lambda row: row[0]):
            yield str(photo_id), [face_id for _, face_id in group]

    @property
    def photos(self) -> int:
        """How many photos the metadata store holds."""
        return self._number("SELECT count(*) FROM photos")

    def _query(self, kind: Kind) -> str:
        if not self._only_confirmed:
            return kind.query
        earlier = f"SELECT photo_id, face_id FROM earlier WHERE kind = '{kind.name}'"  # noqa: S608 - a constant
        return f"SELECT * FROM ({kind.query}) INTERSECT {earlier}"  # noqa: S608 - constants

    def _insert(self, into: str, rows: Sequence[tuple[object, ...]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT OR REPLACE INTO {into}", rows)
        self._database.execute("COMMIT")

    def _number(self, query: str) -> int:
        number: int = self._database.execute(query).fetchone()[0]
        return number
