"""Makes and checks the JSON web tokens that PostgREST accepts: HS256 (RFC 7519), with a role."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any

from bentos.demo.servers.postgrest_requests import Refused

_SKEW_S = 30
_VERSION_12 = 12


def make_token(secret: str, role: str = "face_search", **claims: Any) -> str:
    """A token that gives its bearer the role `role`; `claims` may add `exp`."""
    head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = _encode(json.dumps({"role": role, **claims}).encode())
    return f"{head}.{body}.{_encode(_signature(secret, f'{head}.{body}'))}"


def claims_of(authorization: str | None, secret: str, major: int = 14) -> dict[str, Any]:
    """The claims of the request's token. Raises `Refused` with the codes of PostgREST `major`."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "PGRST302", "Anonymous access is disabled")
    try:
        signed, _, signature = token.rpartition(".")
        head, body = signed.split(".")
        if json.loads(_decode(head)).get("alg") != "HS256":
            raise Refused(401, "PGRST301", "Wrong or unsupported encoding algorithm")
        if not hmac.compare_digest(_decode(signature), _signature(secret, signed)):
            raise Refused(401, "PGRST301", "No suitable key or wrong key type")
        claims: dict[str, Any] = json.loads(_decode(body))
    except (ValueError, binascii.Error) as error:
        raise Refused(401, "PGRST301", "JWT couldn't be decoded") from error
    _check_times(claims, major)
    if not isinstance(claims.get("role"), str):
        raise Refused(401, "PGRST302", "Anonymous access is disabled")
    return claims


def _check_times(claims: dict[str, Any], major: int) -> None:
    now = time.time()
    wrong = {
        ("JWT expired", "JWT expired"): claims.get("exp", now) < now - _SKEW_S,
        ("JWT not yet valid", "JWTNotYetValid"): claims.get("nbf", now) > now + _SKEW_S,
        ("JWT issued at future", "JWTIssuedAtFuture"): claims.get("iat", now) > now + _SKEW_S,
    }
    for (message, message_of_12), is_wrong in wrong.items():
        if is_wrong and major == _VERSION_12:
            raise Refused(401, "PGRST301", message_of_12)
        if is_wrong:
            raise Refused(401, "PGRST303", message)


def _signature(secret: str, signed: str) -> bytes:
    return hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
