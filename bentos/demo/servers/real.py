"""Starts all real store servers on this machine: Milvus, PostgreSQL with the PostgREST stand-in, S3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bentos.demo.servers import s3
from bentos.demo.servers.milvus import MilvusServer
from bentos.demo.servers.postgres import authenticator_dsn, postgres_server
from bentos.demo.servers.postgrest import TOKEN, PostgrestServer


@dataclass(frozen=True)
class RealServers:
    """The running servers; each can be stopped, frozen and started again. `dsn` is that of a superuser."""

    milvus: MilvusServer
    postgrest: PostgrestServer
    s3: s3.S3Server
    dsn: str

    def environment(self) -> dict[str, str]:
        """The settings that connect the services to these servers."""
        return {
            "MILVUS_URI": self.milvus.uri,
            "POSTGREST_URL": self.postgrest.url,
            "POSTGREST_TOKEN": TOKEN,
            "S3_ENDPOINT_URL": self.s3.url,
            "S3_REGION": s3.REGION,
            "S3_BUCKET": s3.BUCKET,
            "S3_ACCESS_KEY_ID": s3.ACCESS_KEY_ID,
            "S3_SECRET_ACCESS_KEY": s3.SECRET_ACCESS_KEY,
            "S3_ADDRESSING": "path",
        }


@contextlib.contextmanager
def real_servers(folder: Path) -> Iterator[RealServers]:
    """Start the servers with their data in `folder`; stop all of them at the end of the block.

    The folder must not be inside pytest's temporary folder: see `postgres_server`.
    """
    parts = {name: folder / name for name in ("milvus", "postgres", "s3")}
    for part in parts.values():
        part.mkdir(parents=True)
    with contextlib.ExitStack() as running:
        dsn = running.enter_context(postgres_server(parts["postgres"]))
        postgrest = running.enter_context(PostgrestServer(authenticator_dsn(dsn), pool=20).running())
        objects = running.enter_context(s3.S3Server(parts["s3"]).running())
        milvus = running.enter_context(MilvusServer(parts["milvus"]).running())
        yield RealServers(milvus, postgrest, objects, dsn)
