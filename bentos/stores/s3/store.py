"""`ImageStore` in an S3 bucket, with boto3, whose blocking calls run in a thread pool."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from bentos.config.settings import SettingsError
from bentos.domain.errors import DependencyUnavailable, ImageTooLarge, InvalidRequest, PhotoNotFound
from bentos.domain.ids import is_valid_id
from bentos.stores.s3.bounds import Attempts, UploadBody
from bentos.stores.s3.errors import is_missing_object, reason
from bentos.stores.s3.links import LinkSigner

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# botocore logs responses that it cannot parse, and a server may have copied secrets of our request into them.
logging.getLogger("urllib3.connectionpool").setLevel(logging.CRITICAL)

T = TypeVar("T")
Secret = str | Callable[[], str]
"""A secret, or a callable that returns the present one."""

_ATTEMPTS = 2
_CHUNK_BYTES = 256 * 1024
_LARGEST_LISTING = 1000


@dataclass(frozen=True, slots=True)
class S3Options:
    """The bucket, its address, keys and limits; the fields are those of the settings `S3_*`.

    `public_endpoint_url`: the address in links, if callers reach the store by another one. `headers` is called for each
    call and returns headers to add, which are not signed. When the keys change, calls that begin afterwards use them.
    """

    endpoint_url: str
    region: str
    bucket: str
    prefix: str
    access_key_id: Secret = field(repr=False)
    secret_access_key: Secret = field(repr=False)
    addressing: Literal["auto", "path", "virtual"] = "auto"
    threads: int = 16
    timeout_s: float = 5.0
    public_endpoint_url: str = ""
    headers: Callable[[], Mapping[str, str]] | None = None


class S3Store:
    """`ImageStore` in one bucket: the object `{prefix}{photo_id}` is the image, with its content type.

    No call takes longer than `timeout_s`, whatever the server does, and nothing is sent after that. A server that does
    not respond occupies a thread for at most half of `timeout_s` more.
    """

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._attempts = Attempts()
        self._making = threading.Lock()
        self._keys = ("", "")
        self._made: S3Client | None = None
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="s3")
        _ = self._client

    async def open(self) -> None:
        """Check that the bucket exists and accepts the keys. Raises `DependencyUnavailable`."""
        await self.check()

    async def check(self) -> None:
        """Check that the bucket accepts the keys. Raises `DependencyUnavailable`."""
        await self._in_thread(lambda: self._client.head_bucket(Bucket=self._options.bucket))

    async def close(self) -> None:
        """Close every connection. Safe to call twice; nothing else may be called afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def put(self, photo_id: str, image: bytes, content_type: str) -> None:
        """Store or replace. Raises `InvalidRequest`, `DependencyUnavailable`.

        A cancelled call aborts the upload and waits for the end of its thread, so that nothing is stored afterwards.
        """
        place = self._place(photo_id)
        deadline = self._deadline()
        body = UploadBody(image, deadline)
        upload = self._begun(
            lambda: self._client.put_object(**place, Body=body, ContentType=content_type), deadline
        )
        try:
            await self._answer(upload)
        except asyncio.CancelledError:
            body.cut_off()
            await _ended(upload)
            raise

    async def get(self, photo_id: str, *, max_bytes: int) -> bytes:
        """The bytes. Raises `PhotoNotFound`, `ImageTooLarge`, `InvalidRequest`, `DependencyUnavailable`."""
        place = self._place(photo_id)
        image = await self._in_thread(lambda: self._read(place, max_bytes))
        if image is None:
            raise PhotoNotFound(photo_id)
        return image

    async def exists(self, photo_id: str) -> bool:
        """Whether there is an image under this id."""
        place = self._place(photo_id)
        return await self._in_thread(lambda: self._head(place))

    async def delete(self, photo_id: str) -> None:
        """Remove the image; an unknown id is ignored, as in S3."""
        place = self._place(photo_id)
        await self._in_thread(lambda: self._client.delete_object(**place))

    async def scan_images(self, batch_size: int = 1000) -> AsyncIterator[list[str]]:
        """Every stored `photo_id`, in batches of at most 1000, in the order of the keys."""
        async for names in self._scan(
            "", batch_size, Delimiter="/"
        ):  # a key with a further slash is no photo
            if photo_ids := [name for name in names if is_valid_id(name)]:
                yield photo_ids

    async def scan_names(self, prefix: str, batch_size: int = 1000) -> AsyncIterator[list[str]]:
        """Every key that begins with S3_PREFIX and `prefix`, without S3_PREFIX; also keys that name no photo."""
        async for names in self._scan(prefix, batch_size):
            yield [name for name in names if name and not name.endswith("/")]  # folders of some clients

    async def _scan(self, prefix: str, batch_size: int, **more: str) -> AsyncIterator[list[str]]:
        asked: dict[str, Any] = {
            "Bucket": self._options.bucket,
            "Prefix": self._options.prefix + prefix,
            "MaxKeys": min(batch_size, _LARGEST_LISTING),
            **more,
        }
        go_on = True
        while go_on:
            page = await self._in_thread(lambda: self._client.list_objects_v2(**asked))
            yield [entry["Key"].removeprefix(self._options.prefix) for entry in page.get("Contents", ())]
            asked["ContinuationToken"] = page.get("NextContinuationToken")
            go_on = page.get("IsTruncated", False) and asked["ContinuationToken"] is not None

    async def presigned_urls(self, photo_ids: Sequence[str], *, expires_s: int) -> list[str | None]:
        """A link (signature version 4) to each image, valid for `expires_s` seconds. Made without I/O."""
        return list(
            self._links.sign(
                [self._place(photo_id)["Key"] for photo_id in photo_ids],
                access_key_id=_present(self._options.access_key_id),
                secret_access_key=_present(self._options.secret_access_key),
                expires_s=expires_s,
            )
        )

    @cached_property
    def _links(self) -> LinkSigner:
        public = self._options.public_endpoint_url
        client = _client(replace(self._options, endpoint_url=public), self._keys) if public else self._client
        return LinkSigner(client, bucket=self._options.bucket, region=self._options.region)

    def _place(self, photo_id: str) -> dict[str, Any]:
        """Bucket and key of a photo. Ids are validated again here, so that no other text becomes a key."""
        if not is_valid_id(photo_id):
            raise InvalidRequest("The id cannot name a photo.", {"photo_id": "not a valid id"})
        return {"Bucket": self._options.bucket, "Key": f"{self._options.prefix}{photo_id}"}

    def _read(self, place: dict[str, Any], max_bytes: int) -> bytes | None:
        """The object's bytes, or None without such an object. Never reads more than one chunk above `max_bytes`."""
        deadline = time.monotonic() + self._options.timeout_s
        try:
            answer = self._client.get_object(**place)
        except ClientError as error:
            if is_missing_object(error):
                return None
            raise
        declared = answer.get("ContentLength")
        size = 0
        chunks: list[bytes] = []
        body: Any = answer["Body"]
        with body as stream:  # the connection's stream, which is missing from the type stubs
            if declared is not None and declared > max_bytes:
                raise _too_large(max_bytes)
            # read1 returns the bytes that have arrived; read would block the thread while a server sends them slowly.
            while chunk := stream.read1(_CHUNK_BYTES):
                chunks.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                if time.monotonic() > deadline:
                    raise TimeoutError
        if declared is not None and size != declared:
            raise IncompleteReadError(actual_bytes=size, expected_bytes=declared)
        return b"".join(chunks)

    def _head(self, place: dict[str, Any]) -> bool:
        try:
            self._client.head_object(**place)
        except ClientError as error:
            if is_missing_object(error):
                return False
            raise
        return True

    @property
    def _client(self) -> S3Client:
        """The client with the present keys; threads may share it."""
        keys = (_present(self._options.access_key_id), _present(self._options.secret_access_key))
        with self._making:
            if self._made is None or keys != self._keys:
                self._made, self._keys = _client(self._options, keys), keys
                self._made.meta.events.register("before-send.s3", self._attempts.refuse_late_ones)
                if self._options.headers is not None:
                    self._made.meta.events.register("before-send.s3", self._attempts.add_headers)
            return self._made

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking call for at most `timeout_s`. Raises `DependencyUnavailable` with the reason."""
        return await self._answer(self._begun(call, self._deadline()))

    def _deadline(self) -> float:
        return time.monotonic() + self._options.timeout_s

    def _begun(self, call: Callable[[], T], deadline: float) -> Future[T]:
        headers = None if self._options.headers is None else self._options.headers()

        def bounded() -> T:
            self._attempts.until(deadline, headers)
            return call()

        return self._threads.submit(bounded)

    async def _answer(self, running: Future[T]) -> T:
        try:
            # Not wait_for: until Python 3.12 it swallows a cancellation that comes as the call ends.
            async with asyncio.timeout(self._options.timeout_s):
                return await asyncio.wrap_future(running)
        except TimeoutError:
            failure = f"no answer within {self._options.timeout_s:g} s"
        except (BotoCoreError, ClientError, HTTPError, ResponseParserError, OSError, UnicodeError) as error:
            failure = reason(error, self._options.bucket)
        # The cause is omitted: its text may quote a header with the key in it.
        raise DependencyUnavailable("object_store", failure) from None


async def _ended(running: Future[Any]) -> None:
    """Wait until the thread has ended this call, with or without an error."""
    end = asyncio.wrap_future(running)
    await asyncio.wait([end])
    if not end.cancelled():
        end.exception()


def _present(secret: Secret) -> str:
    return secret if isinstance(secret, str) else secret()


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"The image has more than {max_bytes} bytes.", {"max_bytes": max_bytes})


def _client(options: S3Options, keys: tuple[str, str]) -> S3Client:
    """A client whose pool holds a connection for each thread; `keys`: id and secret."""
    access_key_id, secret_access_key = keys
    if not (access_key_id and secret_access_key):
        raise SettingsError("S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY: set both.")
    silence = options.timeout_s / _ATTEMPTS
    config = Config(
        signature_version="s3v4",
        connect_timeout=silence,
        read_timeout=silence,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=options.threads,
        s3={"addressing_style": options.addressing},
        # Newer boto3 sends checksums with everything; some S3 stores refuse them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return boto3.client(
            "s3",
            endpoint_url=options.endpoint_url,
            region_name=options.region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=config,
        )
    except ValueError as error:
        raise SettingsError("S3_ENDPOINT_URL: not the address of an S3 server.") from error
