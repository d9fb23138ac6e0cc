"""Turns error responses and failures of PostgREST into fixed sentences that say what to do.

Only codes, statuses, classes of exceptions and a few fixed messages of PostgREST are used: its other messages may
quote parameters, and an exception of the HTTP client may quote a header with the token in it.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from bentos.domain.errors import DependencyUnavailable
from bentos.domain.redaction import redacted

SCHEMA = "face_search"
_CODE = re.compile(r"PGRST[A-Z0-9]{3}|[0-9A-Z]{5}")
_CONNECTION = "it has no connection to PostgreSQL: check that PostgreSQL runs, and PostgREST's db-uri"
_PASSING = {
    "PGRST000": _CONNECTION,
    "PGRST001": _CONNECTION,
    "PGRST002": f"it cannot read the schema {SCHEMA}: check that PostgreSQL runs and that"
    " deploy/postgrest/schema.sql was applied",
    "PGRST003": "every connection of its pool is in use: raise its db-pool, and keep its"
    " db-pool-acquisition-timeout below POSTGREST_TIMEOUT_S",
    "08": _CONNECTION,
    "40001": "PostgreSQL broke off a transaction for another one",
    "40P01": "PostgreSQL broke off a transaction that waited for another one",
    "53": "PostgreSQL has no room left: check its max_connections, its memory and its disk",
    "57P": "PostgreSQL is stopping or starting",
}
"""Transient errors, by the beginning of the code."""
_UNKNOWN_PARTS = "apply deploy/postgrest/schema.sql, and reload PostgREST's schema cache"
_LASTING = {
    "PGRST106": f"schema {SCHEMA} is not among its db-schemas: add it there",
    "PGRST202": f"it does not know a function of the schema {SCHEMA}: {_UNKNOWN_PARTS}",
    "PGRST205": f"it does not know a view of the schema {SCHEMA}: {_UNKNOWN_PARTS}",
    "42P01": f"there is no such view in the schema {SCHEMA}: {_UNKNOWN_PARTS}",
    "42883": f"there is no such function in the schema {SCHEMA}: {_UNKNOWN_PARTS}",
    "3F000": f"there is no schema {SCHEMA}: {_UNKNOWN_PARTS}",
    "PGRST300": "it has no jwt-secret: set it",
    "PGRST301": "it refuses POSTGREST_TOKEN: sign one with its jwt-secret",
    "PGRST302": "it wants a POSTGREST_TOKEN: set one with the role face_search",
    "PGRST303": "it refuses the claims of POSTGREST_TOKEN: check exp, nbf, iat, aud and role",
    "22023": "the role that POSTGREST_TOKEN names does not exist in PostgreSQL: apply"
    " deploy/postgrest/schema.sql, or correct the role in the token",
    "42501": "the role of POSTGREST_TOKEN lacks the rights that deploy/postgrest/schema.sql grants,"
    " or the role that PostgREST connects with may not become it",
    "57014": "PostgreSQL gave the statement up after its statement_timeout",
}
_REFUSED_TOKEN = frozenset({"PGRST301", "PGRST303"})
_CLAIMS = {
    "jwtexpired": "POSTGREST_TOKEN has expired: replace it (the file of POSTGREST_TOKEN_FILE is read again"
    " without a restart)",
    "jwtnotyetvalid": "POSTGREST_TOKEN is not valid yet: check its nbf and the clocks of both machines",
    "jwtissuedatfuture": "POSTGREST_TOKEN was issued in the future: check its iat and the clocks of both machines",
    "jwtnotinaudience": "POSTGREST_TOKEN is meant for another audience: check its aud and PostgREST's jwt-aud",
}
"""By PostgREST's message without spaces: version 12 writes `JWTNotYetValid`, later ones `JWT not yet valid`."""
_OURS = ("FS", "22", "23")


class PassingFailure(Exception):
    """A transient error; the message is a reason for `DependencyUnavailable`."""


class PostgrestError(Exception):
    """The database refuses the request: `code` is an SQLSTATE or a code of schema.sql.

    `details`: the details that schema.sql adds to its own codes, else empty.
    """

    def __init__(self, code: str, details: str = "") -> None:
        super().__init__(code)
        self.code, self.details = code, details


def _lasting(reason: str) -> DependencyUnavailable:
    return DependencyUnavailable("postgrest", reason)


_CALLS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[str], Exception], str], ...] = (
    (socket.gaierror, PassingFailure, "the host name in POSTGREST_URL cannot be resolved"),
    (ssl.SSLCertVerificationError, _lasting, "the certificate of POSTGREST_URL is not trusted"),
    (ssl.SSLError, _lasting, "POSTGREST_URL does not answer TLS: check whether it has to begin with http"),
    (httpx.ConnectError, PassingFailure, "it cannot be reached"),
    (httpx.LocalProtocolError, _lasting, "POSTGREST_TOKEN cannot be sent in a header"),
    (UnicodeError, _lasting, "POSTGREST_TOKEN cannot be sent in a header"),
    ((httpx.InvalidURL, httpx.UnsupportedProtocol), _lasting, "POSTGREST_URL is no address"),
    (httpx.TransportError, PassingFailure, "the connection broke, or POSTGREST_URL does not answer HTTP"),
)
"""By the class of the exception or of one of its causes: the first that matches."""


def failure_of(status: int, body: Any) -> Exception:
    """The exception to raise for an error response; `body` is its JSON, or None."""
    code = body.get("code") if isinstance(body, dict) else None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        reason = f"it answers {status} without an error of PostgREST: check POSTGREST_URL"
        return PassingFailure(reason) if status >= httpx.codes.INTERNAL_SERVER_ERROR else _lasting(reason)
    for beginning, reason in _PASSING.items():
        if code.startswith(beginning):
            return PassingFailure(f"{reason} ({code})")
    if code in _LASTING:
        return _lasting(f"{_claim(code, body) or _LASTING[code]} ({code})")
    if code.startswith(_OURS):
        details = body.get("details")
        return PostgrestError(code, redacted(details) if isinstance(details, str) else "")
    return _lasting(f"it answers {status} ({code})")


def failure_of_call(error: Exception) -> Exception:
    """The exception to raise for an exception of the HTTP client other than a timeout."""
    chain = list(_chain(error))
    for kind, make, reason in _CALLS:
        if any(isinstance(each, kind) for each in chain):
            return make(f"{reason} ({type(error).__name__})")
    return _lasting(f"the request could not be sent ({type(error).__name__})")


def _claim(code: str, body: dict[str, Any]) -> str | None:
    message = "".join(str(body.get("message")).lower().split())
    return _CLAIMS.get(message) if code in _REFUSED_TOKEN else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
