"""Tests of waiting for stores: what is said, what is raised, and how a wait is stopped."""

from __future__ import annotations

import asyncio

import pytest

from bentos.domain.errors import DependencyUnavailable, InvalidImageFormat
from bentos.jobs import patience as waiting
from bentos.jobs.patience import ItemRefused, Patience, Stopped


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_FIRST_RETRY_S", 0.001)


class Store:
    """Does not answer the first calls."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    async def call(self) -> str:
        if self.left:
            self.left -= 1
            raise DependencyUnavailable("milvus", "no answer")
        return "answer"


async def test_an_outage_is_said_once_when_it_begins_and_once_when_it_ends() -> None:
    said: list[str] = []
    patience, store = Patience(said.append), Store(6)
    assert await asyncio.gather(*[patience.call(store.call) for _ in range(3)]) == ["answer"] * 3
    assert said == ["waiting: milvus is not available: no answer.", "going on: milvus answers again"]


async def test_other_errors_are_raised_at_once() -> None:
    async def refused() -> None:
        raise InvalidImageFormat("no image")

    with pytest.raises(InvalidImageFormat):
        await Patience(print).call(refused)


async def test_a_wait_ends_when_the_work_is_to_stop() -> None:
    patience = Patience(lambda _: None)
    waits = asyncio.create_task(patience.call(Store(10**9).call))
    await asyncio.sleep(0.01)
    patience.stopped.set()
    with pytest.raises(Stopped):
        await waits


async def test_an_item_that_alone_is_refused_is_given_up_when_others_have_succeeded_meanwhile() -> None:
    patience, store = Patience(lambda _: None), Store(10**9)
    refused = asyncio.create_task(patience.call_for_item(store.call))
    while store.left > 10**9 - 3:
        await asyncio.sleep(0)
    for _ in range(5):
        assert await patience.call_for_item(Store(0).call) == "answer"
    with pytest.raises(ItemRefused, match="Other photos were worked on meanwhile"):
        await refused


async def test_in_an_outage_no_item_is_given_up_also_when_those_in_progress_succeed() -> None:
    patience, away = Patience(lambda _: None), Store(9)
    gate = asyncio.Event()

    async def in_progress() -> str:
        await gate.wait()
        return "answer"

    begun = [asyncio.create_task(patience.call_for_item(in_progress)) for _ in range(8)]
    await asyncio.sleep(0)
    waits = asyncio.create_task(patience.call_for_item(away.call))
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*begun, waits) == ["answer"] * 9
    assert away.left == 0
