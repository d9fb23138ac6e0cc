"""Images in an S3 bucket: `ImageStore` over boto3, whose blocking calls run in threads of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
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

# It logs what it cannot parse of an answer, which a server may have copied from our request; we say what failed.
logging.getLogger("urllib3.connectionpool").setLevel(logging.CRITICAL)

T = TypeVar("T")
Secret = str | Callable[[], str]
"""A secret, or what gives the present one."""

_ATTEMPTS = 2
_CHUNK_BYTES = 256 * 1024
_LARGEST_LISTING = 1000


@dataclass(frozen=True, slots=True)
class S3Options:
    """Where the bucket is and how long it may take; the fields are those of the settings `S3_*`.

    When the keys change, calls that begin afterwards use the new ones.
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


class S3Store:
    """`ImageStore` over one bucket: the object `{prefix}{photo_id}` is the image, with its content type.

    No call takes longer than `timeout_s`, whatever the server does, and nothing is sent later than that: what a silent
    server holds is a thread, for half of `timeout_s` more.
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
        """See that the bucket is there and answers to the keys. Raises `DependencyUnavailable`."""
        await self.check()

    async def check(self) -> None:
        """See that the bucket answers to the keys. Raises `DependencyUnavailable`."""
        await self._in_thread(lambda: self._client.head_bucket(Bucket=self._options.bucket))

    async def close(self) -> None:
        """Let go of every connection. Safe to call twice; nothing else may be called afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def put(self, photo_id: str, image: bytes, content_type: str) -> None:
        """Store or replace. Raises `InvalidRequest`, `DependencyUnavailable`.

        When it is cancelled, it cuts the upload off and waits for the end of its thread: nothing is stored afterwards.
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
        """Remove; an unknown id is nothing to remove, as S3 itself has it."""
        place = self._place(photo_id)
        await self._in_thread(lambda: self._client.delete_object(**place))

    async def scan_images(self, batch_size: int = 1000) -> AsyncIterator[list[str]]:
        """Every stored `photo_id`, in batches of at most 1000, in the order of the keys."""
        asked: dict[str, Any] = {
            "Bucket": self._options.bucket,
            "Prefix": self._options.prefix,
            "Delimiter": "/",  # what lies deeper is no photo of this prefix
            "MaxKeys": min(batch_size, _LARGEST_LISTING),
        }
        more = True
        while more:
            page = await self._in_thread(lambda: self._client.list_objects_v2(**asked))
            names = [entry["Key"].removeprefix(self._options.prefix) for entry in page.get("Contents", ())]
            if photo_ids := [name for name in names if is_valid_id(name)]:
                yield photo_ids
            asked["ContinuationToken"] = page.get("NextContinuationToken")
            more = page.get("IsTruncated", False) and asked["ContinuationToken"] is not None

    async def presigned_urls(self, photo_ids: Sequence[str], *, expires_s: int) -> list[str | None]:
        """A link (signature version 4) to each image that opens it for `expires_s` seconds. Made without I/O."""
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
        return LinkSigner(self._client, bucket=self._options.bucket, region=self._options.region)

    def _place(self, photo_id: str) -> dict[str, Any]:
        """Bucket and key of a photo. Ids are validated at the edge; here nothing else may become a key."""
        if not is_valid_id(photo_id):
            raise InvalidRequest("The id cannot name a photo.", {"photo_id": "not a valid id"})
        return {"Bucket": self._options.bucket, "Key": f"{self._options.prefix}{photo_id}"}

    def _read(self, place: dict[str, Any], max_bytes: int) -> bytes | None:
        """The object, or None; what is too large stays unread, whatever length the server declares."""
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
        with body as stream:  # the connection's own stream, which the type stubs do not know
            if declared is not None and declared > max_bytes:
                raise _too_large(max_bytes)
            # read1 returns what has come; read would wait for a server that trickles, and hold the thread.
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
        """The client with the present keys; it may be shared by threads."""
        keys = (_present(self._options.access_key_id), _present(self._options.secret_access_key))
        with self._making:
            if self._made is None or keys != self._keys:
                self._made, self._keys = _client(self._options, keys), keys
                self._made.meta.events.register("before-send.s3", self._attempts.refuse_late_ones)
            return self._made

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking call, for `timeout_s` at most, and say in one sentence why it failed."""
        return await self._answer(self._begun(call, self._deadline()))

    def _deadline(self) -> float:
        return time.monotonic() + self._options.timeout_s

    def _begun(self, call: Callable[[], T], deadline: float) -> Future[T]:
        def bounded() -> T:
            self._attempts.until(deadline)
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
        # Without the cause: its text may quote a header with the key in it.
        raise DependencyUnavailable("object_store", failure) from None


async def _ended(running: Future[Any]) -> None:
    """Wait until the thread has ended this call, however it ends."""
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
