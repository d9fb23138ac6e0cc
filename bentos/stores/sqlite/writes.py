"""Detection and indexing in the embedded metadata store: each function is the body of one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from bentos.domain.errors import CollectionMismatch, FaceNotFound, PhotoNotFound
from bentos.stores.errors import other_image
from bentos.stores.records import FaceRecord, Lease
from bentos.stores.sqlite.leases import (
    clock,
    digest,
    give_back,
    give_back_purge,
    photo_row,
    purge_of,
    refuse_when_held,
    require_lease,
    take,
)


def begin_detection(
    connection: sqlite3.Connection, photo_id: str, collection_id: str | None, image_sha256: str, lease: Lease
) -> None:
    """Take the lease of the photo, creating its record when there is none."""
    now = clock()
    row = photo_row(connection, photo_id)
    if row is None:
        connection.execute(
            "insert into photos (photo_id, collection_id, image_sha256, created_at, updated_at)"
            " values (?, ?, ?, ?, ?)",
            (photo_id, collection_id, image_sha256, now, now),
        )
        purge = purge_of(connection, photo_id)
        if purge is not None:
            refuse_when_held(purge, photo_id, lease, now)
            connection.execute("delete from purged_photos where photo_digest = ?", (digest(photo_id),))
    else:
        refuse_when_held(row, photo_id, lease, now)
        if row["image_sha256"] != image_sha256:
            raise other_image(photo_id)
        _join_collection(connection, row, collection_id, now)
    take(connection, photo_id, lease, now)


def finish_detection(
    connection: sqlite3.Connection,
    photo_id: str,
    width: int,
    height: int,
    faces: Sequence[FaceRecord],
    lease: Lease,
) -> None:
    """Record the size and the faces, and give the lease back."""
    require_lease(connection, photo_id, lease)
    now = clock()
    connection.execute(
        "update photos set width = ?, height = ?, detected_at = ?, updated_at = ? where photo_id = ?",
        (width, height, now, now, photo_id),
    )
    for face in faces:
        recorded = connection.execute(
            "insert into faces (face_id, photo_id, x1, y1, x2, y2, score, landmarks, state, recorded_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, 'detected', ?)"
            " on conflict (face_id) do update set"
            " x1 = excluded.x1, y1 = excluded.y1, x2 = excluded.x2, y2 = excluded.y2,"
            " score = excluded.score, landmarks = excluded.landmarks,"
            " recorded_at = iif(state = 'removing', excluded.recorded_at, recorded_at),"
            " indexed_at = iif(state = 'removing', null, indexed_at),"
            " state = iif(state = 'removing', 'detected', state)"
            " where photo_id = excluded.photo_id",
            (face.face_id, photo_id, *face.bbox.as_list(), face.score, json.dumps(face.landmarks), now),
        )
        if recorded.rowcount == 0:
            raise ValueError(f"face {face.face_id} belongs to another photo")
    give_back(connection, photo_id)


def begin_indexing(
    connection: sqlite3.Connection,
    photo_id: str,
    face_ids: Sequence[str],
    collection_id: str | None,
    lease: Lease,
) -> None:
    """Take the lease; the named faces go from `detected` to `pending`."""
    now = clock()
    row = photo_row(connection, photo_id)
    if row is None:
        raise PhotoNotFound(photo_id)
    refuse_when_held(row, photo_id, lease, now)
    _join_collection(connection, row, collection_id, now)
    here = {
        face["face_id"]
        for face in connection.execute(
            "select face_id from faces where photo_id = ? and state <> 'removing'", (photo_id,)
        )
    }
    for face_id in face_ids:
        if face_id not in here:
            raise FaceNotFound(face_id)
        connection.execute(
            "update faces set state = 'pending' where face_id = ? and state = 'detected'", (face_id,)
        )
    take(connection, photo_id, lease, now)


def finish_indexing(
    connection: sqlite3.Connection, photo_id: str, face_ids: Sequence[str], lease: Lease
) -> None:
    """The named faces go from `pending` to `indexed`; the lease is given back."""
    require_lease(connection, photo_id, lease)
    now = clock()
    connection.executemany(
        "update faces set state = 'indexed', indexed_at = ?"
        " where face_id = ? and photo_id = ? and state = 'pending'",
        [(now, face_id, photo_id) for face_id in face_ids],
    )
    connection.execute("update photos set updated_at = ? where photo_id = ?", (now, photo_id))
    give_back(connection, photo_id)


def release(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> None:
    """Give the lease back without finishing."""
    connection.execute(
        "update photos set lease_token = null, lease_until = null"
        " where photo_id = ? and lease_token = ? and lease_until is not null",
        (photo_id, lease.token),
    )
    give_back_purge(connection, photo_id, lease)


def _join_collection(
    connection: sqlite3.Connection, row: sqlite3.Row, collection_id: str | None, now: int
) -> None:
    if collection_id is None or collection_id == row["collection_id"]:
        return
    photo_id = row["photo_id"]
    if row["collection_id"] is not None:
        raise CollectionMismatch(photo_id, row["collection_id"], collection_id)
    connection.execute(
        "update photos set collection_id = ?, updated_at = ? where photo_id = ?",
        (collection_id, now, photo_id),
    )
    connection.execute(
        "update faces set state = 'pending' where photo_id = ? and state = 'indexed'", (photo_id,)
    )
