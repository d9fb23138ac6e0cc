"""Tests of the page's files over HTTP: who gets them, with which headers, and that they need nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import PurePosixPath

import httpx
import pytest
import pytest_asyncio

from bentos.config.settings import Settings
from bentos.pipeline.extraction import Extraction
from bentos.web.files import CONTENT_TYPES, static_files
from bentos.web.policy import image_origins, security_headers
from tests.http.conftest import KEY, Api, serving_in_process

FILES = static_files()
PATHS = ["/ui", "/ui/", "/ui/settings.json", *(f"/ui/{name}" for name in FILES)]


@pytest_asyncio.fixture
async def page(
    environment: Callable[..., Settings], extraction: Extraction
) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key of a service with UI_ENABLED."""
    async with serving_in_process(environment(ui_enabled=True), extraction) as client:
        del client.headers["X-Api-Key"]
        yield client


async def test_without_ui_enabled_no_route_of_the_page_answers(api: Api) -> None:
    for path in PATHS:
        without_key = await api.client.get(path, headers={"X-Api-Key": ""})
        assert (without_key.status_code, without_key.json()["error"]) == (401, "invalid_api_key"), path
        assert (await api.client.get(path)).status_code == 404, path


async def test_every_file_needs_no_key_and_has_its_content_type_and_policy(page: httpx.AsyncClient) -> None:
    for name, file in FILES.items():
        response = await page.get(f"/ui/{name}")
        assert (response.status_code, response.content) == (200, file.body), name
        assert response.headers["content-type"] == CONTENT_TYPES[PurePosixPath(name).suffix]
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "set-cookie" not in response.headers
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_the_api_still_needs_a_key(page: httpx.AsyncClient) -> None:
    for path in ("/embed_status/", "/ping", "/", "/uix", "/docs.json"):
        assert (await page.get(path)).status_code == 401, path
    assert (await page.get("/ping", headers={"X-Api-Key": KEY})).status_code == 200


async def test_the_folder_is_the_start_page_and_its_name_leads_there(page: httpx.AsyncClient) -> None:
    assert (await page.get("/ui/")).content == FILES["index.html"].body
    redirect = await page.get("/ui")
    assert redirect.status_code == 308
    assert redirect.next_request is not None
    assert redirect.next_request.url.path == "/ui/"


async def test_a_browser_keeps_a_file_that_has_not_changed(page: httpx.AsyncClient) -> None:
    first = await page.get("/ui/js/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await page.get("/ui/js/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await page.get("/ui/js/main.js", headers={"If-None-Match": '"of-another-version"'})
    assert other.status_code == 200


async def test_head_has_the_headers_of_get_and_no_body(page: httpx.AsyncClient) -> None:
    head, get = [await page.request(method, "/ui/icon.svg") for method in ("HEAD", "GET")]
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(page: httpx.AsyncClient, method: str) -> None:
    response = await page.request(method, "/ui/")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["nothing.js", "js", "js/", "../settings.py", "%2e%2e/files.py", "js//main.js"]
)
async def test_a_path_that_is_no_file_is_not_found(page: httpx.AsyncClient, path: str) -> None:
    response = await page.get(httpx.URL(f"http://test/ui/{path}"))
    assert response.status_code in {401, 404}
    assert response.json()["error"] in {"not_found", "invalid_api_key"}


async def test_the_settings_of_the_page_contain_no_secret(page: httpx.AsyncClient) -> None:
    shown = await page.get("/ui/settings.json")
    assert shown.json()["top_k_max"] == 50
    assert shown.json()["figures"]["threshold"] == 0.5
    assert KEY not in shown.text
    assert not re.search('key|token|secret|uri|url"|bucket', shown.text)


def test_no_file_names_another_host_or_has_inline_code() -> None:
    for name, file in FILES.items():
        text = file.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text), name
    html = FILES["index.html"].body.decode()
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=|javascript:", html)


def test_every_file_that_another_one_names_exists() -> None:
    for name, file in FILES.items():
        text, folder = file.body.decode(), PurePosixPath(name).parent
        for target in re.findall(r'from "(\.[^"]+)"|(?:href|src)="([^"#]+)"|src: "([^"]+)"', text):
            path = (
                folder / next(filter(None, target))
                if name.endswith(".js") and target[0]
                else PurePosixPath(next(filter(None, target)))
            )
            parts: list[str] = []
            for part in path.parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            assert "/".join(parts) in FILES, (name, target)


def test_images_may_come_from_the_address_of_the_links_and_nowhere_else() -> None:
    def origins(**settings: str) -> list[str]:
        return image_origins(Settings(s3_bucket="photos", **settings))  # type: ignore[arg-type]

    store = "https://storage.example.org"
    assert origins(s3_endpoint_url=store, s3_addressing="path") == [store]
    assert origins(s3_endpoint_url=store, s3_addressing="virtual") == ["https://photos.storage.example.org"]
    assert origins(s3_endpoint_url=store) == [store, "https://photos.storage.example.org"]
    assert origins(
        s3_endpoint_url="http://minio:9000", s3_public_endpoint_url=store, s3_addressing="path"
    ) == [store]
    assert origins(s3_endpoint_url="file:///tmp/images") == []
    assert origins(s3_endpoint_url="file:///tmp/images", s3_public_endpoint_url=f"{store}/below") == [store]
    policy = security_headers(Settings(s3_endpoint_url="file:///tmp/images"))["Content-Security-Policy"]
    assert "img-src 'self' blob:;" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
