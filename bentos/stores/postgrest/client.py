"""PostgREST's protocol: calls of functions, reads of views, timeouts, retries, errors by their code."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from bentos.domain.errors import DependencyUnavailable

SCHEMA = "face_search"

_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.05
_PASSING = ("PGRST000", "PGRST001", "PGRST002", "PGRST003", "08", "40001", "40P01", "53", "57P")
"""Codes of what may be over in a moment: no connection, no room, a lost race, a server that restarts."""
_REFUSALS = {
    "PGRST106": f"schema {SCHEMA!r} is not among its db-schemas",
    "PGRST202": "it does not know the functions of deploy/postgrest/schema.sql; apply that, or reload its cache",
    "PGRST205": "it does not know the views of deploy/postgrest/schema.sql; apply that, or reload its cache",
    "PGRST300": "it has no jwt-secret",
    "PGRST301": "it refuses POSTGREST_TOKEN",
    "PGRST302": "it wants a POSTGREST_TOKEN",
    "PGRST303": "it refuses the claims of POSTGREST_TOKEN",
    "42501": "the role of POSTGREST_TOKEN lacks the rights that deploy/postgrest/schema.sql grants",
    "57014": "PostgreSQL gave the statement up",
}


@dataclass(frozen=True, slots=True)
class PostgrestOptions:
    """Where PostgREST is. `timeout_s` bounds every call, its repetitions included."""

    url: str
    token: str = field(default="", repr=False)
    timeout_s: float = 5.0
    connections: int = 20


class PostgrestError(Exception):
    """PostgreSQL or PostgREST refused the request: `code` is an SQLSTATE or PGRST*."""

    def __init__(self, code: str, message: str, details: str | None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.details = details


class PostgrestClient:
    """One pool of connections to one PostgREST.

    Whatever fails in passing is repeated, because everything that schema.sql offers may be: its functions
    find nothing left to do when the same lease token repeats them. A call that times out is not repeated.
    """

    def __init__(self, options: PostgrestOptions) -> None:
        self._options = options
        headers = {"Accept": "application/json", "Accept-Profile": SCHEMA, "Content-Profile": SCHEMA}
        if options.token:
            headers["Authorization"] = f"Bearer {options.token}"
        # Waiting in line for a connection is cheap here, and costs httpx time that grows with the line.
        self._slots = asyncio.Semaphore(options.connections)
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=options.timeout_s,
            limits=httpx.Limits(
                max_connections=options.connections, max_keepalive_connections=options.connections
            ),
        )

    async def close(self) -> None:
        """Let go of every connection."""
        await self._http.aclose()

    async def call(self, function: str, **arguments: Any) -> Any:
        """What the function answers. Raises `PostgrestError`, `DependencyUnavailable`."""
        return await self._answer("POST", f"rpc/{function}", content=json.dumps(arguments))

    async def row_of(self, view: str, column: str, value: str) -> Any:
        """The first row of the view whose `column` is `value`, or None; raises as `call` does."""
        # `in` strips the quotes of its values. `eq` does not: eq."a" looks for a value with quotes in it.
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        rows = await self._answer("GET", view, params={column: f'in.("{escaped}")', "limit": "1"})
        return rows[0] if rows else None

    async def _answer(self, method: str, path: str, **request: Any) -> Any:
        try:
            return await asyncio.wait_for(self._repeated(method, path, **request), self._options.timeout_s)
        except TimeoutError:
            reason = f"no answer within {self._options.timeout_s:g} s"
            raise DependencyUnavailable("postgrest", reason) from None

    async def _repeated(self, method: str, path: str, **request: Any) -> Any:
        pause = _FIRST_PAUSE_S
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return await self._once(method, path, **request)
            except _Passing as failure:
                if not attempts_left:
                    raise DependencyUnavailable("postgrest", str(failure)) from failure
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError

    async def _once(self, method: str, path: str, **request: Any) -> Any:
        url = f"{self._options.url.rstrip('/')}/{path}"
        headers = {"Content-Type": "application/json"} if method == "POST" else None
        try:
            async with self._slots:
                response = await self._http.request(method, url, headers=headers, **request)
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        except httpx.TransportError as error:
            raise _Passing(f"{type(error).__name__} ({error})") from error
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: closed already
            raise DependencyUnavailable("postgrest", str(error)) from error
        if response.is_success:
            return _json(response)
        raise _failure(response)


class _Passing(Exception):
    """May be over in a moment."""


def _failure(response: httpx.Response) -> Exception:
    body = _json(response)
    code = body.get("code") if isinstance(body, dict) else None
    if not isinstance(code, str):
        failure = f"status {response.status_code} without PostgREST's error"
        return _Passing(failure) if response.is_server_error else DependencyUnavailable("postgrest", failure)
    message = str(body.get("message"))
    if code.startswith(_PASSING):
        return _Passing(f"{code} {message}")
    if code in _REFUSALS:
        return DependencyUnavailable("postgrest", f"{_REFUSALS[code]} ({code} {message})")
    if code.startswith(("FS", "22", "23")):
        return PostgrestError(code, message, body.get("details"))
    return DependencyUnavailable("postgrest", f"{code} {message}")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        if response.is_success:
            raise DependencyUnavailable("postgrest", "its answer is not JSON") from None
        return None
