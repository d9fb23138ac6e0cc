"""Starts the real stores and provides the settings that connect a replica to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bentos.demo.servers import s3
from bentos.demo.servers.milvus import milvus_server
from bentos.demo.servers.postgres import postgres_server
from bentos.demo.servers.postgrest import TOKEN, postgrest_server

KEY = "0123456789abcdef-key-of-the-tests"


@contextlib.contextmanager
def real_stores(folder: Path) -> Iterator[dict[str, str]]:
    """Start Milvus, PostgreSQL with PostgREST's protocol, and S3; yield the settings for them."""
    with contextlib.ExitStack() as stack:
        parts = {name: folder / name for name in ("milvus", "postgres", "s3")}
        for part in parts.values():
            part.mkdir()
        dsn = stack.enter_context(postgres_server(parts["postgres"]))
        yield {
            "API_KEY": KEY,
            "MILVUS_URI": stack.enter_context(milvus_server(parts["milvus"])),
            "POSTGREST_URL": stack.enter_context(postgrest_server(dsn, pool=20)),
            "POSTGREST_TOKEN": TOKEN,
            "S3_ENDPOINT_URL": stack.enter_context(s3.s3_server(parts["s3"])),
            "S3_REGION": s3.REGION,
            "S3_BUCKET": s3.BUCKET,
            "S3_ACCESS_KEY_ID": s3.ACCESS_KEY_ID,
            "S3_SECRET_ACCESS_KEY": s3.SECRET_ACCESS_KEY,
            "S3_ADDRESSING": "path",
        }


def process_environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """The environment of a replica that runs as a process; as in the image, modules are compiled in advance."""
    mine = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**mine, "PYTHONPYCACHEPREFIX": str(folder / "compiled"), **settings}
