"""What the sync and the async client share: addresses, key, requests and how their answers are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from bentos.client.calls import Call
from bentos.client.errors import FaceSearchError, NoAnswer, UnexpectedAnswer, error_of
from bentos.version import VERSION

T = TypeVar("T")
TIMEOUT_S = 75.0
"""Longer than the service's own REQUEST_TIMEOUT_S, so that its answer arrives."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the services are, and the key for them.

    `url`: the host that serves both, or image-vectorizer alone when `search_url` names image-search.
    """

    url: str
    api_key: str = field(repr=False)
    search_url: str | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError`, which does not quote the key."""
        for url in (self.url, self.search_url):
            if url is not None and not _is_address(url):
                raise ValueError(f"{url!r} is not the address of a service: http(s)://host, without a query")
        if not (
            self.api_key.isascii()
            and self.api_key.isprintable()
            and self.api_key.strip() == self.api_key != ""
        ):
            raise ValueError("the API key is empty, or has characters that a header cannot carry")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {"X-Api-Key": self.api_key, "User-Agent": f"face-search-client/{VERSION}"}

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of httpx's `request`."""
        base = (self.search_url or self.url) if call.service == "image-search" else self.url
        request: dict[str, Any] = {"method": call.method, "url": base.rstrip("/") + call.path}
        if call.form:
            request["files"] = list(call.form)
        if call.query:
            request["params"] = list(call.query)
        return request


def _is_address(url: str) -> bool:
    try:
        address = urlsplit(url)
        whole = address.port != 0 and not (address.query or address.fragment)
    except ValueError:  # the port is no number up to 65535, or a bracket of an IPv6 address is missing
        return False
    plain = url.isprintable() and " " not in url
    return whole and plain and address.scheme in {"http", "https"} and bool(address.hostname)


def read(call: Call[T], response: httpx.Response) -> T:
    """The answer of a call. Raises `ApiError`, `UnexpectedAnswer`."""
    headers: Mapping[str, str] = response.headers
    if response.is_error:
        raise error_of(response.status_code, headers, response.content)
    try:
        return call.read(json.loads(response.content))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnexpectedAnswer(
            f"The answer of {call.path} is not one of this API; is the address right?",
            status=response.status_code,
        ) from None


def no_answer(error: httpx.RequestError) -> FaceSearchError:
    """The error for a call without an answer, or with one that cannot be decoded.

    The text of httpx's own error is left out: it may quote a header.
    """
    reason = "could not be reached"
    if isinstance(error, httpx.TimeoutException):
        reason = "did not answer in time"
    elif isinstance(error, httpx.DecodingError):
        reason = "gave an answer that cannot be decoded"
    where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    return NoAnswer(
        f"The service at {where} {reason} ({type(error).__name__}).", sent=not isinstance(error, _NOT_SENT)
    )
