"""Tests every failure of every store with a marker in every secret: no message, log line or traceback contains it."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from bentos.config.secret_source import SecretSource
from bentos.demo.servers.postgrest import JWT_SECRET
from bentos.demo.servers.postgrest_tokens import make_token
from bentos.demo.servers.s3 import BUCKET, REGION
from bentos.domain.errors import FaceSearchError
from bentos.observability.logs import _JsonLines
from bentos.serving.readiness import Readiness
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.postgrest.store import PostgrestMetadataStore, PostgrestOptions
from bentos.stores.records import Lease
from bentos.stores.s3.store import S3Options, S3Store
from tests.secrets.hostile_servers import HOSTILE, answering, grpc_echo, postgrest_error, s3_error

# asyncio does not close a transport whose TLS handshake fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MARKER = "m4rk3rOfEverySecret"
TIMEOUT_S = 0.4
VARIANTS = {
    "valid": MARKER,
    "a line break at the end": f"{MARKER}\n",
    "a line break inside": f"{MARKER}\n{MARKER}",
    "a tab": f"{MARKER}\t{MARKER}",
    "no ASCII": f"{MARKER}é\u2028",
}
"""Values that the settings refuse are tested too, because the stores do not rely on the settings."""
UNREACHABLE = {
    "nobody listens": "http://127.0.0.1:9",
    "no such host": "http://no-such-host.invalid:80",
    "no address": "http://[nonsense",
}
POSTGREST_CODES = {
    **dict.fromkeys(("PGRST301", "PGRST302", "PGRST303"), "401 Unauthorized"),
    **dict.fromkeys(("PGRST000", "PGRST001", "PGRST002"), "503 Service Unavailable"),
    **dict.fromkeys(("PGRST106", "PGRST202", "PGRST205", "42P01", "42883", "PGRSTX00"), "404 Not Found"),
    **dict.fromkeys(
        ("22023", "22P02", "23505", "23514", "P0001", "FS001", "FS004", "FS005"), "400 Bad Request"
    ),
    "42501": "403 Forbidden",
    "57014": "500 Internal Server Error",
    MARKER: "500 Internal Server Error",
}
S3_CODES = {
    "AccessDenied": "403 Forbidden",
    "InvalidAccessKeyId": "403 Forbidden",
    "SignatureDoesNotMatch": "403 Forbidden",
    "NoSuchBucket": "404 Not Found",
    "PermanentRedirect": "301 Moved Permanently",
    "SlowDown": "503 Slow Down",
    None: "400 Bad Request",
}


class Said:
    """All output of a failure: messages, tracebacks, log lines and printed text."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        self._caplog, self._capfd = caplog, capfd
        self._texts: list[str] = []
        self.failures = 0

    async def by(self, call: Callable[[], Awaitable[object]]) -> None:
        """The message, the log line and the traceback of one failing call."""
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - no exception may contain the marker
            self.failures += 1
            self._texts += [str(error), repr(error), *traceback.format_exception(error)]
            if isinstance(error, FaceSearchError):
                self._texts += [error.message, repr(error.details)]
            record = logging.LogRecord(
                "bentos", logging.ERROR, "", 0, "unhandled error: %s", (error,), (type(error), error, None)
            )
            self._texts.append(_JsonLines().format(record))

    def add(self, text: str | None) -> None:
        self._texts.append(text or "")

    def all(self) -> str:
        printed = self._capfd.readouterr()
        return "\n".join([*self._texts, self._caplog.text, printed.out, printed.err])


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Said]:
    caplog.set_level(logging.INFO)
    said = Said(caplog, capfd)
    yield said
    text = said.all()
    assert said.failures, "nothing failed, so nothing was tested"
    for form in (MARKER, quote(f"{MARKER}\n"), base64.b64encode(MARKER.encode()).decode()[:-4]):
        assert form not in text, text


def known(name: str, value: str) -> Callable[[], str]:
    """Registers the secrets for redaction, as a service does."""
    source = SecretSource(name, value, rule=lambda _, text: text)
    source.value()
    return source.value


async def postgrest_calls(said: Said, url: str, token: str) -> None:
    store = PostgrestMetadataStore(PostgrestOptions(url, known("POSTGREST_TOKEN", token), TIMEOUT_S))
    await said.by(store.open)
    await _readiness(said, store)
    # As if the store had been open when the failure began.
    store._opened = None
    async with _as_if_open(store):
        lease = Lease(5)
        await said.by(lambda: store.photo("photo"))
        await said.by(
            lambda: store.begin_indexing("photo", face_ids=["face"], collection_id="c", lease=lease)
        )


@asynccontextmanager
async def _as_if_open(store: PostgrestMetadataStore) -> AsyncIterator[None]:
    from bentos.stores.postgrest.client import PostgrestClient

    store._opened = PostgrestClient(store._options)
    try:
        yield
    finally:
        await store.close()


async def s3_calls(said: Said, url: str, key: str, secret: str) -> None:
    options = S3Options(
        endpoint_url=url,
        region=REGION,
        bucket=BUCKET,
        prefix="",
        access_key_id=known("S3_ACCESS_KEY_ID", key),
        secret_access_key=known("S3_SECRET_ACCESS_KEY", secret),
        addressing="path",
        timeout_s=TIMEOUT_S,
    )
    try:
        store = S3Store(options)
    except Exception as error:  # noqa: BLE001 - no exception may contain the marker
        said.failures += 1
        said.add("".join(traceback.format_exception(error)))
        return
    calls: list[Callable[[], Awaitable[object]]] = [
        store.open,
        lambda: store.put("photo", b"image", "image/jpeg"),
        lambda: store.get("photo", max_bytes=1000),
        lambda: store.exists("photo"),
        lambda: store.delete("photo"),
        lambda: anext(store.scan_images()),
    ]
    await asyncio.gather(*(said.by(call) for call in calls))
    await _readiness(said, store)
    await store.close()


