"""The client for ordinary code."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx

from bentos.client import calls
from bentos.client.calls import Call
from bentos.client.connection import TIMEOUT_S, Connection, no_answer, read
from bentos.client.errors import FaceSearchError
from bentos.client.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")


def _endpoint(build: Callable[P, Call[T]]) -> Callable[Concatenate[FaceSearch, P], T]:
    @wraps(build)
    def method(self: FaceSearch, /, *positional: P.args, **named: P.kwargs) -> T:
        return self.send(build(*positional, **named))

    return method


class FaceSearch:
    """One method for each endpoint; `bentos.client.calls` describes their arguments.

    Every method raises a `FaceSearchError`: `ApiError` with one class for each code, `NoAnswer`, `UnexpectedAnswer`.
    Errors that pass are retried as `retries` says. Safe to share by threads.

    `url`: the host that serves both services, or image-vectorizer alone when `search_url` names image-search.
    `transport`: httpx's, for tests and for proxies of one's own. Raises `ValueError` for an unusable address or key.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        search_url: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, search_url)
        self._retries = retries or Retries()
        self._http = httpx.Client(headers=self._connection.headers, timeout=timeout_s, transport=transport)

    detect_faces = _endpoint(calls.detect_faces)
    add_face = _endpoint(calls.add_face)
    embed_status = _endpoint(calls.embed_status)
    photo_status = _endpoint(calls.photo_status)
    remove = _endpoint(calls.remove)
    remove_all = _endpoint(calls.remove_all)
    search = _endpoint(calls.search)
    ping = _endpoint(calls.ping)

    def send(self, call: Call[T]) -> T:
        """The answer of any call."""
        for attempt in itertools.count(1):
            try:
                return self._once(call)
            except FaceSearchError as error:
                wait = self._retries.wait_s(call, error, attempt)
                if wait is None:
                    raise
            time.sleep(wait)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _once(self, call: Call[T]) -> T:
        try:
            response = self._http.request(**self._connection.request(call))
        except httpx.RequestError as error:
            raise no_answer(error) from None
        return read(call, response)
