"""Tests the runner's client over real sockets: broken connections, and busy, silent or stopped processes."""

from __future__ import annotations

import asyncio
import logging
import struct
from pathlib import Path

import pytest

from bentos.domain.errors import DependencyUnavailable, InternalError, Overloaded
from bentos.runner.codec import ticket_of
from bentos.runner.transport.frames import PING
from bentos.runner.transport.working import record_beside
from tests.unit.runner.fake_process import ANSWER, BREAKS, NOBODY, client_of, frame, process


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "runner.sock"


async def test_a_call_whose_connection_breaks_is_made_again(shared: Path) -> None:
    answers: list[bytes | None] = [BREAKS, BREAKS, frame(200, ANSWER)]
    async with process(shared, 1, answers), client_of(shared) as client:
        assert await client.detect(b"image") == NOBODY
    assert answers == []


async def test_another_process_takes_the_call_of_one_that_was_killed(shared: Path) -> None:
    async with process(shared, 1, []):
        killed = Path(f"{shared}.1").rename(f"{shared}.0")
    assert killed.is_socket()
    async with process(shared, 2, [frame(200, ANSWER)]), client_of(shared) as client:
        assert await client.detect(b"image") == NOBODY
    assert not killed.exists()


async def test_a_restarted_process_is_found(shared: Path) -> None:
    async with client_of(shared) as client:
        asked = asyncio.create_task(client.detect(b"image"))
        await asyncio.sleep(0.2)
        async with process(shared, 7, [frame(200, ANSWER)]):
            assert await asked == NOBODY


async def test_an_image_goes_to_the_process_with_the_least_to_do(shared: Path) -> None:
    left: list[bytes | None] = [frame(200, ANSWER), frame(200, ANSWER)]
    async with process(shared, 1, []), process(shared, 2, left), client_of(shared, timeout_s=1) as client:
        waiting = [asyncio.create_task(client.detect(b"image")) for _ in range(2)]
        done, stuck = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in done] == [NOBODY]
        assert await client.detect(b"another") == NOBODY
        with pytest.raises(DependencyUnavailable, match="in time"):
            await stuck.pop()


@pytest.mark.parametrize(
    "broken", [[BREAKS] * 9, [frame(200, ANSWER[:5], len(ANSWER)), BREAKS], [frame(500)]]
)
async def test_a_runner_that_gives_no_answer_is_unavailable(shared: Path, broken: list[bytes | None]) -> None:
    async with process(shared, 1, broken), client_of(shared, timeout_s=3) as client:
        with pytest.raises(DependencyUnavailable) as raised:
            await client.detect(b"image")
    assert raised.value.details["dependency"] == "runner"


async def test_a_runner_that_is_not_there_is_unavailable(shared: Path) -> None:
    async with client_of(shared, timeout_s=0.5) as client:
        with pytest.raises(DependencyUnavailable, match="in time"):
            await client.detect(b"image")


async def test_a_runner_with_too_many_images_is_overloaded(shared: Path) -> None:
    async with process(shared, 1, [frame(503)]), client_of(shared) as client:
        with pytest.raises(Overloaded):
            await client.detect(b"image")


async def test_one_image_more_than_the_queue_holds_is_refused_at_once(shared: Path) -> None:
    async with process(shared, 1, []), client_of(shared, queue=1, timeout_s=1) as client:
        waiting = asyncio.create_task(client.detect(b"image"))
        await asyncio.sleep(0.1)
        assert client.is_full
        with pytest.raises(Overloaded):
            await client.detect(b"another")
        with pytest.raises(DependencyUnavailable, match="in time"):
            await waiting


async def test_an_image_counts_until_the_process_has_dropped_it(shared: Path) -> None:
    still_works = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # the request, and then the end: the caller has given up
        await still_works.wait()
        writer.close()

    async with (
        await asyncio.start_unix_server(serve, f"{shared}.1"),
        client_of(shared, queue=1, timeout_s=0.2) as client,
    ):
        with pytest.raises(DependencyUnavailable, match="in time"):
            await client.detect(b"image")
        assert client.is_full
        with pytest.raises(Overloaded):
            await client.detect(b"another")
        still_works.set()
        async with asyncio.timeout(5):
            while client.is_full:
                await asyncio.sleep(0.01)


async def test_an_image_that_two_processes_failed_with_is_refused(
    shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deaths = []

    def dying(number: int):
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readexactly(6)
            kind, length = struct.unpack("<HI", head)
            body = await reader.readexactly(length)
            if kind == PING:
                writer.write(head)
                writer.close()
                return
            record_beside(Path(f"{shared}.{number}")).write_bytes(struct.pack("<Q", ticket_of(body).number))
            deaths.append(ticket_of(body).alone)
            writer.close()

        return serve

    async with (
        await asyncio.start_unix_server(dying(1), f"{shared}.1"),
        await asyncio.start_unix_server(dying(2), f"{shared}.2"),
        client_of(shared) as client,
    ):
        with caplog.at_level(logging.ERROR), pytest.raises(InternalError):
            await client.detect(b"image")
    assert deaths == [False, True]
    assert "2 runner processes failed" in caplog.text


async def test_the_images_of_a_process_that_answers_no_ping_go_to_another(
    shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with process(shared, 1, [], answers_pings=False) as silent, client_of(shared) as client:
        waiting = [asyncio.create_task(client.detect(b"image")) for _ in range(2)]
        while len(silent) < 2:
            await asyncio.sleep(0.01)
        async with process(shared, 2, [frame(200, ANSWER)] * 3):
            assert await asyncio.gather(*waiting) == [NOBODY, NOBODY]
            assert await client.detect(b"the next one") == NOBODY
    assert len(silent) == 2
    assert "does not answer; its 2 images go to another" in caplog.text


async def test_a_slow_image_is_waited_for_while_the_process_answers_pings(shared: Path) -> None:
    async with process(shared, 1, []) as asked, client_of(shared, timeout_s=3) as client:
        with pytest.raises(DependencyUnavailable, match="in time"):
            await client.detect(b"slow")
    assert len(asked) == 1


async def test_a_check_passes_while_a_process_answers_and_fails_otherwise(shared: Path) -> None:
    async with client_of(shared) as client:
        with pytest.raises(DependencyUnavailable, match="no process"):
            await client.check()
        async with process(shared, 1, []):
            await client.check()
        async with process(shared, 1, [], answers_pings=False):
            with pytest.raises(DependencyUnavailable, match="no process"):
                await client.check()
