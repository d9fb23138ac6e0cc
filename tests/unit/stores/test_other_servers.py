"""Variables of the environment put other servers in the place of those that the tests start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bentos.demo.servers.postgres import authenticator_dsn
from bentos.demo.servers.postgrest import TOKEN, PostgrestServer, major_of_binary
from bentos.stores.postgrest.store import PostgrestMetadataStore, PostgrestOptions
from tests.object_store import bucket_of_the_tests, local_bucket

ROOT = Path(__file__).parents[3]


async def test_a_program_that_reads_postgrests_configuration_file_takes_the_place_of_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_dsn: str
) -> None:
    program, started = tmp_path / "postgrest", tmp_path / "started"
    program.write_text(
        f"""#!/bin/sh
if [ "$1" = --version ]; then echo "PostgREST 13.0.8"; exit; fi
grep '^db-schemas = "face_search"$' "$1" > {started}
cd {ROOT} && exec {sys.executable} -m bentos.demo.servers.postgrest --major 13 "$@"
"""
    )
    program.chmod(0o700)
    monkeypatch.setenv("POSTGREST_BIN", str(program))
    assert major_of_binary() == 13
    with PostgrestServer(authenticator_dsn(postgres_dsn)).running() as server:
        store = PostgrestMetadataStore(PostgrestOptions(server.url, TOKEN, timeout_s=10))
        await store.open()
        assert await store.photo("nobody") is None
        await store.close()
    assert started.read_text()


def test_a_bucket_is_named_completely_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_TEST_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("S3_TEST_BUCKET", "photos")
    with (
        pytest.raises(pytest.UsageError, match="needs S3_TEST_ACCESS_KEY_ID, S3_TEST_SECRET_ACCESS_KEY too"),
        bucket_of_the_tests(str),
    ):
        pass


def test_a_named_bucket_is_used_under_its_own_prefix_and_left_empty(
    monkeypatch: pytest.MonkeyPatch, s3_endpoint: str
) -> None:
    local = local_bucket(s3_endpoint)
    monkeypatch.setenv("S3_TEST_ENDPOINT_URL", s3_endpoint)
    for name in ("bucket", "access_key_id", "secret_access_key"):
        monkeypatch.setenv(f"S3_TEST_{name.upper()}", str(getattr(local, name)))

    def not_called() -> str:
        raise AssertionError

    from bentos.stores.s3.store import S3Store

    with bucket_of_the_tests(not_called) as options:
        assert options.prefix.startswith("face-search-tests/")
        store = S3Store(options)
        store._client.put_object(Bucket=options.bucket, Key=f"{options.prefix}photo", Body=b"image")
    listed = store._client.list_objects_v2(Bucket=options.bucket, Prefix="face-search-tests/")
    store._threads.shutdown()
    assert listed["KeyCount"] == 0
