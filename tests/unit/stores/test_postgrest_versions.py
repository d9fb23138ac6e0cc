"""Tests that the stand-in for PostgREST refuses like each version, and backs off after PostgreSQL was away."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from bentos.demo.servers.postgres import apply_schema, authenticator_dsn, empty_database
from bentos.demo.servers.postgrest import JWT_SECRET, SUPPORTED, TOKEN, PostgrestServer, binary
from bentos.demo.servers.postgrest_config import read_config, write_config
from bentos.demo.servers.postgrest_connection import pauses
from bentos.demo.servers.postgrest_tokens import make_token

pytestmark = pytest.mark.skipif(binary() is not None, reason="POSTGREST_BIN takes the place of the stand-in")

FAR_AHEAD = 4_000_000_000
TABLE = "photo_records"
EXPIRED = {"exp": 1}
NOT_YET = {"nbf": FAR_AHEAD}
FROM_THE_FUTURE = {"iat": FAR_AHEAD}


@pytest.fixture(scope="module", params=SUPPORTED)
def versioned(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[tuple[int, str]]:
    """Each version and its URL."""
    with PostgrestServer(authenticator_dsn(postgres_dsn), major=request.param).running() as server:
        yield request.param, server.url


@pytest.mark.parametrize(
    ("claims", "path", "of_12", "later"),
    [
        (EXPIRED, TABLE, (401, "PGRST301", "JWT expired"), (401, "PGRST303", "JWT expired")),
        (NOT_YET, TABLE, (401, "PGRST301", "JWTNotYetValid"), (401, "PGRST303", "JWT not yet valid")),
        (
            FROM_THE_FUTURE,
            TABLE,
            (401, "PGRST301", "JWTIssuedAtFuture"),
            (401, "PGRST303", "JWT issued at future"),
        ),
        ({"role": "nobody"}, TABLE, (400, "22023", None), (401, "22023", None)),
        ({}, "nothing", (404, "42P01", None), (404, "PGRST205", None)),
    ],
)
def test_statuses_and_codes_are_those_of_the_version(
    versioned: tuple[int, str], claims: dict[str, Any], path: str, of_12: Any, later: Any
) -> None:
    major, url = versioned
    token = make_token(JWT_SECRET, **claims)
    answer = httpx.get(f"{url}/{path}", headers={"Authorization": f"Bearer {token}"})
    status, code, message = of_12 if major == 12 else later
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert message in (None, answer.json()["message"])


def test_a_clock_that_is_a_little_ahead_is_accepted(versioned: tuple[int, str]) -> None:
    soon = int(time.time()) + 20
    token = make_token(JWT_SECRET, nbf=soon, iat=soon, exp=soon - 40)
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{versioned[1]}/{TABLE}", headers=headers).is_success


def test_the_pauses_between_attempts_double_up_to_half_a_minute() -> None:
    first = list(itertools.islice(pauses(), 8))
    assert first == [1, 2, 4, 8, 16, 32, 32, 32]
    # PostgreSQL was away for 45 s: the attempt after that comes 18 s later.
    assert next(at for at in itertools.accumulate(first) if at > 45) - 45 == 18


def test_after_a_refused_connection_everything_is_refused_until_the_next_attempt(postgres_dsn: str) -> None:
    def code() -> str | None:
        answer = httpx.get(f"{server.url}/{TABLE}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == (200 if answer.is_success else 503)
        return None if answer.is_success else str(answer.json()["code"])

    with (
        empty_database(postgres_dsn, "refusing") as dsn,
        psycopg.connect(postgres_dsn, autocommit=True) as admin,
    ):
        apply_schema(dsn)
        with PostgrestServer(authenticator_dsn(dsn)).running() as server:
            for _ in range(5):  # a slow machine may let the next attempt pass before the last request
                assert code() is None
                admin.execute("alter database refusing allow_connections false")
                admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'refusing'"
                )
                codes = [code() for _ in range(3)]
                admin.execute("alter database refusing allow_connections true")
                psycopg.connect(dsn).close()
                codes.append(code())  # PostgreSQL accepts connections again, and the stand-in has not tried
                deadline = time.monotonic() + 60
                while code() is not None:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                if codes == ["PGRST001", "PGRST002", "PGRST002", "PGRST002"]:
                    break
            else:
                pytest.fail(f"{codes}")


def test_the_configuration_file_takes_whole_seconds_and_known_names_alone(tmp_path: Path) -> None:
    path = tmp_path / "postgrest.conf"
    values: dict[str, str | int] = {"db-uri": 'host=/tmp password="a\\b"', "db-pool-acquisition-timeout": 3}
    write_config(path, values)
    assert read_config(path) == values
    assert path.stat().st_mode & 0o077 == 0
    for line in ("db-pool-acquisition-timeout = 0.5", 'db-anon-role = "anybody"', "db-pool"):
        path.write_text(line)
        with pytest.raises(SystemExit):
            read_config(path)
