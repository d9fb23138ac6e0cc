"""Tests that our signed links equal those of boto3, for every address style of a bucket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config

from bentos.stores.s3.links import LinkSigner

KEYS = {"access_key_id": "AKID/EXAMPLE+1", "secret_access_key": "a secret/with+signs="}
PHOTOS = ["a", "0", "a.jpg", "a..b", "a-_", "x" * 128, "0" + ".-_" * 42]
ENDPOINTS = [
    "https://storage.yandexcloud.net",
    "https://storage.yandexcloud.net:443",
    "http://127.0.0.1:9000",
    "http://store.example:80",
    "https://store.example/below/a/path",
]


def client(endpoint: str, addressing: str, region: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=KEYS["access_key_id"],
        aws_secret_access_key=KEYS["secret_access_key"],
        config=Config(signature_version="s3v4", s3={"addressing_style": addressing}),
    )


@pytest.mark.parametrize("addressing", ["auto", "path", "virtual"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_link_equals_the_one_that_boto3_signs(endpoint: str, addressing: str) -> None:
    boto = client(endpoint, addressing, "ru-central1")
    signer = LinkSigner(boto, bucket="photos", region="ru-central1")
    for key in [f"{prefix}{photo}" for prefix in ("", "people/2026_x-y.z/") for photo in PHOTOS]:
        wanted = boto.generate_presigned_url("get_object", {"Bucket": "photos", "Key": key}, ExpiresIn=300)
        (moment,) = parse_qs(urlsplit(wanted).query)["X-Amz-Date"]
        now = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert signer.sign([key], expires_s=300, now=now, **KEYS) == [wanted]


def test_links_change_with_the_day_and_with_the_secret() -> None:
    signer = LinkSigner(client(ENDPOINTS[0], "path", "r"), bucket="photos", region="r")
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 1)]
    one, two, one_again = (signer.sign(["a"], expires_s=60, now=day, **KEYS) for day in days)
    assert one == one_again != two
    other_secret = {**KEYS, "secret_access_key": "another"}
    assert signer.sign(["a"], expires_s=60, now=days[0], **other_secret) != one
