"""A client of PostgREST: calls functions and reads views, with timeouts, retries and errors by code."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from bentos.domain.errors import DependencyUnavailable
from bentos.stores.postgrest.errors import (
    SCHEMA,
    PassingFailure,
    PostgrestError,
    failure_of,
    failure_of_call,
)

__all__ = ["PostgrestClient", "PostgrestError", "PostgrestOptions"]

# httpx logs the status line of each response, whose text comes from the server.
logging.getLogger("httpx").setLevel(logging.WARNING)

_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class PostgrestOptions:
    """The address of PostgREST and the limits of a call. `timeout_s` bounds every call, including its retries.

    `token`: the JWT, or a callable that returns the present one; called for each request. `headers`: called for each
    request as well; returns headers to add.
    """

    url: str
    token: str | Callable[[], str] = field(default="", repr=False)
    timeout_s: float = 5.0
    connections: int = 20
    headers: Callable[[], Mapping[str, str]] | None = None


class PostgrestClient:
    """One pool of connections to one PostgREST.

    Transient failures are retried, because every function of schema.sql is idempotent: repeated with the same lease
    token, it finds nothing left to do. A call that times out is not retried.
    """

    def __init__(self, options: PostgrestOptions) -> None:
        self._options = options
        headers = {"Accept": "application/json", "Accept-Profile": SCHEMA, "Content-Profile": SCHEMA}
        # Waiting for a connection is cheap here; in httpx its cost grows with the number of waiting requests.
        self._slots = asyncio.Semaphore(options.connections)
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=options.timeout_s,
            limits=httpx.Limits(
                max_connections=options.connections, max_keepalive_connections=options.connections
            ),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def call(self, function: str, **arguments: Any) -> Any:
        """Call the function and return its result. Raises `PostgrestError`, `DependencyUnavailable`."""
        return await self._answer("POST", f"rpc/{function}", content=json.dumps(arguments))

    async def row_of(self, view: str, column: str, value: str) -> Any:
        """The first row of the view whose `column` is `value`, or None. Raises as `call` does."""
        # `in` strips the quotes of its values. `eq` does not: eq."a" looks for a value with quotes in it.
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        rows = await self._answer("GET", view, params={column: f'in.("{escaped}")', "limit": "1"})
        return rows[0] if rows else None

    async def _answer(self, method: str, path: str, **request: Any) -> Any:
        failures: list[str] = []
        try:
            # Not wait_for: until Python 3.12 it swallows a cancellation that comes as the call ends.
            async with asyncio.timeout(self._options.timeout_s):
                return await self._repeated(failures, method, path, request)
        except TimeoutError:
            # The reason of an earlier attempt says more than the timeout of the last one.
            reason = failures[-1] if failures else f"no answer within {self._options.timeout_s:g} s"
            raise DependencyUnavailable("postgrest", reason) from None

    async def _repeated(self, failures: list[str], method: str, path: str, request: Mapping[str, Any]) -> Any:
        pause = _FIRST_PAUSE_S
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return await self._once(method, path, request)
            except PassingFailure as failure:
                failures.append(str(failure))
                if not attempts_left:
                    raise DependencyUnavailable("postgrest", failures[-1]) from None
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError

    async def _once(self, method: str, path: str, request: Mapping[str, Any]) -> Any:
        url = f"{self._options.url.rstrip('/')}/{path}"
        try:
            async with self._slots:
                response = await self._http.request(method, url, headers=self._headers(method), **request)
        except httpx.TimeoutException:
            raise TimeoutError from None
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, UnicodeError) as error:
            # RuntimeError: the client is closed. The cause is omitted: its text may quote the header with the token.
            raise failure_of_call(error) from None
        if response.is_success:
            return _json(response)
        raise failure_of(response.status_code, _json(response))

    def _headers(self, method: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json"} if method == "POST" else {}
        if self._options.headers is not None:
            headers |= self._options.headers()
        token = self._options.token if isinstance(self._options.token, str) else self._options.token()
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        if response.is_success:
            raise DependencyUnavailable("postgrest", "its answer is not JSON") from None
        return None
