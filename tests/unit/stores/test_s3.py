"""What is special to the S3 store: links, content types, the sentences of its errors, and outages."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import httpx
import pytest

from bentos.config.settings import SettingsError
from bentos.demo.servers.s3 import SECRET_ACCESS_KEY, S3Server
from bentos.domain.errors import DependencyUnavailable, ImageTooLarge, InvalidRequest
from bentos.stores.s3.store import S3Options, S3Store
from tests.object_store import local_bucket
from tests.tcp_server import tcp_server

LIMIT = 1 << 20
UPLOAD_BYTES = 32 << 20
"""Larger than the buffers between two sockets of one machine."""


@pytest.fixture
def options(bucket: S3Options) -> S3Options:
    """The bucket of the tests, under a prefix of this test."""
    return replace(bucket, prefix=f"{bucket.prefix}{uuid.uuid4()}/")


@asynccontextmanager
async def opened(options: S3Options) -> AsyncIterator[S3Store]:
    store = S3Store(options)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def test_the_content_type_is_kept_and_returned_by_the_link(options: S3Options) -> None:
    async with opened(options) as store:
        await store.put("photo", b"image", "image/webp")
        (url,) = await store.presigned_urls(["photo"], expires_s=60)
    assert url is not None
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, b"image")
    assert answer.headers["content-type"] == "image/webp"


async def test_a_link_carries_the_public_address_and_opens_there(options: S3Options) -> None:
    public = options.endpoint_url.replace("127.0.0.1", "localhost")
    assert public != options.endpoint_url
    async with opened(replace(options, public_endpoint_url=public)) as store:
        await store.put("photo", b"image", "image/png")
        (url,) = await store.presigned_urls(["photo"], expires_s=60)
    assert url is not None
    assert url.startswith(f"{public}/")
    assert httpx.get(url).content == b"image"
    assert httpx.get(url.replace("localhost", "127.0.0.1")).status_code == 403  # the address is signed


async def test_a_link_gives_access_to_one_object_until_it_expires(options: S3Options) -> None:
    async with opened(options) as store:
        for photo_id in ("photo", "other"):
            await store.put(photo_id, b"image", "image/jpeg")
        (url,) = await store.presigned_urls(["photo"], expires_s=2)
    assert url is not None
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    assert str(options.secret_access_key) not in url
    assert httpx.get(url).status_code == 200
    assert httpx.get(url.replace("/photo?", "/other?")).status_code == 403
    assert httpx.get(url.split("?")[0]).status_code == 403
    await asyncio.sleep(3.1)
    assert httpx.get(url).status_code == 403


async def test_no_link_is_made_for_an_invalid_id(options: S3Options) -> None:
    async with opened(options) as store:
        with pytest.raises(InvalidRequest):
            await store.presigned_urls(["photo", "../other-bucket/secret"], expires_s=60)


async def test_a_scan_skips_keys_with_further_slashes_and_invalid_ids(options: S3Options) -> None:
    async with (
        opened(options) as store,
        opened(replace(options, prefix=f"{options.prefix}deeper/")) as deeper,
    ):
        await store.put("photo", b"image", "image/jpeg")
        await deeper.put("photo", b"image", "image/jpeg")
        store._client.put_object(Bucket=options.bucket, Key=f"{options.prefix}a b", Body=b"")
        assert [batch async for batch in store.scan_images()] == [["photo"]]


async def test_a_scan_reads_page_after_page(options: S3Options) -> None:
    async with opened(options) as store:
        for number in range(5):
            await store.put(f"photo-{number}", b"image", "image/jpeg")
        batches = [batch async for batch in store.scan_images(batch_size=2)]
    assert [len(batch) for batch in batches] == [2, 2, 1]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"bucket": f"no-such-bucket-{uuid.uuid4()}"}, "S3_BUCKET"),
        ({"bucket": "not/a bucket"}, "S3_BUCKET"),
        ({"access_key_id": "wrong-key-id"}, "S3_ACCESS_KEY_ID"),
        ({"secret_access_key": "wrong-secret"}, "S3_SECRET_ACCESS_KEY"),
        ({"endpoint_url": "http://127.0.0.1:1"}, "S3_ENDPOINT_URL"),
    ],
)
async def test_the_error_of_open_names_the_wrong_setting(
    options: S3Options, wrong: dict[str, str], named: str
) -> None:
    with pytest.raises(DependencyUnavailable) as caught:
        async with opened(replace(options, **wrong)):
            pass
    assert caught.value.dependency == "object_store"
    assert named in caught.value.message
    assert str(options.secret_access_key) not in caught.value.message


async def test_every_call_says_access_denied_when_the_secret_is_wrong(options: S3Options) -> None:
    store = S3Store(replace(options, secret_access_key="wrong-secret"))
    calls: list[Callable[[], object]] = [
        lambda: store.put("photo", b"image", "image/jpeg"),
        lambda: store.get("photo", max_bytes=LIMIT),
        lambda: store.exists("photo"),
        lambda: store.delete("photo"),
    ]
    for call in calls:
        with pytest.raises(DependencyUnavailable, match="S3_SECRET_ACCESS_KEY"):
            await call()  # type: ignore[misc]
    await store.close()


async def test_a_missing_bucket_is_an_outage_and_not_a_missing_photo(
    options: S3Options,
) -> None:
    store = S3Store(replace(options, bucket=f"no-such-bucket-{uuid.uuid4()}"))
    with pytest.raises(DependencyUnavailable, match="S3_BUCKET"):
        await store.get("photo", max_bytes=LIMIT)
    await store.close()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"endpoint_url": "not an address"}, "S3_ENDPOINT_URL"),
        ({"access_key_id": ""}, "S3_ACCESS_KEY_ID"),
        ({"secret_access_key": ""}, "S3_SECRET_ACCESS_KEY"),
    ],
)
def test_invalid_options_end_the_start(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        S3Store(replace(local_bucket("http://127.0.0.1:1"), **wrong))


def test_the_printed_options_do_not_contain_the_secret() -> None:
    assert SECRET_ACCESS_KEY not in repr(local_bucket("http://127.0.0.1:1"))


async def test_an_endless_image_is_never_read_past_the_limit() -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with answering(endless, then=b"10000\r\n" + b"x" * 65536 + b"\r\n") as (url, sent):
        store = S3Store(replace(local_bucket(url), timeout_s=5))
        with pytest.raises(ImageTooLarge):
            await store.get("photo", max_bytes=100_000)
        await store.close()
    assert sum(sent) < 32 << 20


async def test_an_image_that_ends_too_early_is_an_outage() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf") as (url, _):
        store = S3Store(replace(local_bucket(url), timeout_s=5))
        with pytest.raises(DependencyUnavailable, match="connection broke"):
            await store.get("photo", max_bytes=LIMIT)
        await store.close()


async def test_a_read_from_a_slow_server_ends_in_time_and_frees_its_thread() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", then=b"x", pause_s=0.1) as (url, _):
        store = S3Store(replace(local_bucket(url), timeout_s=1, threads=1))
        begun = time.monotonic()
        with pytest.raises(DependencyUnavailable, match="within 1 s"):
            await store.get("photo", max_bytes=LIMIT)
        await a_thread_comes_free(store)
        assert time.monotonic() - begun < 10
        await store.close()


async def a_thread_comes_free(store: S3Store) -> None:
    nothing = asyncio.get_running_loop().run_in_executor(store._threads, int)
    await asyncio.wait_for(nothing, 10)


async def test_an_upload_sends_nothing_after_its_timeout() -> None:
    with slowly_reading() as (url, received):
        store = S3Store(replace(local_bucket(url), timeout_s=1, threads=1))
        with pytest.raises(DependencyUnavailable, match="within 1 s"):
            await store.put("photo", b"x" * UPLOAD_BYTES, "image/jpeg")
        await a_thread_comes_free(store)
        await received_whole_by_now(received)
        await store.close()


async def test_a_cancelled_upload_has_ended_when_its_caller_continues() -> None:
    with slowly_reading() as (url, received):
        store = S3Store(replace(local_bucket(url), timeout_s=20, threads=1))
        upload = asyncio.create_task(store.put("photo", b"x" * UPLOAD_BYTES, "image/jpeg"))
        while not received:
            await asyncio.sleep(0.01)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        await received_whole_by_now(received)
        await store.close()


async def received_whole_by_now(received: list[int]) -> None:
    """Checks that sending has stopped and the server has not received the whole image, so it can store nothing."""
    while received[-1]:
        await asyncio.sleep(0.05)
    assert sum(received) < UPLOAD_BYTES


async def test_no_attempt_begins_after_the_timeout_of_its_call() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", then=b" ") as (url, sent):
        store = S3Store(replace(local_bucket(url), timeout_s=0.0005))
        with pytest.raises(DependencyUnavailable, match="no answer within"):
            await store.delete("photo")
        await asyncio.sleep(0.5)
        assert sent == []
        await store.close()


async def test_keys_that_are_replaced_are_used_by_the_next_call(options: S3Options) -> None:
    present = {"id": str(options.access_key_id), "secret": "wrong-secret"}
    rotating = replace(
        options, access_key_id=lambda: present["id"], secret_access_key=lambda: present["secret"]
    )
    store = S3Store(rotating)
    with pytest.raises(DependencyUnavailable, match="S3_SECRET_ACCESS_KEY"):
        await store.open()
    present["secret"] = str(options.secret_access_key)
    await store.open()
    await store.put("photo", b"image", "image/jpeg")
    (url,) = await store.presigned_urls(["photo"], expires_s=60)
    assert url is not None
    assert httpx.get(url).content == b"image"
    await store.close()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("own-s3")).running() as server:
        yield server


async def calls_fail_as_unavailable(store: S3Store) -> None:
    begun = time.monotonic()
    results = await asyncio.gather(
        store.open(),
        *(store.put(f"new-{number}", b"image" * 10_000, "image/jpeg") for number in range(4)),
        store.get("photo", max_bytes=LIMIT),
        store.exists("photo"),
        store.delete("photo"),
        anext(store.scan_images()),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [DependencyUnavailable] * len(results)
    assert time.monotonic() - begun < 10, "each call is bounded by its timeout of 2 s"
    assert len(await store.presigned_urls(["photo", "other"], expires_s=60)) == 2


@pytest.mark.system
async def test_a_stopped_server_is_unavailable_until_it_runs_again(
    own_server: S3Server,
) -> None:
    async with opened(replace(local_bucket(own_server.url), timeout_s=2, threads=4)) as store:
        await store.put("photo", b"image", "image/jpeg")
        own_server.stop()
        await calls_fail_as_unavailable(store)
        own_server.start()
        assert await store.get("photo", max_bytes=LIMIT) == b"image"


@pytest.mark.system
async def test_a_frozen_server_is_unavailable_until_it_responds(
    own_server: S3Server,
) -> None:
    async with opened(replace(local_bucket(own_server.url), timeout_s=2, threads=4)) as store:
        await store.put("photo", b"image", "image/jpeg")
        with own_server.frozen():
            await calls_fail_as_unavailable(store)
            await a_thread_comes_free(store)
            await calls_fail_as_unavailable(store)
        await recovered(store)


async def recovered(store: S3Store) -> None:
    for _ in range(50):
        with contextlib.suppress(DependencyUnavailable):
            await store.put("again", b"image", "image/jpeg")
            break
        await asyncio.sleep(0.2)
    assert await store.get("again", max_bytes=LIMIT) == b"image"


@contextmanager
def answering(head: bytes, *, then: bytes = b"", pause_s: float = 0) -> Iterator[tuple[str, list[int]]]:
    """A misbehaving server, which sends `head`, and then `then` repeatedly."""
    sent: list[int] = []

    def serve(connection: socket.socket, done: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(head)
        while then and not done.wait(pause_s):
            connection.sendall(then)
            sent.append(len(then))

    with tcp_server(serve) as url:
        yield url, sent


@contextmanager
def slowly_reading() -> Iterator[tuple[str, list[int]]]:
    """A server that reads slowly and sends no response; 0 in the list marks the end of a connection."""
    received: list[int] = []

    def serve(connection: socket.socket, done: threading.Event) -> None:
        try:
            while not done.wait(0.02):
                part = connection.recv(16384)
                if not part:
                    break
                received.append(len(part))
        finally:
            received.append(0)

    with tcp_server(serve, receive_buffer=65536) as url:
        yield url, received
