"""Tests that placeholders and malformed addresses end the start with one sentence that does not quote the value."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from bentos.config.loading import load_settings
from bentos.config.placeholders import problem_with
from bentos.config.settings import Settings, SettingsError

SECRETS = ("API_KEY", "MILVUS_TOKEN", "POSTGREST_TOKEN", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")
ADDRESSES = (
    "MILVUS_URI",
    "POSTGREST_URL",
    "S3_ENDPOINT_URL",
    "S3_PUBLIC_ENDPOINT_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)


def problem(name: str, value: str) -> str | None:
    given: dict[str, Any] = {name.lower(): value}
    return problem_with(Settings(**given), given if name in SECRETS else {})


@pytest.mark.parametrize("name", [*SECRETS, "S3_BUCKET"])
@pytest.mark.parametrize(
    "value",
    [
        "change-me",
        "CHANGE_ME_0123456789",
        "changeme123",
        "your-api-key",
        "<key>",
        "...",
        "xxxxxxxx",
        "TODO",
        "my-example-key",
        "AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_a_placeholder_is_refused_with_the_sentence_for_placeholders(name: str, value: str) -> None:
    found = problem(name, value)
    assert found is not None
    assert found.startswith(f"{name} is still a placeholder; ")
    assert value not in found


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(
    "value", ["http://change-me:19530", "https://store.example.com", "http://your-host:3000", "<address>"]
)
def test_a_placeholder_in_an_address_is_refused_too(name: str, value: str) -> None:
    assert (problem(name, value) or "").startswith(f"{name} is still a placeholder; ")


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(
    "value", ["milvus:19530", "10.0.0.7", "localhost", "//milvus:19530", "ftp://milvus", "tcp://milvus:19530"]
)
def test_an_address_without_a_supported_scheme_is_refused(name: str, value: str) -> None:
    found = problem(name, value)
    assert found is not None
    assert found.startswith(f"{name} has to begin with a scheme: http://host, https://host")
    assert value not in found


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("value", ["http://", "https://:443", "http://host:port", "http://host:99999999"])
def test_an_address_without_a_host_or_with_a_port_that_is_no_number_is_refused(name: str, value: str) -> None:
    assert (problem(name, value) or "").startswith(f"{name} has no host")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MILVUS_URI", "http://milvus.milvus.svc.cluster.local:19530"),
        ("MILVUS_URI", "./data/faces.db"),
        ("MILVUS_URI", "HTTPS://[::1]:19530"),
        ("POSTGREST_URL", "sqlite:///data/metadata.sqlite"),
        ("POSTGREST_URL", "http://postgrest:3000/rest/v1"),
        ("S3_ENDPOINT_URL", "file:///data/images"),
        ("S3_ENDPOINT_URL", "https://storage.yandexcloud.net"),
        ("MILVUS_TOKEN", "root:Milvus"),
        ("MILVUS_TOKEN", ""),
        ("S3_BUCKET", "face-search"),
    ],
)
def test_a_plausible_value_is_accepted(name: str, value: str) -> None:
    assert problem(name, value) is None


def test_random_tokens_are_never_treated_as_placeholders() -> None:
    source = random.Random(7)
    for _ in range(3000):
        token = base64.urlsafe_b64encode(source.randbytes(180)).decode()
        assert problem("POSTGREST_TOKEN", f"eyJhbGciOiJIUzI1NiJ9.{token}") is None, token


def test_a_service_does_not_start_with_a_placeholder_or_a_malformed_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "API_KEY": "0123456789abcdef",
        "MILVUS_URI": "milvus:19530",
        "POSTGREST_URL": "http://change-me:3000",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="MILVUS_URI has to begin with a scheme"):
        load_settings("image-search")
    monkeypatch.setenv("MILVUS_URI", "http://milvus:19530")
    with pytest.raises(SettingsError, match="POSTGREST_URL is still a placeholder"):
        load_settings("image-search")
