"""The leases of the embedded metadata store, and the rows that hold them.

A lease is the pair (`lease_token`, `lease_until`) of the photo's row. The photo is free when `lease_until` is
null or past. Finishing nulls `lease_until` and keeps the token: until another writer comes, the same one may
repeat what it finished, and finds nothing left to do. A token that was replaced or released is lost.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time

from bentos.stores.records import Lease, LeaseLost, PhotoBusy

MICROS = 1_000_000


def clock() -> int:
    """The store's clock: microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def photo_row(connection: sqlite3.Connection, photo_id: str) -> sqlite3.Row | None:
    """The photo's row, or None."""
    row: sqlite3.Row | None = connection.execute(
        "select * from photos where photo_id = ?", (photo_id,)
    ).fetchone()
    return row


def refuse_when_held(row: sqlite3.Row, photo_id: str, lease: Lease, now: int) -> None:
    """Raises `PhotoBusy` when another lease holds the row."""
    held = row["lease_until"] is not None and row["lease_until"] > now
    if held and row["lease_token"] != lease.token:
        raise PhotoBusy(f"photo {photo_id!r} is held by another writer")


def take(connection: sqlite3.Connection, photo_id: str, lease: Lease, now: int) -> None:
    """Grant the lease."""
    connection.execute(
        "update photos set lease_token = ?, lease_until = ? where photo_id = ?",
        (lease.token, now + round(lease.seconds * MICROS), photo_id),
    )


def give_back(connection: sqlite3.Connection, photo_id: str) -> None:
    """Free the photo; the lease that finished it may repeat that."""
    connection.execute("update photos set lease_until = null where photo_id = ?", (photo_id,))


def holds(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Whether no other writer has held the photo since this lease was granted."""
    row = photo_row(connection, photo_id)
    return row is not None and row["lease_token"] == lease.token


def require_lease(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> None:
    """Raises `LeaseLost`."""
    if not holds(connection, photo_id, lease):
        raise LeaseLost(f"the lease of photo {photo_id!r} is lost")


def digest(photo_id: str) -> str:
    """All that is kept of the id of a purged photo."""
    return hashlib.sha256(photo_id.encode()).hexdigest()


def purge_of(connection: sqlite3.Connection, photo_id: str) -> sqlite3.Row | None:
    """The mark of a purge, or None."""
    row: sqlite3.Row | None = connection.execute(
        "select * from purged_photos where photo_digest = ?", (digest(photo_id),)
    ).fetchone()
    return row


def give_back_purge(connection: sqlite3.Connection, photo_id: str, lease: Lease) -> bool:
    """Release the lease of a purged photo. Returns whether this lease purged it or removed its image again."""
    changed = connection.execute(
        "update purged_photos set lease_until = null where photo_digest = ? and lease_token = ?",
        (digest(photo_id), lease.token),
    )
    return changed.rowcount > 0
