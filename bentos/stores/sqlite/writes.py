"""Writes of the embedded metadata store: each function is the body of one transaction.

A lease is the pair (`lease_token`, `lease_until`) of the photo's row. The photo is free when `lease_until` is
null or past. Finishing nulls `lease_until` and keeps the token: until another writer comes, the same one may
repeat what it finished, and finds nothing left to do. A token that was replaced or released is lost.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence

from bentos.domain.errors import CollectionMismatch, FaceNotFound, PhotoNotFound
from bentos.stores.errors import other_image
from bentos.stores.records import FaceRecord, Lease, LeaseLost, PhotoBusy, RemovalBatch

_MICROS = 1_000_000


def clock() -> int:
    """The store's clock: microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def begin_detection(
    connection: sqlite3.Connection, photo_id: str, collection_id: str | None, image_sha256: str, lease: Lease
) -> None:
    """Take the lease of the photo, creating its record when there is none."""
    now = clock()
    row = _photo_row(connection, photo_id)
    if row is None:
        connection.execute(
            "insert into photos (photo_id, collection_id, image_sha256, created_at, updated_at)"
            " values (?, ?, ?, ?, ?)",
            (photo_id, collection_id, image_sha256, now, now),
        )
        purge = _purge_of(connection, photo_id)
        if purge is not None:
            _refuse_when_held(purge, photo_id, lease, now)
            connection.execute("delete from purged_photos where photo_digest = ?", (_digest(photo_id),))
    else:
        _refuse_when_held(row, photo_id, lease, now)
        if row["image_sha256"] != image_sha256:
            raise other_image(photo_id)
        _join_collection(connection, row, collection_id, now)
    _take(connection, photo_id, lease, now)


def finish_detection(
    connection: sqlite3.Connection,
    photo_id: str,
    width: int,
    height: int,
    faces: Sequence[FaceRecord],
    lease: Lease,
) -> None:
    """Record the size and the faces, and give the lease back."""
    _require_lease(connection, photo_id, lease)
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
    _give_back(connection, photo_id)


def begin_indexing(
    connection: sqlite3.Connection,
    photo_id: str,
    face_ids: Sequence[str],
    collection_id: str | None,
    lease: Lease,
) -> None:
    """Take the lease; the named faces go from `detected` to `pending`."""
    now = clock()
    row = _photo_row(connection, photo_id)
    if row is None:
        raise PhotoNotFound(photo_id)
    _refuse_when_held(row, photo_id, lease, now)
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
    _take(connection, photo_id, lease, now)


def finish_indexing(
    connection: sqlite3.Connection, photo_id: str, face_ids: Sequence[str], lease: Lease
) -> None:
    """The named faces go from `pending` to `indexed`; the lease is given back."""
    _require_lease(connection, photo_id, lease)
    now = clock()
    connection.executemany(
        "update faces set state = 'indexed', indexed_at = ?"
        " where face_id = ? and photo_id = ? and state = 'pending'",
        [(now, face_id, photo_id) for face_id in face_ids],
    )
    connection.execute("update photos set updated_at = ? where photo_id = ?", (now, photo_id))
    _give_back(connection, photo_id)


