"""Writes log lines as JSON to stdout, with time, level and request id; never a key, an image or an embedding."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from bentos.domain.redaction import redacted
from bentos.observability.request_ids import current_request_id

_ROOT = "bentos"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": current_request_id(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redacted(json.dumps(line, ensure_ascii=False, default=str))


def configure_logging(level: str) -> None:
    """Write every log line of this project to stdout as JSON. Can be called twice."""
    logger = logging.getLogger(_ROOT)
    logger.setLevel(level.upper())
    logger.propagate = False
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(_JsonLines())
        logger.addHandler(handler)
