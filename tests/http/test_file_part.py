"""Tests of a `file` part without a filename, which a form parser reads as text: the error names `file`."""

from __future__ import annotations

import httpx
import pytest

from tests.http.conftest import Api

BOUNDARY = b"boundary"


def form(content: bytes, disposition: bytes) -> bytes:
    head = b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n"
    return head + content + b"\r\n--" + BOUNDARY + b"--\r\n"


async def send(api: Api, path: str, content: bytes, disposition: bytes) -> httpx.Response:
    return await api.client.post(
        path,
        content=form(content, disposition),
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"},
    )


@pytest.mark.parametrize("path", ["/search/", "/detect_faces/"])
@pytest.mark.parametrize("size", [1, 60_000, 3_000_000])
async def test_a_file_part_without_a_filename_is_refused_with_its_field_name(
    api: Api, selfie: bytes, path: str, size: int
) -> None:
    content = (selfie + bytes(size))[:size]
    refused = await send(api, path, content, b'name="file"')
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert list(refused.json()["details"]["fields"]) == ["file"]
    assert "filename" in refused.json()["details"]["fields"]["file"]


@pytest.mark.parametrize("disposition", [b'name="file"; filename="s.jpg"', b'name=file; filename=""'])
async def test_a_file_part_with_any_filename_is_read(api: Api, selfie: bytes, disposition: bytes) -> None:
    assert (await send(api, "/search/", selfie, disposition)).status_code == 200
