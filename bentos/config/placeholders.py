"""Finds settings that are still placeholders, and malformed addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic_settings import BaseSettings

_WORD = re.compile(
    r"(?<![a-z0-9])(change[-_ ]?me|placeholder|replace[-_ ]?me|your[-_ ][-_ a-z0-9]+|example|todo|x{3,})(?![a-z])"
    r"|example(key)?$",
    re.IGNORECASE,
)
"""Matches whole words, because a random token may contain "todo" or "xxx", and the end of AWS' sample keys."""
_BRACKETS = re.compile(r"<.*>|\.{3}")
_SCHEMES = {
    "MILVUS_URI": ("http", "https"),
    "POSTGREST_URL": ("http", "https", "sqlite"),
    "S3_ENDPOINT_URL": ("http", "https", "file"),
    "S3_PUBLIC_ENDPOINT_URL": ("http", "https"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("http", "https"),
}
_WITHOUT_HOST = ("sqlite", "file")


def is_placeholder(value: str) -> bool:
    """Whether the text is a placeholder that has to be replaced."""
    return bool(_WORD.search(value) or _BRACKETS.fullmatch(value))


def problem_with(settings: BaseSettings, secrets: Mapping[str, str]) -> str | None:
    """A sentence about the first wrong secret, address or bucket; None when all are right.

    `secrets`: the present value of each secret setting, by the field's name. The answer is one sentence that names the
    setting and never quotes its value. Empty values pass.
    """
    addresses = {name: getattr(settings, name) for name in (*map(str.lower, _SCHEMES), "s3_bucket")}
    for field, value in {**secrets, **addresses}.items():
        name = field.upper()
        if is_placeholder(value):
            return f"{name} is still a placeholder; replace it with your own value."
        if problem := _address(name, value):
            return problem
    return None


def _address(name: str, value: str) -> str | None:
    if not value or name not in _SCHEMES or (name == "MILVUS_URI" and value.endswith(".db")):
        return None
    allowed = ", ".join(
        f"{scheme}:///path" if scheme in _WITHOUT_HOST else f"{scheme}://host" for scheme in _SCHEMES[name]
    )
    scheme, separator, _ = value.partition("://")
    if not separator or scheme.lower() not in _SCHEMES[name]:
        return f"{name} has to begin with a scheme: {allowed}."
    if scheme.lower() not in _WITHOUT_HOST and not _has_host(value):
        return f"{name} has no host, or its port is not a number: {allowed}."
    return None


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises when it is no number
    except ValueError:
        return False
    return bool(parts.hostname)
