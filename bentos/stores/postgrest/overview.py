"""Reads the answer of the SQL function `overview`: photos by status, and the result of the last audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bentos.stores.records import PHOTO_STATUSES, AuditResult, Overview


def overview_of(row: dict[str, Any]) -> Overview:
    """The overview; a status without photos counts 0."""
    audit = row["audit"]
    return Overview(
        photos={status: row["photos"].get(status, 0) for status in PHOTO_STATUSES},
        audit=None
        if audit is None
        else AuditResult(datetime.fromisoformat(audit["finished_at"]), audit["photos"], audit["differences"]),
    )
