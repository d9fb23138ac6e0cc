"""Turns each line that a process prints into one JSON line; JSON passes unchanged, and BentoML's format is parsed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

_BENTOML = re.compile(r"^\S+ \[(?P<level>[A-Z]+)\] \[(?P<logger>[^\]]+)\] (?P<message>.*)$")


def json_line(line: str) -> str:
    """`line`, without its line break, as JSON; a line that is no log line gets level `info` and logger `process`."""
    if _is_json(line):
        return line
    found = _BENTOML.match(line)
    if found is None:
        return log_line("info", "process", line)
    return log_line(found["level"].lower(), found["logger"], found["message"])


def is_log_line(line: str) -> bool:
    """Whether `line` comes from a logger, and not from `print` or a traceback."""
    return _is_json(line) or _BENTOML.match(line) is not None


def _is_json(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def log_line(level: str, logger: str, message: str) -> str:
    """One line of log, in the format of `bentos.observability.logs`."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {"time": now, "level": level, "logger": logger, "message": message, "request_id": None},
        ensure_ascii=False,
    )
