"""Every line that a process prints, as one JSON line: what is JSON passes, BentoML's format is understood."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

_BENTOML = re.compile(r"^\S+ \[(?P<level>[A-Z]+)\] \[(?P<logger>[^\]]+)\] (?P<message>.*)$")


def json_line(line: str) -> str:
    """`line`, without its end, as JSON; lines of another origin are of level `info` and logger `process`."""
    if line.startswith("{"):
        try:
            json.loads(line)
        except ValueError:
            pass
        else:
            return line
    found = _BENTOML.match(line)
    if found is None:
        return log_line("info", "process", line)
    return log_line(found["level"].lower(), found["logger"], found["message"])


def log_line(level: str, logger: str, message: str) -> str:
    """One line of log, in the format of `bentos.observability.logs`."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {"time": now, "level": level, "logger": logger, "message": message, "request_id": None},
        ensure_ascii=False,
    )
