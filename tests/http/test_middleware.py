"""Tests of rules for every path: the key, the shape of errors, the request id, the limits."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from bentos.runner.local import LocalFaceFinder
from tests.http.conftest import KEY, OTHER_KEY, Api

ENDPOINTS = [
    ("POST", "/detect_faces/"),
    ("PUT", "/add_face/"),
    ("GET", "/embed_status/"),
    ("DELETE", "/remove/some-photo"),
    ("DELETE", "/remove_all/"),
    ("POST", "/search/"),
    ("GET", "/ping"),
]


def _is_an_envelope(response: httpx.Response) -> bool:
    body = response.json()
    return (
        set(body) == {"error", "message", "request_id", "details"}
        and body["request_id"] == response.headers["x-request-id"]
        and isinstance(body["details"], dict)
        and "Traceback" not in response.text
    )


@pytest.mark.parametrize(
    ("method", "path"), [*ENDPOINTS, ("GET", "/nowhere"), ("GET", "/docs"), ("GET", "/openapi.json")]
)
@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], KEY + "x", f"{KEY},{OTHER_KEY}"])
async def test_every_path_requires_a_valid_key(api: Api, method: str, path: str, key: str | None) -> None:
    del api.client.headers["x-api-key"]
    headers = {} if key is None else {"X-Api-Key": key}
    response = await api.client.request(method, path, headers=headers)
    assert (response.status_code, response.json()["error"]) == (401, "invalid_api_key")
    assert _is_an_envelope(response)


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
async def test_each_of_several_keys_is_accepted(api: Api, key: str) -> None:
    assert (await api.client.get("/ping", headers={"X-Api-Key": key})).status_code == 200


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_a_path_works_with_and_without_the_trailing_slash(api: Api, method: str, path: str) -> None:
    other = path.removesuffix("/") if path.endswith("/") else path + "/"
    one, two = await api.client.request(method, path), await api.client.request(method, other)
    assert one.status_code == two.status_code != 404 or path.startswith("/remove/")
    assert one.json().get("error") == two.json().get("error")
    assert one.json().get("error") != "not_found"


async def test_ping_says_which_service_and_version(api: Api) -> None:
    answer = (await api.client.get("/ping")).json()
    assert answer["status"] == "ok"
    assert answer["service"] == "image-search"
    assert re.fullmatch(r"\d+\.\d+\.\d+", answer["version"])


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/search/more", "/remove/", "/docs.json", "/%00", "/..%2f"]
)
async def test_an_unknown_path_is_not_found(api: Api, path: str) -> None:
    response = await api.client.get(path)
    assert (response.status_code, response.json()["error"]) == (404, "not_found")
    assert _is_an_envelope(response)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/search/", "POST"),
        ("POST", "/add_face", "PUT"),
        ("PATCH", "/remove_all/", "DELETE"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_refused_and_the_response_names_the_right_one(
    api: Api, method: str, path: str, allowed: str
) -> None:
    response = await api.client.request(method, path)
    assert (response.status_code, response.json()["error"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == allowed
    assert _is_an_envelope(response)


@pytest.mark.parametrize("given", ["abc-123.XYZ_9", "a" * 128])
async def test_a_well_formed_request_id_is_returned(api: Api, given: str) -> None:
    assert (await api.client.get("/ping", headers={"X-Request-Id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [None, "", "with space", "a" * 129, 'quote"', "-leading"])
async def test_a_malformed_request_id_is_replaced(api: Api, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    answered = (await api.client.get("/ping", headers=headers)).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", answered)


async def test_an_image_of_too_many_bytes_is_refused(api: Api) -> None:
    for path, limit in (("/search/", 5), ("/detect_faces/", 20)):
        image = b"\xff\xd8" + bytes(limit * 1024 * 1024)
        response = await api.client.post(path, files={"file": ("big.jpg", image)})
        assert (response.status_code, response.json()["error"]) == (413, "image_too_large")
        assert response.json()["details"] == {"max_bytes": limit * 1024 * 1024}


async def test_a_body_without_a_content_length_is_read_only_up_to_the_limit(api: Api) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(4096):
            sent += 65536
            yield bytes(65536)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await api.client.post("/search/", content=endless(), headers=headers)
    assert (response.status_code, response.json()["error"]) == (413, "image_too_large")
    assert sent < 6 * 1024 * 1024


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/json"),
        (b"garbage", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"file=x", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(api: Api, content: bytes, kind: str) -> None:
    response = await api.client.post("/search/", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["error"]) == (422, "invalid_request")
    assert _is_an_envelope(response)


async def test_responses_have_security_headers_and_no_server_banner(api: Api) -> None:
    headers = (await api.client.get("/ping")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/search/", "/detect_faces"])
async def test_a_full_service_refuses_images_before_it_reads_them(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFaceFinder, "is_full", True)
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"x"

    response = await api.client.post(path, content=body())
    assert (response.status_code, response.json()["error"]) == (503, "overloaded")
    assert int(response.headers["retry-after"]) > 0
    assert not read
    assert (await api.client.get("/ping")).status_code == 200
    assert (await api.client.post(path, headers={"X-Api-Key": "wrong"})).status_code == 401
