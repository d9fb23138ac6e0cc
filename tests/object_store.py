"""The bucket of the tests: one on a server that is started here, or the one that the variables `S3_TEST_*` name."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import cast

import boto3
import pytest

from bentos.demo.servers import s3
from bentos.stores.s3.store import S3Options

_NEEDED = ("BUCKET", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")


@contextlib.contextmanager
def bucket_of_the_tests(start_server: Callable[[], str]) -> Iterator[S3Options]:
    """Options for the bucket, with a prefix of this run below which the tests have to stay.

    `start_server` starts a server of `bentos.demo.servers.s3` and returns its URL; called only without `S3_TEST_*`.
    """
    given = named_bucket(os.environ)
    if given is None:
        yield local_bucket(start_server())
        return
    own = replace(given, prefix=f"face-search-tests/{uuid.uuid4()}/")
    try:
        yield own
    finally:
        _empty(own)


def local_bucket(endpoint_url: str) -> S3Options:
    """The bucket of a server of `bentos.demo.servers.s3`, under a new prefix."""
    return S3Options(
        endpoint_url=endpoint_url,
        region=s3.REGION,
        bucket=s3.BUCKET,
        prefix=f"{uuid.uuid4()}/",
        access_key_id=s3.ACCESS_KEY_ID,
        secret_access_key=s3.SECRET_ACCESS_KEY,
        timeout_s=20,
    )


def named_bucket(environment: Mapping[str, str]) -> S3Options | None:
    """The bucket that S3_TEST_* name, or None without S3_TEST_ENDPOINT_URL."""
    url = environment.get("S3_TEST_ENDPOINT_URL")
    if not url:
        return None
    if missing := [f"S3_TEST_{name}" for name in _NEEDED if not environment.get(f"S3_TEST_{name}")]:
        raise pytest.UsageError(f"S3_TEST_ENDPOINT_URL needs {', '.join(missing)} too")
    return S3Options(
        endpoint_url=url,
        region=environment.get("S3_TEST_REGION", "us-east-1"),
        bucket=environment["S3_TEST_BUCKET"],
        prefix="",
        access_key_id=environment["S3_TEST_ACCESS_KEY_ID"],
        secret_access_key=environment["S3_TEST_SECRET_ACCESS_KEY"],
        addressing=environment.get("S3_TEST_ADDRESSING", "auto"),  # type: ignore[arg-type]
        timeout_s=20,
    )


def _empty(options: S3Options) -> None:
    """Remove every object below the prefix."""
    client = boto3.client(
        "s3",
        endpoint_url=options.endpoint_url,
        region_name=options.region,
        aws_access_key_id=cast("str", options.access_key_id),
        aws_secret_access_key=cast("str", options.secret_access_key),
    )
    with contextlib.closing(client):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=options.bucket, Prefix=options.prefix)
        for entry in [entry for page in pages for entry in page.get("Contents", [])]:
            client.delete_object(Bucket=options.bucket, Key=entry["Key"])