def begin_removal(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Take the lease; every face goes to `removing`. False when the photo was purged before."""
    now = clock()
    row = _photo_row(connection, photo_id)
    if row is None:
        if _purge_of(connection, photo_id) is None:
            raise PhotoNotFound(photo_id)
        return False
    _refuse_when_held(row, photo_id, lease, now)
    _remove_faces_of(connection, photo_id, lease, now)
    return True


def begin_removals(
    connection: sqlite3.Connection, collection_id: str | None, until: int, lease: Lease, limit: int
) -> RemovalBatch:
    """`begin_removal` for up to `limit` photos; `until` in microseconds."""
    now = clock()
    matching = (
        "from photos p where (:collection_id is null or collection_id = :collection_id) and exists"
        " (select 1 from faces f where f.photo_id = p.photo_id"
        "  and (f.recorded_at <= :until or f.indexed_at <= :until or f.state = 'removing'))"
    )
    held = "(lease_until is not null and lease_until > :now and lease_token <> :token)"
    values = {"collection_id": collection_id, "until": until, "now": now, "token": lease.token}
    rows = connection.execute(
        f"select photo_id {matching} and not {held} order by photo_id limit :limit",
        {**values, "limit": limit},
    ).fetchall()
    photo_ids = tuple(row["photo_id"] for row in rows)
    for photo_id in photo_ids:
        _remove_faces_of(connection, photo_id, lease, now)
    (busy,) = connection.execute(f"select count(*) {matching} and {held}", values).fetchone()
    return RemovalBatch(photo_ids, busy)


def finish_removals(
    connection: sqlite3.Connection, photo_ids: Sequence[str], purge: bool, lease: Lease
) -> tuple[int, tuple[str, ...]]:
    """Delete the faces in state `removing`. Returns how many, and the photos whose lease was lost."""
    gone = 0
    lost = []
    for photo_id in photo_ids:
        if not _holds(connection, photo_id, lease):
            if not _give_back_purge(connection, photo_id, lease):
                lost.append(photo_id)
            continue
        gone += connection.execute(
            "delete from faces where photo_id = ? and state = 'removing'", (photo_id,)
        ).rowcount
        if purge:
            connection.execute("delete from photos where photo_id = ?", (photo_id,))
            connection.execute(
                "insert or replace into purged_photos (photo_digest, lease_token) values (?, ?)",
                (_digest(photo_id), lease.token),
            )
        else:
            connection.execute("update photos set updated_at = ? where photo_id = ?", (clock(), photo_id))
            _give_back(connection, photo_id)
    return gone, tuple(lost)


def purged(connection: sqlite3.Connection, photo_ids: Sequence[str]) -> list[str]:
    """The photos among `photo_ids` that were purged, ordered by id."""
    return sorted(photo_id for photo_id in photo_ids if _purge_of(connection, photo_id) is not None)


def begin_image_removal(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Take the lease of a purged photo. False when it is recorded, or was never purged."""
    now = clock()
    purge = _purge_of(connection, photo_id)
    if purge is None or _photo_row(connection, photo_id) is not None:
        return False
    _refuse_when_held(purge, photo_id, lease, now)
    connection.execute(
        "update purged_photos set lease_token = ?, lease_until = ? where photo_digest = ?",
        (lease.token, now + round(lease.seconds * _MICROS), _digest(photo_id)),
    )
    return True


def release(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> None:
    """Give the lease back without finishing."""
    connection.execute(
        "update photos set lease_token = null, lease_until = null"
        " where photo_id = ? and lease_token = ? and lease_until is not null",
        (photo_id, lease.token),
    )
    _give_back_purge(connection, photo_id, lease)


def _photo_row(connection: sqlite3.Connection, photo_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "select * from photos where photo_id = ?", (photo_id,)
    ).fetchone()
    return row


def _refuse_when_held(row: sqlite3.Row, photo_id: str, lease: Lease, now: int) -> None:
    held = row["lease_until"] is not None and row["lease_until"] > now
    if held and row["lease_token"] != lease.token:
        raise PhotoBusy(f"photo {photo_id!r} is held by another writer")


def _take(connection: sqlite3.Connection, photo_id: str, lease: Lease, now: int) -> None:
    connection.execute(
        "update photos set lease_token = ?, lease_until = ? where photo_id = ?",
        (lease.token, now + round(lease.seconds * _MICROS), photo_id),
    )


def _give_back(connection: sqlite3.Connection, photo_id: str) -> None:
    connection.execute("update photos set lease_until = null where photo_id = ?", (photo_id,))


def _holds(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Whether no other writer has held the photo since this lease was granted."""
    row = _photo_row(connection, photo_id)
    return row is not None and row["lease_token"] == lease.token


def _require_lease(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> None:
    if not _holds(connection, photo_id, lease):
        raise LeaseLost(f"the lease of photo {photo_id!r} is lost")


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


def _remove_faces_of(connection: sqlite3.Connection, photo_id: str, lease: Lease, now: int) -> None:
    changed = connection.execute(
        "update faces set state = 'removing' where photo_id = ? and state <> 'removing'", (photo_id,)
    ).rowcount
    if changed:
        connection.execute("update photos set updated_at = ? where photo_id = ?", (now, photo_id))
    _take(connection, photo_id, lease, now)


def _digest(photo_id: str) -> str:
    return hashlib.sha256(photo_id.encode()).hexdigest()


def _purge_of(connection: sqlite3.Connection, photo_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "select * from purged_photos where photo_digest = ?", (_digest(photo_id),)
    ).fetchone()
    return row


def _give_back_purge(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Release the lease of a purged photo. Returns whether this lease purged it or removed its image again."""
    changed = connection.execute(
        "update purged_photos set lease_until = null where photo_digest = ? and lease_token = ?",
        (_digest(photo_id), lease.token),
    )
    return changed.rowcount > 0
