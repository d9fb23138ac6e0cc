"""Tests of hostile ids, fields and headers: they are refused, and reach neither a store nor a log line."""

from __future__ import annotations

import functools
import inspect
import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from bentos.domain.ids import is_face_id, is_valid_id
from bentos.observability.logs import configure_logging
from bentos.stores.files import FilesStore
from bentos.stores.milvus.store import MilvusVectorStore
from bentos.stores.sqlite.store import SqliteMetadataStore
from tests.http.conftest import KEY, Api

HOSTILE = [
    # quotes, backslashes, control characters
    "a'b", 'a"b', "a`b", "a\\b", "\\", "a\nb", "a\n", "\na", "a\r\nb", "a\tb", "a\0b", "\0", "a\x1bb", "a\x7f",
    " a", "a ",
    # SQL
    "x'; DROP TABLE photos;--", "' OR '1'='1", 'x") OR 1=1 --', "x/**/UNION/**/SELECT/**/1", "$1", "?1",
    ":photo_id", "%s",
    # Milvus expressions
    'x" or photo_id != "', 'x"] or photo_id in ["a', 'a" || "1" == "1', 'photo_id like "%"', "{ids}", "exists x",
    # PostgREST filters
    "in.(a,b)", 'eq."a"', "a&collection_id=eq.b", "a,or(photo_id.neq.b)", "like.*", "*", "a;select=*",
    "a#b", "a?limit=1",
    # paths, plain and encoded
    "../../etc/passwd", "..", ".", "a/../../b", "/etc/passwd", "..\\..\\x", "....//x", "file:///etc/passwd",
    "C:\\x", "a/b",
    "%2e%2e%2fetc", "..%2f..%2fx", "..%252f..%252fx", "%c0%ae%c0%ae/", "%00", "a%00b", "~root", "-rf", ".hidden", "_x",
    # characters that look like the letters and digits of an id
    "\u0430dmin", "\uff50hoto", "\uff11\uff12", "\u0661\u0662", "a\u200b", "\u202ea", "a\u0301", "\u0131d", "\ufeffa",
    "\u212aelvin", "\U0001d41a", "a\u2024b", "a\u2010b", "\U0001f600",
    # too long
    "a" * 129, "a" * 1_000_000,
]  # fmt: skip
SPEAKING = [
    "null",
    "NaN",
    "true",
    "eq.a",
    "is.null",
    "not.is.null",
    "in.a",
    "a..b",
    "a--b",
    "or",
    "x.1",
    "1e9",
]
"""Valid ids that have a special meaning in other languages or protocols."""
FACE_IDS = [
    *HOSTILE,
    *SPEAKING,
    "{0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11}",
    "urn:uuid:0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11",
    "0a4f9f6e6f0e5c1c8a385b7d9f0f6f11",
    "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11\n",
]
FACE_ID = "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11"

Send = Callable[[Api, str], Awaitable[httpx.Response]]


async def _search(api: Api, value: str) -> httpx.Response:
    return await api.search(_photo(), collection_id=["good", value])


FIELDS: dict[str, tuple[str, list[str], Send]] = {
    "detect: photo_id": ("photo_id", HOSTILE, lambda api, v: api.detect(photo_id=v)),
    "detect: photo_id of a file": ("photo_id", HOSTILE, lambda api, v: api.detect(_photo(), photo_id=v)),
    "detect: collection_id": ("collection_id", HOSTILE, lambda api, v: api.detect(_photo(), collection_id=v)),
    "detect: index": (
        "index", [*HOSTILE, *(v for v in SPEAKING if v != "true")], lambda api, v: api.detect(_photo(), index=v)
    ),
    "add: face_id": ("face_id", FACE_IDS, lambda api, v: api.add(face_id=v)),
    "add: photo_id": ("photo_id", HOSTILE, lambda api, v: api.add(photo_id=v, bbox="[0,0,9,9]")),
    "add: bbox": ("bbox", [*HOSTILE, *SPEAKING], lambda api, v: api.add(photo_id="p", bbox=v)),
    "add: collection_id": (
        "collection_id", HOSTILE, lambda api, v: api.add(face_id=FACE_ID, collection_id=v)
    ),
    "search: face_id": ("face_id", FACE_IDS, lambda api, v: api.search(face_id=v)),
    "search: face": ("face", [*HOSTILE, *SPEAKING], lambda api, v: api.search(_photo(), face=v)),
    "search: bbox": ("bbox", [*HOSTILE, *SPEAKING], lambda api, v: api.search(_photo(), bbox=v)),
    "search: collection_id": ("collection_id", HOSTILE, _search),
    "status: collection_id": (
        "collection_id", ["", *HOSTILE], lambda api, v: _ask(api, "GET", "/embed_status/", collection_id=v)
    ),
    "status: status": (
        "status", ["", *HOSTILE, *SPEAKING], lambda api, v: _ask(api, "GET", "/embed_status/", status=v)
    ),
    "remove: face_id": (
        "face_id", ["", *FACE_IDS], lambda api, v: _ask(api, "DELETE", "/remove/p", face_id=v)
    ),
    "remove_all: collection_id": (
        "collection_id", ["", *HOSTILE], lambda api, v: _ask(api, "DELETE", "/remove_all/", collection_id=v)
    ),
}  # fmt: skip


