"""Tests of the PostgREST store with outages, lost responses and wrong settings, within its timeout."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from bentos.demo.servers.postgres import apply_schema, authenticator_dsn, empty_database
from bentos.demo.servers.postgrest import (
    JWT_SECRET,
    SUPPORTED,
    TOKEN,
    PostgrestServer,
    binary,
    major_of_binary,
)
from bentos.demo.servers.postgrest_tokens import make_token
from bentos.domain.errors import DependencyUnavailable
from bentos.stores.postgrest.store import PostgrestMetadataStore, PostgrestOptions
from bentos.stores.records import Lease, PhotoBusy

SHA = "5f" * 32
FAR_AHEAD = 4_000_000_000


@pytest.fixture(scope="module")
def by_version(postgres_dsn: str, postgrest_url: str) -> Iterator[dict[int, str]]:
    """URLs of the stand-in, one for each supported version of PostgREST; or that of the binary."""
    if binary():
        yield {major_of_binary(): postgrest_url}
        return
    dsn = authenticator_dsn(postgres_dsn)
    with (
        PostgrestServer(dsn, major=12).running() as twelve,
        PostgrestServer(dsn, major=13).running() as thirteen,
    ):
        yield {12: twelve.url, 13: thirteen.url, 14: postgrest_url}


@pytest.fixture(params=SUPPORTED)
def major(request: pytest.FixtureRequest) -> int:
    """Each supported version of PostgREST; with POSTGREST_BIN that of the binary alone."""
    if binary() and request.param != major_of_binary():
        pytest.skip(f"POSTGREST_BIN is version {major_of_binary()}")
    version: int = request.param
    return version


@contextlib.asynccontextmanager
async def opened(
    url: str, *, token: str = TOKEN, timeout_s: float = 10
) -> AsyncIterator[PostgrestMetadataStore]:
    store = PostgrestMetadataStore(PostgrestOptions(url, token, timeout_s))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def server(postgres_dsn: str) -> Iterator[PostgrestServer]:
    """A separate stand-in that a test may stop and freeze."""
    with PostgrestServer(authenticator_dsn(postgres_dsn), pool=2).running() as server:
        yield server


@pytest.fixture
def empty(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("set search_path = face_search")
        connection.execute("truncate photos, faces, removed_faces, purged_photos, photo_counts")


async def test_a_port_without_a_server_is_unavailable() -> None:
    with pytest.raises(DependencyUnavailable, match="ConnectError") as refused:
        async with opened("http://127.0.0.1:9"):
            pass
    assert refused.value.dependency == "postgrest"


async def test_calls_to_a_server_that_never_answers_fail_in_time(server: PostgrestServer) -> None:
    async with opened(server.url, timeout_s=2) as store:
        with server.frozen():
            started = time.monotonic()
            with pytest.raises(DependencyUnavailable, match=r"no answer within 2 s"):
                await store.photo("p")
            assert time.monotonic() - started < 20
        assert await store.photo("nobody") is None


async def test_recovery_is_automatic(server: PostgrestServer) -> None:
    async with opened(server.url) as store:
        server.stop()
        with pytest.raises(DependencyUnavailable):
            await store.photo("nobody")
        server.start()
        assert await store.photo("nobody") is None


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "wants a POSTGREST_TOKEN"),
        ("nonsense", "refuses POSTGREST_TOKEN"),
        (make_token("another-secret-that-is-long-enough-too"), "refuses POSTGREST_TOKEN"),
        (make_token(JWT_SECRET, exp=1), "has expired: replace it"),
        (make_token(JWT_SECRET, nbf=FAR_AHEAD), "not valid yet: check its nbf"),
        (make_token(JWT_SECRET, iat=FAR_AHEAD), "issued in the future: check its iat"),
        (make_token(JWT_SECRET, role="authenticator"), "lacks the rights"),
        (make_token(JWT_SECRET, role="nobody"), "does not exist in PostgreSQL: apply"),
    ],
)
async def test_an_unusable_token_is_reported_when_the_store_opens(
    by_version: dict[int, str], major: int, token: str, reason: str
) -> None:
    with pytest.raises(DependencyUnavailable, match=reason) as refused:
        async with opened(by_version[major], token=token):
            pass
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    ("made_so_far", "reason"),
    [
        ("", r"cannot read the schema face_search.*schema\.sql was applied \(PGRST002\)"),
        ("create schema face_search", r"does not know a function.*apply deploy/postgrest/schema\.sql"),
    ],
)
async def test_a_missing_schema_is_reported_when_the_store_opens(
    postgres_dsn: str, made_so_far: str, reason: str
) -> None:
    with empty_database(postgres_dsn, "bare") as dsn:
        if made_so_far:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(made_so_far)  # type: ignore[call-overload]
        with (
            PostgrestServer(authenticator_dsn(dsn)).running() as server,
            pytest.raises(DependencyUnavailable, match=reason),
        ):
            async with opened(server.url):
                pass


async def test_the_error_for_a_missing_view_says_what_to_apply(postgres_dsn: str, major: int) -> None:
    code = "42P01" if major == 12 else "PGRST205"
    with empty_database(postgres_dsn, "viewless") as dsn:
        apply_schema(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("drop view face_search.photos_of_faces")
            connection.execute("notify pgrst")
        with PostgrestServer(authenticator_dsn(dsn), major=major).running() as server:
            async with opened(server.url) as store:
                with pytest.raises(DependencyUnavailable, match=rf"view.*apply deploy/.*{code}"):
                    await store.photo_of_face("0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11")


@pytest.mark.parametrize("was_up", [True, False])
async def test_an_outage_of_postgresql_is_distinguished_from_one_of_postgrest(
    postgres_dsn: str, was_up: bool
) -> None:
    with empty_database(postgres_dsn, "lost") as dsn:
        apply_schema(dsn)
        with PostgrestServer(
            authenticator_dsn(dsn), pool=1, pool_acquisition_timeout_s=1
        ).running() as server:
            if was_up:
                async with opened(server.url) as store:
                    assert await store.photo("p") is None
            with psycopg.connect(postgres_dsn, autocommit=True) as connection:
                connection.execute("alter database lost allow_connections false")
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'lost'"
                )
            with pytest.raises(DependencyUnavailable, match="check that PostgreSQL runs"):
                async with opened(server.url, timeout_s=5):
                    pass
            with psycopg.connect(postgres_dsn, autocommit=True) as connection:
                connection.execute("alter database lost allow_connections true")
            async with asyncio.timeout(60):  # PostgREST tries again after 1, 2, 4, ... seconds
                while True:
                    with contextlib.suppress(DependencyUnavailable):
                        async with opened(server.url, timeout_s=5) as store:
                            assert await store.photo("p") is None
                            break


async def test_the_reason_of_an_earlier_attempt_is_not_lost_when_the_next_one_times_out(
    postgres_dsn: str, empty: None
) -> None:
    small = PostgrestServer(authenticator_dsn(postgres_dsn), pool=1, pool_acquisition_timeout_s=1)
    with small.running() as server:
        async with opened(server.url) as patient, opened(server.url, timeout_s=1.5) as store:
            with psycopg.connect(postgres_dsn) as connection:
                connection.execute("lock table face_search.photos")
                stuck = asyncio.create_task(patient.photo("p"))
                await asyncio.sleep(0.2)
                with pytest.raises(DependencyUnavailable, match=r"below POSTGREST_TIMEOUT_S \(PGRST003\)"):
                    await store.photo("q")
            assert await stuck is None


async def test_a_token_that_is_replaced_is_used_by_the_next_request(postgrest_url: str) -> None:
    present = [make_token(JWT_SECRET, exp=1)]
    store = PostgrestMetadataStore(PostgrestOptions(postgrest_url, lambda: present[0]))
    with pytest.raises(DependencyUnavailable, match="has expired"):
        await store.open()
    present[0] = TOKEN
    await store.open()
    assert await store.photo("nobody") is None
    await store.close()


async def test_the_token_is_not_printed() -> None:
    assert TOKEN not in repr(PostgrestOptions("http://localhost:3000", TOKEN))


async def test_an_exhausted_pool_is_unavailable_until_a_connection_is_free(
    postgres_dsn: str, tmp_path: Path, empty: None
) -> None:
    small = PostgrestServer(authenticator_dsn(postgres_dsn), pool=1, pool_acquisition_timeout_s=1)
    with small.running() as server:
        async with opened(server.url) as store:
            with psycopg.connect(postgres_dsn) as connection:
                connection.execute("lock table face_search.photos")
                stuck = asyncio.create_task(store.photo("p"))
                await asyncio.sleep(0.2)
                with pytest.raises(DependencyUnavailable, match="PGRST003"):
                    await store.photo("q")
            assert await stuck is None
            assert await store.photo("q") is None


async def test_connections_that_postgresql_closes_are_replaced_without_an_error(
    postgres_dsn: str, postgrest_url: str, empty: None
) -> None:
    async with opened(postgrest_url) as store:
        await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=Lease(30))
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'"
            )
        photo = await store.photo("p")
        assert photo is not None


@contextlib.asynccontextmanager
async def answers_lost(url: str, lose: Callable[[bytes], bool]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy to `url` that delivers every request, but closes the connection for the responses named in `lose`."""
    target, lost = urlsplit(url), list[bytes]()
    tasks = set[asyncio.Task[None]]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert target.hostname is not None
        inner_reader, inner_writer = await asyncio.open_connection(target.hostname, target.port)
        to_lose: list[bytes] = []

        async def requests() -> None:
            while part := await reader.read(65536):
                if lose(part) and not lost:
                    to_lose.append(part)
                inner_writer.write(part)

        async def answers() -> None:
            while (part := await inner_reader.read(65536)) and not to_lose:
                writer.write(part)
            lost.extend(to_lose)

        both = [asyncio.create_task(requests()), asyncio.create_task(answers())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in both:
                direction.cancel()
            inner_writer.close()
            writer.close()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(carry(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lost
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Step = Callable[[PostgrestMetadataStore, Lease], Awaitable[object]]

STEPS: dict[str, Step] = {
    "begin_detection": lambda s, lease: s.begin_detection(
        "p", collection_id="c", image_sha256=SHA, lease=lease
    ),
    "finish_detection": lambda s, lease: s.finish_detection("p", width=9, height=9, faces=[], lease=lease),
    "finish_detection_and_begin_indexing": lambda s, lease: s.finish_detection_and_begin_indexing(
        "p", width=9, height=9, faces=[], face_ids=[], lease=lease
    ),
    "begin_indexing": lambda s, lease: s.begin_indexing("p", face_ids=[], collection_id=None, lease=lease),
    "finish_indexing": lambda s, lease: s.finish_indexing("p", face_ids=[], lease=lease),
    "begin_removal": lambda s, lease: s.begin_removal("p", lease=lease),
    "finish_removals": lambda s, lease: s.finish_removals(["p"], purge=True, lease=lease),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_call_whose_response_was_lost_is_retried_and_succeeds(
    postgrest_url: str, empty: None, step: str
) -> None:
    async with (
        answers_lost(postgrest_url, lambda request: f"/rpc/{step} ".encode() in request) as (url, lost),
        opened(url) as store,
    ):
        held = Lease(30)
        for run in STEPS.values():
            await run(store, held)
        assert len(lost) == 1
        assert await store.photo("p") is None


async def test_a_lost_response_does_not_allow_a_second_writer(postgrest_url: str, empty: None) -> None:
    async with (
        answers_lost(postgrest_url, lambda request: b"/rpc/begin_detection " in request) as (url, _),
        opened(url) as store,
    ):
        await STEPS["begin_detection"](store, Lease(30))
        with pytest.raises(PhotoBusy):
            await STEPS["begin_detection"](store, Lease(30))
