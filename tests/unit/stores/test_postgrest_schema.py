"""Tests of deploy/postgrest/schema.sql on a real PostgreSQL: repeatable, least rights, constraints."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from bentos.demo.servers.postgres import apply_schema, authenticator_dsn, dump_schema, empty_database

PHOTO = (
    "insert into photos (photo_id, collection_id, image_sha256, width, height, detected_at, created_at, updated_at)"
    " values ('p', 'c', repeat('ab', 32), 10, 10, now(), now(), now())"
)
FACE = (
    "insert into faces (face_id, photo_id, bbox, score, landmarks, state, recorded_at, indexed_at)"
    " values ('00000000-0000-4000-8000-000000000000', 'p', '{1,2,3,4}', 0.9,"
    " '{{1,2},{3,4},{5,6},{7,8},{9,10}}', 'indexed', now(), now())"
)


@pytest.fixture
def database(postgres_dsn: str) -> Iterator[psycopg.Connection]:
    """A separate database with the schema, as its owner."""
    with empty_database(postgres_dsn, "schema_test") as dsn:
        apply_schema(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("set search_path = face_search")
            yield connection


@pytest.fixture
def role(database: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The same database as PostgREST uses it: connected as the authenticator, with the role `face_search`."""
    database.execute(PHOTO)
    database.execute(FACE)
    with psycopg.connect(authenticator_dsn(database.info.dsn), autocommit=True) as connection:
        connection.execute("set role face_search")
        connection.execute("set search_path = face_search")
        yield connection


def test_applying_the_schema_twice_prints_and_changes_nothing(postgres_dsn: str) -> None:
    with empty_database(postgres_dsn, "twice") as dsn:
        assert apply_schema(dsn) == ""
        once = dump_schema(dsn)
        assert apply_schema(dsn) == ""
        assert dump_schema(dsn) == once
        assert "CREATE TABLE face_search.photos" in once


def test_applying_it_again_keeps_the_rows(database: psycopg.Connection) -> None:
    database.execute(PHOTO)
    database.execute(FACE)
    apply_schema(database.info.dsn)
    assert database.execute("select status from photos").fetchall() == [("indexed",)]
    assert database.execute("select sum(photos) from photo_counts").fetchone() == (1,)


def test_applying_it_tells_postgrest_to_reload(database: psycopg.Connection) -> None:
    database.execute("listen pgrst")
    apply_schema(database.info.dsn)
    heard = {notice.payload for notice in database.notifies(timeout=5, stop_after=2)}
    assert heard == {"reload schema", "reload config"}


