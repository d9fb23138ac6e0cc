"""Tests of what the clients send again, and after which wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from bentos.client import AsyncFaceSearch, FaceSearch, Retries
from bentos.client.calls import Call, add_face, detect_faces, embed_status, ping, remove, remove_all, search
from bentos.client.errors import ApiError, DependencyUnavailable, FaceSearchError, Overloaded, error_of

KEY = "0123456789abcdef-key-of-the-tests"
PONG = {"status": "ok", "service": "image-search", "version": "1"}
QUICK = Retries(first_wait_s=0.001)


def refused(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"error": code, "message": "Why.", "request_id": "r", "details": {}}
    return httpx.Response(
        status, json=body, headers={name.replace("_", "-"): each for name, each in headers.items()}
    )


class Answers:
    """A transport that gives these answers in turn, and counts the requests."""

    def __init__(self, *answers: httpx.Response | httpx.TransportError) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self.requests = 0

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.requests += 1
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, retries: Retries = QUICK) -> FaceSearch:
        return FaceSearch("http://service", KEY, retries=retries, transport=httpx.MockTransport(self))


PASSING: dict[str, Callable[[], httpx.Response | httpx.TransportError]] = {
    "a store is away": lambda: refused(503, "dependency_unavailable", Retry_After="0"),
    "the queue is full": lambda: refused(503, "overloaded", Retry_After="0"),
    "it took too long": lambda: refused(504, "timed_out"),
    "a proxy without a service": lambda: httpx.Response(502, text="<html>"),
    "no connection": lambda: httpx.ConnectError("refused"),
    "no answer": lambda: httpx.ReadTimeout("silent"),
}


@pytest.mark.parametrize("name", PASSING)
def test_an_error_that_passes_is_retried(name: str) -> None:
    answers = Answers(PASSING[name](), PASSING[name](), httpx.Response(200, json=PONG))
    assert answers.client().ping().service == "image-search"
    assert answers.requests == 3


async def test_the_client_for_asyncio_retries_too() -> None:
    answers = Answers(PASSING["a store is away"](), httpx.Response(200, json=PONG))
    async with AsyncFaceSearch("http://service", KEY, transport=httpx.MockTransport(answers)) as client:
        assert (await client.ping()).version == "1"
    assert answers.requests == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(422, "no_faces_detected"), (500, "internal_error"), (401, "invalid_api_key")],
)
def test_an_error_that_stays_is_raised_at_once(status: int, code: str) -> None:
    answers = Answers(refused(status, code))
    with pytest.raises(ApiError) as raised:
        answers.client().search(b"image")
    assert (raised.value.error, answers.requests) == (code, 1)


@pytest.mark.parametrize("name", sorted(PASSING.keys() - {"no connection"}))
def test_remove_all_is_not_repeated_once_it_may_have_begun(name: str) -> None:
    answers = Answers(PASSING[name]())
    with pytest.raises(FaceSearchError):
        answers.client().remove_all()
    assert answers.requests == 1


def test_remove_all_is_repeated_when_it_was_not_sent() -> None:
    answers = Answers(PASSING["no connection"](), httpx.Response(200, json={"photos": 1, "faces_removed": 2}))
    assert answers.client().remove_all().faces_removed == 2


def test_only_remove_all_may_not_be_repeated() -> None:
    others: list[Call[Any]] = [
        detect_faces(b"image"),
        add_face("face"),
        embed_status(),
        remove("photo"),
        search(b"image"),
        ping(),
    ]
    assert all(call.repeatable for call in others)
    assert not remove_all().repeatable


def test_the_last_error_is_raised_after_the_last_attempt() -> None:
    answers = Answers(*[PASSING["a store is away"]() for _ in range(3)])
    with pytest.raises(DependencyUnavailable):
        answers.client(Retries(attempts=3)).ping()
    assert answers.requests == 3


def test_the_wait_is_what_the_service_says_in_seconds_or_as_a_date() -> None:
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    waits = [
        Retries(longest_wait_s=7200).wait_s(
            ping(), error_of(503, {"retry-after": told}, refused(503, "overloaded").content), 1
        )
        for told in ("7", in_an_hour)
    ]
    assert waits[0] == 7
    assert 3000 < (waits[1] or 0) <= 3600


def test_a_wait_that_is_too_long_is_not_made() -> None:
    for told, seconds in (("3600", 3600), ("9" * 400, math.inf)):
        answers = Answers(refused(503, "overloaded", Retry_After=told))
        with pytest.raises(Overloaded) as raised:
            answers.client().ping()
        assert raised.value.retry_after_s == seconds


def test_without_a_time_the_waits_grow() -> None:
    error = error_of(504, {}, refused(504, "timed_out").content)
    waits = [
        Retries(attempts=9, longest_wait_s=1e9).wait_s(ping(), error, attempt) or 0 for attempt in (1, 4, 7)
    ]
    assert 4 * waits[0] < 2 * waits[1] < waits[2]
