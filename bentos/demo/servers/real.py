"""All the real stores on this machine at once: Milvus, PostgreSQL behind PostgREST's protocol, S3."""

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
    """The running servers, each of which can be stopped, frozen and started again; `dsn` is a superuser's."""

    milvus: MilvusServer
    postgrest: PostgrestServer
    s3: s3.S3Server
    dsn: str

    def environment(self) -> dict[str, str]:
        """The settings with which the services reach them."""
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
    """Start them one after the other with their data below `folder`; nothing is left running behind the block.

    The folder may not lie below pytest's own: see `postgres_server`.
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
