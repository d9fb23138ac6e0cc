"""Removals of the embedded metadata store: each function is the body of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from bentos.domain.errors import FaceNotFound, PhotoNotFound
from bentos.stores.records import Lease, RemovalBatch
from bentos.stores.sqlite.leases import (
    MICROS,
    clock,
    digest,
    give_back,
    give_back_purge,
    holds,
    photo_row,
    purge_of,
    refuse_when_held,
    take,
)


def begin_removal(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Take the lease; every face goes to `removing`. False when the photo was purged before."""
    now = clock()
    if not _is_there(connection, photo_id, lease, now):
        return False
    _remove_faces_of(connection, photo_id, lease, now)
    return True


def begin_face_removal(connection: sqlite3.Connection, photo_id: str, face_id: str, lease: Lease) -> bool:
    """Take the lease; the face goes to `removing`. False when the photo was purged before."""
    now = clock()
    if not _is_there(connection, photo_id, lease, now):
        return False
    known = connection.execute(
        "select 1 from faces where face_id = :face_id and photo_id = :photo_id"
        " union all select 1 from removed_faces where face_id = :face_id and photo_id = :photo_id",
        {"face_id": face_id, "photo_id": photo_id},
    ).fetchone()
    if known is None:
        raise FaceNotFound(face_id)
    connection.execute(
        "update faces set state = 'removing' where face_id = ? and photo_id = ?", (face_id, photo_id)
    )
    take(connection, photo_id, lease, now)
    return True


def _is_there(connection: sqlite3.Connection, photo_id: str, lease: Lease, now: int) -> bool:
    """False when the photo was purged before. Raises `PhotoNotFound`; `PhotoBusy` when another lease holds it."""
    row = photo_row(connection, photo_id)
    if row is not None:
        refuse_when_held(row, photo_id, lease, now)
    elif purge_of(connection, photo_id) is None:
        raise PhotoNotFound(photo_id)
    return row is not None


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
        if not holds(connection, photo_id, lease):
            if not give_back_purge(connection, photo_id, lease):
                lost.append(photo_id)
            continue
        connection.execute(
            "insert or ignore into removed_faces (face_id, photo_id)"
            " select face_id, photo_id from faces where photo_id = ? and state = 'removing'",
            (photo_id,),
        )
        gone += connection.execute(
            "delete from faces where photo_id = ? and state = 'removing'", (photo_id,)
        ).rowcount
        if purge:
            connection.execute("delete from photos where photo_id = ?", (photo_id,))
            connection.execute(
                "insert or replace into purged_photos (photo_digest, lease_token) values (?, ?)",
                (digest(photo_id), lease.token),
            )
        else:
            connection.execute("update photos set updated_at = ? where photo_id = ?", (clock(), photo_id))
            give_back(connection, photo_id)
    return gone, tuple(lost)


def purged(connection: sqlite3.Connection, photo_ids: Sequence[str]) -> list[str]:
    """The photos among `photo_ids` that were purged, ordered by id."""
    return sorted(photo_id for photo_id in photo_ids if purge_of(connection, photo_id) is not None)


def begin_image_removal(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Take the lease of a purged photo. False when it is recorded, or was never purged."""
    now = clock()
    purge = purge_of(connection, photo_id)
    if purge is None or photo_row(connection, photo_id) is not None:
        return False
    refuse_when_held(purge, photo_id, lease, now)
    connection.execute(
        "update purged_photos set lease_token = ?, lease_until = ? where photo_digest = ?",
        (lease.token, now + round(lease.seconds * MICROS), digest(photo_id)),
    )
    return True


def _remove_faces_of(connection: sqlite3.Connection, photo_id: str, lease: Lease, now: int) -> None:
    changed = connection.execute(
        "update faces set state = 'removing' where photo_id = ? and state <> 'removing'", (photo_id,)
    ).rowcount
    if changed:
        connection.execute("update photos set updated_at = ? where photo_id = ?", (now, photo_id))
    take(connection, photo_id, lease, now)
