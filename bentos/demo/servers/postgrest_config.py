"""Writes and reads the configuration file of PostgREST: one `name = value` in each line, texts in double quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from bentos.demo.servers.postgrest_connection import Config

_LINE = re.compile(r"\s*([a-z-]+)\s*=\s*(.*?)\s*")
_KNOWN = {
    "db-uri": str,
    "db-schemas": str,
    "jwt-secret": str,
    "server-host": str,
    "server-port": int,
    "db-pool": int,
    "db-pool-acquisition-timeout": int,
}


def write_config(path: Path, values: Mapping[str, str | int]) -> None:
    """Write the file; only its owner may read it, because it contains a secret."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))


def read_config(path: Path) -> dict[str, str | int]:
    """The values. Raises `SystemExit` for a name that the stand-in does not know, and a number that is not whole."""
    values: dict[str, str | int] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        kind = _KNOWN.get(found[1]) if found else None
        if found is None or kind is None:
            raise SystemExit(f"{path}: the stand-in does not know the line {line!r}")
        try:
            values[found[1]] = kind(json.loads(found[2]) if kind is str else found[2])
        except ValueError as error:
            raise SystemExit(f"{path}: {found[1]} has a wrong value") from error
    return values


def stand_in_config(values: Mapping[str, str | int], major: int) -> Config:
    """What the stand-in needs of the values."""
    return Config(
        dsn=str(values["db-uri"]),
        jwt_secret=str(values["jwt-secret"]),
        schema=str(values["db-schemas"]),
        pool=int(values.get("db-pool", 10)),
        pool_acquisition_timeout_s=int(values.get("db-pool-acquisition-timeout", 10)),
        major=major,
    )
