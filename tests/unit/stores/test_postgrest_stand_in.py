"""Tests that the stand-in for PostgREST implements what is documented and refuses everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from bentos.demo.servers.postgrest import JWT_SECRET, TOKEN, binary
from bentos.demo.servers.postgrest_tokens import make_token

pytestmark = pytest.mark.skipif(binary() is not None, reason="POSTGREST_BIN takes the place of the stand-in")


@pytest.fixture
def api(postgres_dsn: str, postgrest_url: str) -> Iterator[httpx.Client]:
    """The stand-in with three photos."""
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("set search_path = face_search")
        connection.execute("truncate photos, faces, removed_faces, purged_photos, photo_counts")
        connection.execute(
            "insert into photos (photo_id, image_sha256, created_at, updated_at)"
            " select id, repeat('ab', 32), now(), now() from unnest(array['a', 'b.1', 'c']) id"
        )
    with httpx.Client(base_url=postgrest_url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def ids(answer: httpx.Response) -> list[str]:
    assert answer.is_success, answer.text
    return [row["photo_id"] for row in answer.json()]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"photo_id": 'in.("a","b.1")'}, ["a", "b.1"]),
        ({"photo_id": "in.(a,c)"}, ["a", "c"]),
        ({"photo_id": "eq.b.1"}, ["b.1"]),
        ({"photo_id": "neq.a"}, ["b.1", "c"]),
        ({"photo_id": "gt.a"}, ["b.1", "c"]),
        ({"photo_id": "gte.b.1"}, ["b.1", "c"]),
        ({"photo_id": "lt.c"}, ["a", "b.1"]),
        ({"collection_id": "is.null"}, ["a", "b.1", "c"]),
        ({"limit": "1", "offset": "1"}, ["b.1"]),
        ({"photo_id": r'in.("quote\"","a\\")'}, []),
        ({"photo_id": "eq.a\0b"}, ["a"]),
    ],
)
def test_the_documented_filters_work(api: httpx.Client, query: dict[str, str], expected: list[str]) -> None:
    assert (
        ids(api.get("/photo_records", params={**query, "order": "photo_id.asc", "select": "photo_id"}))
        == expected
    )


def test_an_exact_count_is_in_the_content_range(api: httpx.Client) -> None:
    answer = api.get("/photo_records", params={"limit": "2"}, headers={"Prefer": "count=exact"})
    assert (answer.status_code, answer.headers["content-range"]) == (206, "0-1/3")
    answer = api.get("/photo_records", headers={"Prefer": "count=exact"})
    assert (answer.status_code, answer.headers["content-range"]) == (200, "0-2/3")
    answer = api.get("/photo_records")
    assert (answer.status_code, answer.headers["content-range"]) == (200, "0-2/*")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("photo_id=eq.%22a%22", "PGRST100"),
        ("photo_id=in.(b.1)", "PGRST100"),
        ("photo_id=in.(%22a)", "PGRST100"),
        ("photo_id=a", "PGRST100"),
        ("photo_id=like.a*", "PGRST100"),
        ("photo_id=is.7", "PGRST100"),
        ("order=photo_id.up", "PGRST100"),
        ("limit=-1", "PGRST100"),
        ("limit=1&limit=2", "PGRST100"),
        ("unknown=eq.1", "42703"),
        ("select=unknown", "42703"),
        ("and=(photo_id.eq.a)", "42703"),
    ],
)
def test_unknown_query_parameters_are_refused(api: httpx.Client, query: str, code: str) -> None:
    answer = api.get(f"/photo_records?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Prefer": "count=guessed"}, 400, "PGRST122"),
        ({"Accept-Profile": "public"}, 406, "PGRST106"),
        ({"Accept": "text/csv"}, 406, "PGRST107"),
        ({"Range": "0-1"}, 400, "PGRST100"),
        ({"Authorization": ""}, 401, "PGRST302"),
        ({"Authorization": "Bearer a.b.c"}, 401, "PGRST301"),
        ({"Authorization": f"Bearer {make_token(JWT_SECRET, exp=1)}"}, 401, "PGRST303"),
        ({"Authorization": f"Bearer {make_token('x' * 32)}"}, 401, "PGRST301"),
        ({"Authorization": f"Bearer {make_token(JWT_SECRET, role='authenticator')}"}, 403, "42501"),
        ({"Authorization": f"Bearer {make_token(JWT_SECRET, role='postgres')}"}, 403, "42501"),
    ],
)
def test_unsupported_headers_are_refused(
    api: httpx.Client, headers: dict[str, str], status: int, code: str
) -> None:
    answer = api.get("/photo_records", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_tables_cannot_be_read_and_unknown_ones_are_not_found(api: httpx.Client) -> None:
    answer = api.get("/photos")
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    answer = api.get("/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST205")
    for method in ("DELETE", "PATCH", "PUT", "POST"):
        assert api.request(method, "/photo_records", json={}).status_code == 405


def test_a_function_gets_its_arguments_by_name(api: httpx.Client) -> None:
    answer = api.post("/rpc/scan_photos", json={"p_after": "a", "p_limit": 1})
    assert ids(answer) == ["b.1"]


@pytest.mark.parametrize(
    ("function", "body", "code"),
    [
        ("scan_photos", {"p_after": "a"}, "PGRST202"),
        ("scan_photos", {"p_after": "a", "p_limit": 1, "p_more": 1}, "PGRST202"),
        ("scan_photos", {"p_after": "a", "p_limit": "many"}, "22P02"),
        ("nothing", {}, "PGRST202"),
        ("take_lease", {"p_photo_id": "a", "p_lease_token": "t", "p_lease_seconds": 1}, "42501"),
        ("begin_removal", {"p_photo_id": "nobody", "p_lease_token": "t", "p_lease_seconds": 1}, "FS003"),
        ("clock", [], "PGRST102"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(api: httpx.Client, function: str, body: Any, code: str) -> None:
    answer = api.post(f"/rpc/{function}", json=body)
    assert not answer.is_success
    assert answer.json()["code"] == code
    assert set(answer.json()) == {"code", "message", "details", "hint"}


def test_a_body_that_is_no_json_is_refused(api: httpx.Client) -> None:
    assert api.post("/rpc/clock", content=b"{").json()["code"] == "PGRST102"
    answer = api.post("/rpc/clock", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.json()["code"] == "PGRST102"


def test_a_function_that_may_write_has_to_be_volatile(api: httpx.Client, postgres_dsn: str) -> None:
    """As in PostgREST: a stable function runs in a read-only transaction."""
    answer = api.post(
        "/rpc/begin_removal", json={"p_photo_id": "a", "p_lease_token": "t", "p_lease_seconds": 1}
    )
    assert answer.json() is True
    with psycopg.connect(postgres_dsn) as connection:
        row = connection.execute(
            "select array_agg(proname::text order by proname) from pg_proc"
            " where pronamespace = 'face_search'::regnamespace and provolatile <> 'v'"
        ).fetchone()
    assert row == (
        [
            "iso",
            "list_photos",
            "overview",
            "photo_details",
            "photo_record",
            "purged",
            "scan_photos",
            "summary_of",
        ],
    )
