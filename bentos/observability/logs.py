"""Writes log lines as JSON to stdout, with time, level and request id; never a key, an image or an embedding."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bentos.domain.redaction import redacted
from bentos.observability.request_ids import current_request_id

_ROOT = "bentos"


class _JsonLines(logging.Formatter):
    def __init__(self, trace_fields: Callable[[], Mapping[str, str]] | None = None) -> None:
        super().__init__()
        self._trace_fields = trace_fields

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": current_request_id(),
        }
        if self._trace_fields is not None:
            line.update(self._trace_fields())
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redacted(json.dumps(line, ensure_ascii=False, default=str))


def configure_logging(level: str, trace_fields: Callable[[], Mapping[str, str]] | None = None) -> None:
    """Write every log line of this project to stdout as JSON. Can be called twice.

    `trace_fields`: gives the fields that link a line to the trace of its request.
    """
    logger = logging.getLogger(_ROOT)
    logger.setLevel(level.upper())
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.handlers[0].setFormatter(_JsonLines(trace_fields))
