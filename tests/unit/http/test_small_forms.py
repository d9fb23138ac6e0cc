"""Tests of reading a form in memory: the same as Starlette reads, or left to Starlette."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import UploadFile
from starlette.requests import Request

from bentos.http.small_forms import _Budget, parse_form, small_form

BOUNDARY = b"a-boundary"


def request_of(body: bytes, content_type: str, *, piece: int = 1000) -> Request:
    pieces = iter([body[at : at + piece] for at in range(0, len(body), piece)] or [b""])
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        part = next(pieces, b"")
        sent += len(part)
        return {"type": "http.request", "body": part, "more_body": sent < len(body)}

    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def made_by_httpx(file: bytes, texts: dict[str, list[str]]) -> tuple[bytes, str]:
    made = httpx.Request("POST", "http://x", files={"file": ("selfie.jpg", file, "image/jpeg")}, data=texts)
    return made.read(), made.headers["content-type"]


async def as_starlette(body: bytes, content_type: str) -> tuple[dict[str, list[bytes]], dict[str, list[str]]]:
    files: dict[str, list[bytes]] = {}
    texts: dict[str, list[str]] = {}
    async with request_of(body, content_type).form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.setdefault(name, []).append(await value.read())
            else:
                texts.setdefault(name, []).append(value)
    return files, texts


@given(
    file=st.binary(max_size=300) | st.sampled_from([b"\r\n--", b"\r\n--a-boundary", b"--\r\n"]),
    texts=st.dictionaries(st.sampled_from(["top_k", "page"]), st.lists(st.text(max_size=9), min_size=1)),
)
async def test_a_form_of_an_http_library_is_read_as_starlette_reads_it(
    file: bytes, texts: dict[str, list[str]]
) -> None:
    body, content_type = made_by_httpx(file, texts)
    form = await small_form(request_of(body, content_type))
    assert form is not None
    assert (form.files, form.texts) == await as_starlette(body, content_type)


def part(head: bytes, content: bytes = b"1") -> bytes:
    return b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"
TOP_K = b'Content-Disposition: form-data; name="top_k"'


def test_a_form_without_a_final_line_break_is_read() -> None:
    form = parse_form(part(TOP_K) + END.removesuffix(b"\r\n"), BOUNDARY)
    assert form is not None
    assert form.texts == {"top_k": ["1"]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        END[:-4],
        part(TOP_K),
        part(TOP_K)[:-2] + END,
        part(TOP_K) + END + b"more",
        b"before" + part(TOP_K) + END,
        part(b"Content-Disposition: form-data") + END,
        part(b'Content-Disposition: attachment; name="top_k"') + END,
        part(TOP_K + b"\r\nContent-Transfer-Encoding: base64") + END,
        part(TOP_K + b"\r\n" + TOP_K) + END,
        part(b'Content-Disposition: form-data; name="file"; filename=""') + END,
        part(b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''a") + END,
        part(TOP_K, b"\xff") + END,
        part(b"X: " + b"y" * 2000 + b"\r\n" + TOP_K) + END,
        part(TOP_K) * 40 + END,
    ],
)
def test_an_unusual_form_is_left_to_starlette(body: bytes) -> None:
    assert parse_form(body, BOUNDARY) is None


async def test_starlette_can_read_a_form_that_was_left_to_it() -> None:
    body = part(b"content-disposition: form-data; name=top_k") + END
    request = request_of(body, "multipart/form-data; boundary=a-boundary")
    assert await small_form(request) is None
    assert (await request.form()).multi_items() == [("top_k", "1")]


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data; boundary=a; charset=x"]
)
async def test_another_content_type_is_not_read(content_type: str) -> None:
    request = request_of(part(TOP_K) + END, content_type)
    assert await small_form(request) is None
    assert not hasattr(request, "_body")


async def test_a_large_body_is_not_read_into_memory() -> None:
    request = request_of(b"", "multipart/form-data; boundary=a")
    large = [(b"content-length", b"8388609"), (b"content-type", b"multipart/form-data; boundary=a")]
    request.scope["headers"] = large
    assert await small_form(Request(request.scope, request.receive)) is None


def test_bodies_that_would_exceed_the_memory_for_all_are_not_taken() -> None:
    budget = _Budget(10)
    with budget.taken(6) as first, budget.taken(5) as second:
        assert (first, second) == (True, False)
        with budget.taken(4) as third:
            assert third
    with budget.taken(10) as all_again:
        assert all_again
