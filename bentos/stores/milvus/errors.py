"""Turns errors of pymilvus, gRPC and Milvus into fixed sentences, so that no text of theirs gets into a response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from bentos.stores.milvus.options import MilvusOptions

_UNREACHABLE = "it cannot be reached"
_TOO_SLOW = "it did not answer in time"
_TOKEN_REFUSED = "it refuses MILVUS_TOKEN"  # noqa: S105 - a sentence
_RIGHT_MISSING = "the user of MILVUS_TOKEN lacks a right"
_IS_LOADED = "the collection is not loaded; the service loads it again"

_OF_GRPC = {
    grpc.StatusCode.UNAVAILABLE: _UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: _TOO_SLOW,
    grpc.StatusCode.UNAUTHENTICATED: _TOKEN_REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: _RIGHT_MISSING,
    grpc.StatusCode.RESOURCE_EXHAUSTED: "a message is larger than its limits allow, or its rate limit is reached",
    grpc.StatusCode.UNIMPLEMENTED: "it is too old for this call",
}
# The codes of pkg/util/merr of Milvus 2.3 and later; pymilvus uses 2 too, for a connection that it cannot make.
_OF_MILVUS = {
    2: _UNREACHABLE,
    3: "its memory is full",
    4: "it has too many requests",
    7: "its disk is full",
    8: "its rate limit is reached",
    9: "it refuses to write, because a quota is used up",
    11: "its components lag behind",
    100: "the collection does not exist; the service creates it again",
    101: _IS_LOADED,
    103: "the collection is still being loaded",
    106: "the collection is being recovered",
    201: _IS_LOADED,
    202: "the collection is still being loaded",
    401: "no replica of the collection can be searched",
    503: "a part of the collection cannot be searched yet",
    700: "the collection has no index; the service creates it again",
    1400: _TOKEN_REFUSED,
    1401: _RIGHT_MISSING,
}
_LOST = frozenset({100, 101, 106, 201, 700, 1400, grpc.StatusCode.UNAUTHENTICATED})
_RETRIES_USED_UP = "Retry timeout"
_LITE_NOT_OPENED = "Open local milvus failed"
_LONGEST_DETAIL = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call. `code` is gRPC's, Milvus' or pymilvus'; `reason` is fixed text for answers; `detail` is what
    the client or the server said, without the token, for the log only.
    """

    code: grpc.StatusCode | int | None
    reason: str
    detail: str

    @property
    def needs_reopening(self) -> bool:
        """Whether reopening the collection, with the present token, may resolve the failure."""
        return self.code in _LOST


def failure_of(error: Exception, options: MilvusOptions, tokens: Sequence[str]) -> Failure:
    """Describe a failed call. `tokens` are those in use; they are removed from `detail`."""
    code = _code_of(error)
    message = str(getattr(error, "message", "") or error)
    return Failure(code, _reason(code, message, options), _cleaned(message, tokens))


def _code_of(error: BaseException) -> grpc.StatusCode | int | None:
    """The most specific code: pymilvus calls a refused token "cannot connect", and keeps gRPC's error as the cause.

    pymilvus also raises errors as their own cause (`raise e from e`), which makes the chain a circle.
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, grpc.RpcError) and isinstance(status := cause.code(), grpc.StatusCode):
            return status
        cause = cause.__cause__
    code = getattr(error, "code", None)
    return code if isinstance(code, int | grpc.StatusCode) else None


def _reason(code: grpc.StatusCode | int | None, message: str, options: MilvusOptions) -> str:
    if options.lite and _LITE_NOT_OPENED in message:
        return f"{Path(options.uri).name} is open in another process, or cannot be read"
    if _RETRIES_USED_UP in message and not isinstance(code, grpc.StatusCode):
        return _TOO_SLOW
    if isinstance(code, grpc.StatusCode):
        return _OF_GRPC.get(code) or f"the call failed ({code.name.lower()})"
    if code is None:
        return "the call failed"
    return f"{_OF_MILVUS.get(int(code), 'the call failed')} (code {int(code)})"


def _cleaned(message: str, tokens: Sequence[str]) -> str:
    """The first line, printable, bounded, without a token or its password."""
    line = message.strip().split("\n")[0]
    for secret in [*tokens, *(token.partition(":")[2] for token in tokens)]:
        if secret:
            line = line.replace(secret, "***")
    return "".join(char if char.isprintable() else " " for char in line)[:_LONGEST_DETAIL]