@pytest.mark.parametrize(
    "table", ["photos", "faces", "removed_faces", "purged_photos", "photo_counts", "last_audit"]
)
@pytest.mark.parametrize(
    "statement",
    ["select from {}", "insert into {} default values", "delete from {}", "truncate {}", "drop table {}"],
)
def test_the_role_cannot_touch_a_table(role: psycopg.Connection, table: str, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        role.execute(statement.format(table))  # type: ignore[arg-type]


@pytest.mark.parametrize("view", ["photo_records", "photos_of_faces"])
def test_the_role_reads_the_views_and_cannot_write_through_them(role: psycopg.Connection, view: str) -> None:
    row = role.execute(f"select photo_id from {view}").fetchone()  # type: ignore[arg-type]
    assert row == ("p",)
    for statement in (f"delete from {view}", f"update {view} set collection_id = 'x'"):
        with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
            role.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        "take_lease('p', 't', 1)",
        "free_photo('p', 't')",
        "begin_removal_of('{p}', 't', 1)",
        "add_to_photo_counts('c', 'indexed', 1)",
        "join_collection(null, 'c')",
        "photo_record('p')",
        "require_lease('p', 't')",
    ],
)
def test_the_role_cannot_call_the_inner_functions(role: psycopg.Connection, call: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        role.execute(f"select {call}")  # type: ignore[arg-type]


def test_the_role_cannot_create_objects_or_log_in(role: psycopg.Connection) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        role.execute("create table face_search.mine ()")
    row = role.execute(
        "select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = 'face_search'"
    ).fetchone()
    assert row == (False, False, False, False)


def test_no_other_role_may_call_or_read_anything(database: psycopg.Connection) -> None:
    with psycopg.connect(authenticator_dsn(database.info.dsn), autocommit=True) as stranger:
        for statement in ("select face_search.clock()", "select from face_search.photo_records"):
            with pytest.raises(errors.InsufficientPrivilege):
                stranger.execute(statement)  # type: ignore[arg-type]


def test_a_temporary_table_cannot_shadow_the_tables_of_the_functions(role: psycopg.Connection) -> None:
    role.execute("create temporary table photos (photo_id text, lease_token text, lease_until timestamptz)")
    row = role.execute("select face_search.begin_removal('p', 'token', 30)").fetchone()
    assert row == (True,)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("photos", "photo_id = '-starts-with-a-dash'"),
        ("photos", "photo_id = 'with space'"),
        ("photos", "photo_id = ''"),
        ("photos", "photo_id = E'line\\n'"),
        ("photos", "collection_id = ''"),
        ("photos", "collection_id = repeat('x', 129)"),
        ("photos", "image_sha256 = 'short'"),
        ("photos", "width = null"),
        ("photos", "width = 0"),
        ("photos", "height = -1"),
        ("photos", "width = null, height = null"),
        ("photos", "detected_at = null"),
        ("photos", "lease_token = null, lease_until = now()"),
        ("photos", "faces_indexed = 2"),
        ("photos", "faces_removing = -1"),
        ("faces", "face_id = 'no-uuid'"),
        ("faces", "face_id = upper('aaaaaaaa-0000-4000-8000-000000000000')"),
        ("faces", "state = 'lost'"),
        ("faces", "indexed_at = null"),
        ("faces", "score = 1.1"),
        ("faces", "score = 'NaN'"),
        ("faces", "bbox = '{3,2,1,4}'"),
        ("faces", "bbox = '{1,4,3,2}'"),
        ("faces", "bbox = '{-1,2,3,4}'"),
        ("faces", "bbox = '{1,2,3}'"),
        ("faces", "bbox = '{1,2,3,null}'"),
        ("faces", "bbox = '{1,2,3,NaN}'"),
        ("faces", "bbox = '{1,2,Infinity,4}'"),
        ("faces", "landmarks = '{{1,2},{3,4},{5,6},{7,8}}'"),
        ("faces", "landmarks = '{1,2,3,4,5,6,7,8,9,10}'"),
        ("faces", "landmarks = '{{1,2},{3,4},{5,6},{7,8},{9,null}}'"),
    ],
)
def test_constraints_reject_invalid_states_even_for_the_owner(
    database: psycopg.Connection, table: str, change: str
) -> None:
    database.execute(PHOTO)
    database.execute(FACE)
    with pytest.raises(errors.CheckViolation):
        database.execute(f"update {table} set {change}")  # type: ignore[arg-type]


def test_a_face_needs_a_photo_and_is_deleted_with_it(database: psycopg.Connection) -> None:
    with pytest.raises(errors.ForeignKeyViolation):
        database.execute(FACE)
    database.execute(PHOTO)
    database.execute(FACE)
    database.execute("delete from photos")
    assert database.execute("select count(*) from faces").fetchone() == (0,)


def test_the_counters_follow_manual_changes(database: psycopg.Connection) -> None:
    totals = (
        "select collection_id, status, sum(photos)::int from photo_counts group by 1, 2 having sum(photos) <> 0"
        " order by 1, 2"
    )
    database.execute(PHOTO)
    assert database.execute(totals).fetchall() == [("c", "no_faces", 1)]
    database.execute(FACE)
    assert database.execute(totals).fetchall() == [("c", "indexed", 1)]
    database.execute("update faces set state = 'removing'")
    assert database.execute("select faces_detected, faces_removing from photos").fetchone() == (0, 1)
    database.execute("update faces set state = 'pending'")
    assert database.execute(totals).fetchall() == [("c", "detected", 1)]
    database.execute("update photos set collection_id = null, lease_token = 't'")
    assert database.execute(totals).fetchall() == [("", "detected", 1)]
    database.execute("delete from faces")
    assert database.execute(totals).fetchall() == [("", "no_faces", 1)]
    database.execute("delete from photos")
    assert database.execute(totals).fetchall() == []


def test_the_owner_of_the_database_can_apply_it_once_an_administrator_has_created_the_roles(
    postgres_dsn: str,
) -> None:
    with empty_database(postgres_dsn, "owned") as dsn, psycopg.connect(dsn, autocommit=True) as superuser:
        superuser.execute("create role owner_of_it login")
        try:
            superuser.execute("alter database owned owner to owner_of_it")
            assert apply_schema(make_conninfo(dsn, user="owner_of_it")) == ""
        finally:
            superuser.execute("drop owned by owner_of_it")
            superuser.execute("reassign owned by owner_of_it to postgres")
            superuser.execute("drop role owner_of_it")
