"""Tests of the errors of the client, of what it takes for an answer, and of what it refuses to send."""

from __future__ import annotations

import httpx
import pytest

from bentos.client import FaceSearch, Retries
from bentos.client.environment import connection_from
from bentos.client.errors import BY_CODE, ApiError, NoAnswer, UnexpectedAnswer, error_of
from bentos.http.error_responses import STATUS

KEY = "0123456789abcdef-key-of-the-tests"


def test_every_code_of_the_services_has_a_class_of_its_own() -> None:
    assert BY_CODE.keys() == STATUS.keys()


def test_a_code_of_a_newer_service_is_an_error_too() -> None:
    error = error_of(
        418, {}, b'{"error": "new", "message": "No tea.", "request_id": "r", "details": {"a": 1}}'
    )
    assert type(error) is ApiError
    assert (error.error, error.message, error.request_id, error.details) == ("new", "No tea.", "r", {"a": 1})


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"{}", b'{"error": "x"}', b"\xff", b"null"])
def test_an_answer_that_is_not_of_this_api_is_unexpected(body: bytes) -> None:
    assert isinstance(error_of(500, {}, body), UnexpectedAnswer)
    client = FaceSearch(
        "http://service", KEY, transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    )
    with pytest.raises(UnexpectedAnswer, match="is the address right"):
        client.ping()


def test_an_answer_that_cannot_be_decoded_is_an_error_of_the_client() -> None:
    broken = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))
    client = FaceSearch(
        "http://me:secret@service:8080",
        KEY,
        retries=Retries(attempts=1),
        transport=httpx.MockTransport(lambda _: broken),
    )
    with pytest.raises(NoAnswer, match=r"at http://service:8080 gave an answer that cannot be decoded"):
        client.ping()


@pytest.mark.parametrize("key", ["", " ", "with a newline\n", "schlüssel-über-alles", "with\0nul"])
def test_a_key_that_a_header_cannot_carry_is_refused_without_quoting_it(key: str) -> None:
    with pytest.raises(ValueError, match="the API key is empty, or has characters") as raised:
        FaceSearch("http://service", key)
    assert not key.strip() or key.strip() not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "service",
        "ftp://service",
        "http://",
        "http://service:99999",
        "http://service:x",
        "http://[::1",
        "http://a b",
        "http://service?x=1",
        "http://service\n",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a service"):
        FaceSearch(url, KEY)


@pytest.mark.parametrize("photo_id", ["", "a/b", "../x", "a?b", "a%2fb", "a\nb", "a\0", "\udcff"])
def test_an_id_that_would_be_another_path_is_not_sent(photo_id: str) -> None:
    client = FaceSearch("http://service", KEY, transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    for send in (client.remove, client.photo_status):
        with pytest.raises(ValueError, match="cannot be the id of a photo"):
            send(photo_id)


def test_the_key_may_be_in_a_file(tmp_path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    connection = connection_from({"FACE_SEARCH_URL": "http://service", "FACE_SEARCH_API_KEY_FILE": str(file)})
    assert connection.api_key == KEY
    assert KEY not in repr(connection)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "FACE_SEARCH_URL"),
        ({"FACE_SEARCH_URL": "http://service"}, "FACE_SEARCH_API_KEY"),
        (
            {"FACE_SEARCH_URL": "http://service", "FACE_SEARCH_API_KEY_FILE": "/missing"},
            "FACE_SEARCH_API_KEY_FILE",
        ),
        ({"FACE_SEARCH_URL": "service", "FACE_SEARCH_API_KEY": KEY}, "FACE_SEARCH_URL"),
    ],
)
def test_a_missing_or_wrong_variable_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        connection_from(environment)
