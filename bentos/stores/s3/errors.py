"""Turns errors of S3 servers and of boto3 into sentences that name the setting to check."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

_DENIED = (
    "access denied: check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, "
    "and that they may read, write, delete and list"
)

_BY_CODE = {
    "InvalidAccessKeyId": "it does not know the key of S3_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "it refuses the signature: check S3_SECRET_ACCESS_KEY and S3_REGION",
    "AuthorizationHeaderMalformed": "it refuses the signature: check S3_REGION",
    "PermanentRedirect": "the bucket of S3_BUCKET lives elsewhere: check S3_REGION and S3_ENDPOINT_URL",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "ExpiredToken": "it refuses the key of S3_ACCESS_KEY_ID, which has expired",
    "SlowDown": "it asks for fewer requests (SlowDown)",
    "ServiceUnavailable": "it is too busy (ServiceUnavailable)",
    "InternalError": "it failed (InternalError)",
}
"""Other codes are not quoted: a server may write anything into a code, even the key of the request."""


_BY_CLASS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (SSLError, "S3_ENDPOINT_URL does not answer TLS, or its certificate is not trusted"),
    (EndpointConnectionError, "no connection to S3_ENDPOINT_URL"),
    ((ConnectTimeoutError, ReadTimeoutError), "no answer from S3_ENDPOINT_URL in time"),
    (ResponseParserError, "S3_ENDPOINT_URL does not answer as S3 does"),
    (UnicodeError, "S3_ACCESS_KEY_ID cannot be sent in a header"),
)


def is_missing_object(error: ClientError) -> bool:
    """Whether the server says that there is no such object; false for a missing bucket."""
    return _status(error) == HTTPStatus.NOT_FOUND and _code(error) in {"NoSuchKey", "NotFound", "404"}


def reason(error: Exception, bucket: str) -> str:
    """Why a call failed, without keys and signed addresses."""
    if isinstance(error, ClientError):
        return _refusal(error, bucket)
    for kind, meaning in _BY_CLASS:
        if isinstance(error, kind):
            return meaning
    if isinstance(error, ParamValidationError):
        return f"{bucket!r} cannot name a bucket: check S3_BUCKET"
    return f"the connection broke ({type(error).__name__})"


_NO_BUCKET = frozenset({"NoSuchBucket", "NotFound", "404"})


def _refusal(error: ClientError, bucket: str) -> str:
    code, status = _code(error), _status(error)
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == HTTPStatus.FORBIDDEN:
        return _DENIED
    if status == HTTPStatus.NOT_FOUND and code in _NO_BUCKET:
        return f"there is no bucket {bucket!r}: check S3_BUCKET"
    return f"it answers {status}"


def _code(error: ClientError) -> str:
    answer: Any = error.response
    return str(answer.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    answer: Any = error.response
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