async def _ask(api: Api, method: str, path: str, **query: str) -> httpx.Response:
    # httpx refuses addresses above 64 KiB; this transport sends them to the application nevertheless.
    url = httpx.URL("http://test/")
    wanted = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items()).encode()
    request = api.client.build_request(method, url)
    request.url = _LongUrl(path, wanted)  # type: ignore[assignment]
    return await api.client._transport.handle_async_request(request)


class _LongUrl:
    """The attributes of an address that httpx's ASGI transport reads."""

    scheme, host, port = "http", "test", 80

    def __init__(self, path: str, query: bytes = b"") -> None:
        from urllib.parse import unquote

        self.path, self.raw_path, self.query = unquote(path), path.encode() + b"?" + query, query


@functools.cache
def _photo() -> bytes:
    from bentos.demo import photos

    return photos.coffee_cup().read_bytes()


Calls = list[tuple[str, str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Every call of every store: (method, argument, value)."""
    seen: Calls = []

    def watch(store: type, name: str, method: Callable[..., Any]) -> None:
        @functools.wraps(method)
        def watched(*args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(method).bind(*args, **kwargs).arguments
            seen.extend((name, key, value) for key, value in given.items() if key != "self")
            return method(*args, **kwargs)

        monkeypatch.setattr(store, name, watched)

    for store in (FilesStore, MilvusVectorStore, SqliteMetadataStore):
        for name, method in inspect.getmembers(store, inspect.isfunction):
            if not name.startswith("_"):
                watch(store, name, method)
    return seen


def _ids(calls: Calls) -> Iterator[tuple[str, str]]:
    for _, key, value in calls:
        if key in {"photo_id", "collection_id", "face_id"} and value is not None:
            yield key, value
        elif key in {"photo_ids", "collection_ids", "face_ids"}:
            yield from ((key, item) for item in value)


def _only_valid_ids(calls: Calls) -> bool:
    return all(is_face_id(v) if key.startswith("face") else is_valid_id(v) for key, v in _ids(calls))


async def _body(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(await response.aread())
    return body


@pytest.mark.parametrize("place", FIELDS)
async def test_a_hostile_value_of_a_field_is_refused_and_reaches_no_store(
    api: Api, calls: Calls, place: str
) -> None:
    field, values, send = FIELDS[place]
    calls.clear()
    for value in values:
        response = await send(api, value)
        body = await _body(response)
        assert (response.status_code, body["error"]) == (422, "invalid_request"), value[:200]
        # A form without an image is read up to 64 KiB only.
        assert set(body["details"]["fields"]) in ({field}, {"body"} if len(value) > 65536 else {field})
        assert len(response.content) < 1000, "the value is not sent back"
    assert list(_ids(calls)) == []


async def test_a_hostile_path_is_refused_or_not_found_and_reaches_no_store(api: Api, calls: Calls) -> None:
    calls.clear()
    for value in HOSTILE:
        for spelling in {
            quote(value, safe=""),
            quote(value, safe="/"),
            quote(quote(value, safe=""), safe=""),
        }:
            if spelling == value and is_valid_id(value):
                continue
            for method, path in (("DELETE", "/remove"), ("GET", "/embed_status")):
                request = api.client.build_request(method, "http://test/")
                request.url = _LongUrl(f"{path}/{spelling}")  # type: ignore[assignment]
                response = await api.client._transport.handle_async_request(request)
                error = (await _body(response))["error"]
                expected = {(422, "invalid_request"), (404, "not_found")}
                assert (response.status_code, error) in expected, value[:200]
    assert list(_ids(calls)) == []


async def test_an_id_with_a_special_meaning_elsewhere_is_treated_as_an_id(
    api: Api, calls: Calls, astronaut: bytes, selfie: bytes
) -> None:
    await api.index(astronaut, photo_id="p", collection_id="c")
    for value in SPEAKING:
        assert (await api.status(collection_id=value))["total"] == 0
        assert (await api.search(selfie, collection_id=value)).json()["results"] == []
        assert (await api.client.delete(f"/remove/{value}")).status_code == 404
        assert (await api.client.get(f"/embed_status/{value}")).status_code == 404
        assert (await api.detect(photo_id=value)).status_code == 404
        removed = (await api.client.delete("/remove_all/", params={"collection_id": value})).json()
        assert removed == {"photos": 0, "faces_removed": 0}
    assert (await api.search(selfie, collection_id="c")).json()["count"] == 1
    assert _only_valid_ids(calls)


async def test_such_an_id_can_name_a_photo(api: Api, calls: Calls, astronaut: bytes) -> None:
    for value in SPEAKING:
        await api.index(astronaut, photo_id=value, collection_id=value)
        assert [row["photo_id"] for row in (await api.status(collection_id=value))["items"]] == [value]
        assert (await api.client.delete(f"/remove/{value}?purge=true")).json()["faces_removed"] == 1
    assert (await api.status())["total"] == 0
    assert _only_valid_ids(calls)


async def test_remove_all_with_an_empty_collection_removes_nothing(api: Api, astronaut: bytes) -> None:
    await api.index(astronaut)
    assert (await api.client.delete("/remove_all/?collection_id=")).status_code == 422
    assert (await api.status())["items"][0]["status"] == "indexed"


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": "0"}, {"top_k": "51"}, {"top_k": "-1"}, {"top_k": "1.5"}, {"top_k": "9" * 5000}, {"top_k": "x"},
        {"page": "0"}, {"page": "-1"}, {"page": str(2**31)}, {"page": "1e3"}, {"page": "9" * 5000},
        {"score_threshold": "nan"}, {"score_threshold": "inf"}, {"score_threshold": "1.01"},
        {"score_threshold": "-1.01"}, {"score_threshold": "1e400"}, {"include_url": "perhaps"},
    ],
)  # fmt: skip
async def test_a_number_out_of_range_is_refused(api: Api, selfie: bytes, fields: dict[str, str]) -> None:
    response = await api.search(selfie, **fields)
    assert (response.status_code, response.json()["error"]) == (422, "invalid_request")
    assert set(response.json()["details"]["fields"]) == set(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": "1"}, {"top_k": "50"}, {"page": str(2**31 - 1)}, {"top_k": "50", "page": str(2**31 - 1)},
        {"score_threshold": "-1"}, {"score_threshold": "1"}, {"score_threshold": "1e-300"},
    ],
)  # fmt: skip
async def test_a_number_at_the_end_of_its_range_is_accepted(
    api: Api, astronaut: bytes, selfie: bytes, fields: dict[str, str]
) -> None:
    await api.index(astronaut)
    response = await api.search(selfie, **fields)
    assert response.status_code == 200
    assert response.json()["count"] == len(response.json()["results"]) <= 1


@pytest.fixture
def log(api: Api) -> Iterator[io.StringIO]:
    """The log lines of the service."""
    configure_logging("debug")
    logger = logging.getLogger("bentos")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logger.handlers[0].formatter)
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)


async def test_a_log_line_cannot_be_forged(api: Api, log: io.StringIO) -> None:
    forged = '\n{"message": "forged"}'
    sent = 0
    for headers in (
        {"X-Request-Id": forged},
        {"X-Request-Id": "a\r\nforged"},
        {"X-Request-Id": "a\u2028forged".encode()},
        {"X-Api-Key": forged},
        {"User-Agent": forged},
        {"X-Forwarded-For": forged, "Host": forged},
    ):
        await api.client.get("/embed_status/", params={"collection_id": forged}, headers=headers)
        await api.client.delete(f"/remove/{quote(forged, safe='')}", headers=headers)
        await api.client.get(f"/{quote(forged)}", headers=headers)
        sent += 3
    lines = log.getvalue().splitlines()
    assert len(lines) == sent
    for line in lines:
        assert json.loads(line)["message"] == "request"
    assert "forged" not in log.getvalue()


async def test_the_log_contains_no_key_no_image_and_no_embedding(
    api: Api, log: io.StringIO, astronaut: bytes, selfie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the store broke")

    await api.index(astronaut)
    await api.search(selfie)
    await api.search(b"no image, but recognisable bytes")
    await api.client.get("/ping", headers={"X-Api-Key": "a-key-that-does-not-open"})
    monkeypatch.setattr(MilvusVectorStore, "nearest", broken)
    failed = await api.search(selfie, collection_id="some-collection")
    assert (failed.status_code, failed.json()["error"]) == (500, "internal_error")
    text = log.getvalue()
    assert "the store broke" in text
    for secret in (KEY, "a-key-that-does-not-open", "JFIF", "recognisable bytes", "float32", "embedding="):
        assert secret not in text
    assert max(map(len, text.splitlines())) < 20_000
    requests = [json.loads(line) for line in text.splitlines() if '"request"' in line]
    always = {"level", "logger", "message", "method", "ms", "request_id", "route", "status", "time"}
    more = {"200": set(), "400": {"error"}, "401": {"error"}, "500": {"error", "reason", "traceback"}}
    assert {str(line["status"]) for line in requests} == set(more)
    for line in requests:
        assert set(line) == always | more[str(line["status"])]


async def test_thousands_of_fields_are_refused(api: Api) -> None:
    for path in ("/search/", "/detect_faces/"):
        response = await api.client.post(path, data={f"f{n}": "x" for n in range(5000)}, files={"file": b"x"})
        assert response.status_code in {413, 422}, response.text[:200]


@pytest.mark.parametrize("megabytes", [0.9, 5])
async def test_an_id_field_of_megabytes_is_refused(api: Api, calls: Calls, megabytes: float) -> None:
    calls.clear()
    long = "a" * int(megabytes * 1024 * 1024)
    for response in (
        await api.search(_photo(), collection_id=long),
        await api.detect(_photo(), photo_id=long),
        await api.add(photo_id=long, bbox="[0,0,9,9]"),
    ):
        assert response.status_code in {413, 422}, response.text[:200]
        assert len(response.content) < 1000
    assert list(_ids(calls)) == []


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "/search/", "top_k"),
        ("POST", "/search/", "face_id"),
        ("POST", "/search/", "face"),
        ("POST", "/search/", "bbox"),
        ("POST", "/detect_faces/", "index"),
        ("POST", "/detect_faces/", "photo_id"),
        ("POST", "/detect_faces/", "collection_id"),
        ("PUT", "/add_face/", "face_id"),
    ],
)
async def test_a_field_that_is_given_twice_is_refused(api: Api, method: str, path: str, field: str) -> None:
    response = await api.client.request(method, path, data={field: ["5", "6"]}, files={"file": b"x"})
    assert (response.status_code, response.json()["error"]) == (422, "invalid_request")
    assert response.json()["details"]["fields"] == {field: "is given more than once"}


async def test_a_filter_that_is_given_twice_is_refused(api: Api) -> None:
    for method, path in (("GET", "/embed_status/"), ("DELETE", "/remove_all/")):
        response = await api.client.request(method, f"{path}?collection_id=a&collection_id=b")
        assert response.json()["details"]["fields"] == {"collection_id": "is given more than once"}


async def test_an_empty_field_is_refused_and_does_not_widen_a_search(api: Api, selfie: bytes) -> None:
    for field in ("face", "bbox", "collection_id", "top_k", "page", "score_threshold", "include_url"):
        response = await api.search(selfie, **{field: ""})
        assert (response.status_code, response.json()["details"]) == (422, {"fields": {field: "is empty"}})
    for response in (
        await api.detect(selfie, collection_id=""),
        await api.add(face_id=FACE_ID, collection_id=""),
        await api.search(selfie, collection_id=["a", ""]),
    ):
        assert response.json()["details"] == {"fields": {"collection_id": "is empty"}}
