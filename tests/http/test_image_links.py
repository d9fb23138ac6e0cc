"""Tests of the links that the service itself serves, where the images are in a folder."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bentos.config.settings import Settings
from bentos.pipeline.extraction import Extraction
from tests.http.conftest import Api, serving_in_process


@pytest.fixture
async def link(api: Api, astronaut: bytes) -> str:
    """The link to a photo of a search result."""
    [face] = (await api.detect(astronaut, photo_id="eileen", index="true")).json()["faces"]
    [match] = (await api.search(face_id=face["face_id"], include_url="true")).json()["results"]
    url: str = match["url"]
    return url


@pytest.fixture
async def anyone(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client without an API key."""
    async with httpx.AsyncClient(transport=api.client._transport, base_url="http://test") as client:
        yield client


async def test_a_link_opens_without_a_key(anyone: httpx.AsyncClient, link: str, astronaut: bytes) -> None:
    assert link.startswith("http://test/images/eileen?expires=")
    opened = await anyone.get(link)
    assert (opened.status_code, opened.content) == (200, astronaut)
    assert opened.headers["content-type"] == "image/png"
    assert opened.headers["x-content-type-options"] == "nosniff"
    assert opened.headers["cache-control"] == "no-store"
    head = await anyone.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(astronaut))


@pytest.mark.parametrize(
    "change",
    [
        (r"eileen", "another"),
        (r"eileen", "../metadata.db"),
        (r"eileen", "%2e%2e%2fmetadata.db"),
        (r"eileen", ""),
        (r"eileen\?", "eileen/?"),
        (r"expires=\d+", "expires=9999999999"),
        (r"expires=\d+", "expires=1"),
        (r"expires=\d+&", ""),
        (r"signature=\w{4}", "signature=0000"),
        (r"&signature=\w+", ""),
        (r"$", "&signature=00"),
        (r"$", "&more=1"),
        (r"\?.*", ""),
    ],
)
async def test_a_link_that_was_changed_needs_a_key_and_opens_nothing(
    api: Api, anyone: httpx.AsyncClient, link: str, change: tuple[str, str]
) -> None:
    changed = re.sub(change[0], change[1], link, count=1)
    refused = await anyone.get(changed)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_api_key")
    with_key = await api.client.get(changed)
    assert (with_key.status_code, with_key.json()["error"]) == (404, "not_found")


async def test_a_link_allows_nothing_but_reading(anyone: httpx.AsyncClient, link: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await anyone.request(method, link)).status_code == 401
    query = urlsplit(link).query
    for path in ("/images", "/images/", "/embed_status/eileen", "/", "/docs"):
        assert (await anyone.get(f"{path}?{query}")).status_code == 401


async def test_what_is_no_image_or_is_gone_is_not_served(
    api: Api, anyone: httpx.AsyncClient, link: str, tmp_path: Path
) -> None:
    (tmp_path / "images" / "eileen").write_bytes(b"<html><script>alert(1)</script></html>")
    for _ in range(2):
        refused = await anyone.get(link)
        assert (refused.status_code, refused.json()["error"]) == (404, "photo_not_found")
        (tmp_path / "images" / "eileen").unlink(missing_ok=True)
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "images" / "eileen").symlink_to(tmp_path / "secret.png")
    assert (await anyone.get(link)).status_code == 404
    assert (await api.client.get("/livez")).status_code == 404  # BentoML answers it; here nothing is listed


async def test_links_carry_the_public_address(
    environment: Callable[..., Settings],
    extraction: Extraction,
    astronaut: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = environment(s3_public_endpoint_url="https://faces.example.com/below/")
    monkeypatch.setattr("bentos.search.api._settings", settings)
    async with serving_in_process(settings, extraction) as client:
        api = Api(client)
        [face] = (await api.detect(astronaut, photo_id="p", index="true")).json()["faces"]
        [match] = (await api.search(face_id=face["face_id"], include_url="true")).json()["results"]
        assert match["url"].startswith("https://faces.example.com/below/images/p?expires=")
