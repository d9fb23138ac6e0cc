"""Reads of the embedded metadata store: queries that return records."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta

from bentos.domain.faces import BoundingBox
from bentos.stores.records import FaceRecord, PhotoDetails, PhotoPage, PhotoRecord, PhotoStatus, PhotoSummary

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 of a time with a time zone, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The time, in UTC; the inverse of `to_micros`."""
    return _EPOCH + micros * _MICROSECOND


def find_photo(connection: sqlite3.Connection, photo_id: str) -> PhotoRecord | None:
    """The photo with its faces, or None."""
    row = connection.execute("select * from photos where photo_id = ?", (photo_id,)).fetchone()
    return None if row is None else _with_faces(connection, row)


def details_of_photo(connection: sqlite3.Connection, photo_id: str) -> PhotoDetails | None:
    """The photo with its faces and its status, or None."""
    row = connection.execute("select * from photos where photo_id = ?", (photo_id,)).fetchone()
    return None if row is None else PhotoDetails(_summary(row), _with_faces(connection, row))


def find_photo_of_face(connection: sqlite3.Connection, face_id: str) -> PhotoRecord | None:
    """The photo that the face belongs to, or None."""
    row = connection.execute(
        "select p.* from photos p join faces f using (photo_id) where f.face_id = ?", (face_id,)
    ).fetchone()
    return None if row is None else _with_faces(connection, row)


def photos_after(connection: sqlite3.Connection, photo_id: str, limit: int) -> list[PhotoRecord]:
    """Up to `limit` photos whose ids are greater, ordered by id."""
    rows = connection.execute(
        "select * from photos where photo_id > ? order by photo_id limit ?", (photo_id, limit)
    ).fetchall()
    return [_with_faces(connection, row) for row in rows]


def page_of_photos(
    connection: sqlite3.Connection,
    collection_id: str | None,
    status: PhotoStatus | None,
    limit: int,
    offset: int,
) -> PhotoPage:
    """One page of the listing, and how many photos the filter matches."""
    wanted = {"collection_id": collection_id, "status": status}
    given = {column: value for column, value in wanted.items() if value is not None}
    where = " and ".join(["true", *(f"{column} = :{column}" for column in given)])
    (total,) = connection.execute(f"select count(*) from photos where {where}", given).fetchone()  # noqa: S608
    rows = connection.execute(
        f"select * from photos where {where} order by created_at desc, photo_id limit :limit offset :offset",  # noqa: S608
        {**given, "limit": limit, "offset": offset},
    ).fetchall()
    return PhotoPage(tuple(_summary(row) for row in rows), total)


def _summary(row: sqlite3.Row) -> PhotoSummary:
    return PhotoSummary(
        photo_id=row["photo_id"],
        collection_id=row["collection_id"],
        status=row["status"],
        faces_detected=row["faces_detected"],
        faces_indexed=row["faces_indexed"],
        created_at=from_micros(row["created_at"]),
        updated_at=from_micros(row["updated_at"]),
    )


def _with_faces(connection: sqlite3.Connection, row: sqlite3.Row) -> PhotoRecord:
    faces = connection.execute(
        "select * from faces where photo_id = ? order by score desc, face_id", (row["photo_id"],)
    ).fetchall()
    return PhotoRecord(
        photo_id=row["photo_id"],
        collection_id=row["collection_id"],
        image_sha256=row["image_sha256"],
        width=row["width"],
        height=row["height"],
        faces=tuple(_face(face) for face in faces),
    )


def _face(row: sqlite3.Row) -> FaceRecord:
    return FaceRecord(
        face_id=row["face_id"],
        bbox=BoundingBox(row["x1"], row["y1"], row["x2"], row["y2"]),
        score=row["score"],
        landmarks=tuple((float(x), float(y)) for x, y in json.loads(row["landmarks"])),
        state=row["state"],
    )
