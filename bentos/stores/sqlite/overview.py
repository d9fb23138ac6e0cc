"""Counts the photos of the embedded metadata store by status, and keeps the result of the last audit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from bentos.stores.records import PHOTO_STATUSES, AuditResult, Overview
from bentos.stores.sqlite.leases import clock
from bentos.stores.sqlite.reads import from_micros


def overview(connection: sqlite3.Connection) -> Overview:
    """The number of photos of each status, and the result of the last audit."""
    counted = dict(connection.execute("select status, count(*) from photos group by 1").fetchall())
    audit = connection.execute("select * from last_audit").fetchone()
    return Overview(
        photos={status: counted.get(status, 0) for status in PHOTO_STATUSES},
        audit=None if audit is None else _audit(audit),
    )


def record_audit(connection: sqlite3.Connection, photos: int, differences: Mapping[str, int]) -> None:
    """Store the result of an audit that ends now, in place of the previous result."""
    connection.execute(
        "insert or replace into last_audit values (1, ?, ?, ?)",
        (clock(), photos, json.dumps(dict(differences))),
    )


def _audit(row: sqlite3.Row) -> AuditResult:
    return AuditResult(from_micros(row["finished_at"]), row["photos"], json.loads(row["differences"]))