async def milvus_calls(said: Said, url: str, token: str) -> None:
    store = MilvusVectorStore(
        MilvusOptions(
            uri=url,
            token=known("MILVUS_TOKEN", token),
            alias="faces",
            dim=8,
            pack_name="test",
            fingerprint="0123456789abcdef",
            timeout_s=TIMEOUT_S,
        )
    )
    await said.by(store.open)
    await _readiness(said, store)
    await store.close()


async def _readiness(said: Said, store: PostgrestMetadataStore | S3Store | MilvusVectorStore) -> None:
    """The output of `/readyz` and of the log while the service tries to open the store."""
    readiness = Readiness({"postgrest": store})
    async with readiness.opened():
        await asyncio.sleep(0.05)
        said.add(readiness.not_ready())


@pytest.fixture(autouse=True)
def _no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes host names fail at once, because a missing name server takes a minute to time out."""
    resolve = socket.getaddrinfo

    def resolve_addresses_only(host: Any, *arguments: Any, **more: Any) -> Any:
        if host in {"127.0.0.1", "localhost", b"127.0.0.1"}:
            return resolve(host, *arguments, **more)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve_addresses_only)


@pytest.fixture(params=VARIANTS)
def secret(request: pytest.FixtureRequest) -> str:
    return VARIANTS[request.param]


@pytest.mark.parametrize("where", UNREACHABLE)
async def test_a_server_that_cannot_be_reached(said: Said, where: str, secret: str) -> None:
    await postgrest_calls(said, UNREACHABLE[where], secret)
    await s3_calls(said, UNREACHABLE[where], secret, secret)


@pytest.mark.parametrize("behaviour", HOSTILE)
@pytest.mark.parametrize("variant", ["valid", "a line break inside"])
async def test_a_server_that_speaks_another_protocol_or_echoes_the_request(
    said: Said, behaviour: str, variant: str
) -> None:
    secret = VARIANTS[variant]
    with answering(HOSTILE[behaviour]) as url:
        await asyncio.gather(postgrest_calls(said, url, secret), s3_calls(said, url, secret, secret))


@pytest.mark.parametrize("behaviour", ["closes at once", "echoes without HTTP", "never answers"])
async def test_a_server_without_tls(said: Said, behaviour: str) -> None:
    with answering(HOSTILE[behaviour]) as url:
        address = url.replace("http", "https", 1)
        await asyncio.gather(postgrest_calls(said, address, MARKER), s3_calls(said, address, MARKER, MARKER))


@pytest.mark.parametrize("code", POSTGREST_CODES)
async def test_an_error_of_postgrest_that_quotes_the_request(said: Said, code: str) -> None:
    with answering(postgrest_error(POSTGREST_CODES[code], code)) as url:
        await postgrest_calls(said, url, MARKER)


@pytest.mark.parametrize("code", S3_CODES)
async def test_an_error_of_s3_that_quotes_the_request(said: Said, code: str | None) -> None:
    with answering(s3_error(S3_CODES[code], code)) as url:
        await s3_calls(said, url, MARKER, MARKER)


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
    ],
    ids=lambda code: code.name.lower(),
)
async def test_an_error_of_milvus_that_quotes_the_request(said: Said, code: grpc.StatusCode) -> None:
    with grpc_echo(code) as url:
        await milvus_calls(said, url, f"root:{MARKER}")


@pytest.mark.parametrize("behaviour", ["closes at once", "echoes without HTTP", "never answers"])
async def test_a_milvus_address_with_another_server(said: Said, behaviour: str) -> None:
    with answering(HOSTILE[behaviour]) as url:
        await milvus_calls(said, url, f"root:{MARKER}")


@pytest.mark.parametrize(
    "claims", [{}, {"exp": 1}, {"nbf": 4_000_000_000}, {"role": MARKER}, {"role": "authenticator"}]
)
async def test_a_real_refusal_of_a_token(said: Said, postgrest_url: str, claims: dict[str, object]) -> None:
    token = make_token(JWT_SECRET, **{"sub": MARKER, **claims}) if claims else f"a.b.{MARKER}"  # type: ignore[arg-type]
    await postgrest_calls(said, postgrest_url, token)


async def test_a_real_refusal_of_keys(said: Said, bucket: S3Options) -> None:
    await s3_calls(said, bucket.endpoint_url, MARKER, MARKER)


async def test_a_log_line_masks_a_secret_that_an_exception_quotes(said: Said) -> None:
    known("POSTGREST_TOKEN", MARKER)

    async def call() -> None:
        raise RuntimeError("an exception of somebody else")

    await said.by(call)
    error = RuntimeError(f"Illegal header value b'Bearer {MARKER}'")
    record = logging.LogRecord("bentos", logging.ERROR, "", 0, "%s", (error,), (RuntimeError, error, None))
    line = _JsonLines().format(record)
    assert line.count("***") == 2
    said.add(line)
