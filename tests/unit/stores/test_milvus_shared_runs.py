"""Tests of runs that concurrent callers share."""

from __future__ import annotations

import asyncio

import pytest

from bentos.stores.milvus.shared_runs import SharedRuns


class Work:
    """Records the runs; a run ends when it is told to."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.ends: list[asyncio.Future[None]] = []

    async def __call__(self, items: list[str]) -> None:
        self.runs.append(items)
        end = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        await end


async def begun(shared: SharedRuns[str], *items: str) -> asyncio.Task[None]:
    task = asyncio.create_task(shared.run(list(items)))
    await settled()
    return task


async def settled() -> None:
    """Let everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_callers_that_come_during_a_run_share_the_next_one() -> None:
    work = Work()
    shared = SharedRuns(work, most=10)
    first = await begun(shared, "a")
    others = [await begun(shared, "b"), await begun(shared, "c", "d")]
    assert work.runs == [["a"]]
    work.ends[0].set_result(None)
    await first
    await settled()
    assert work.runs == [["a"], ["b", "c", "d"]]
    assert not any(other.done() for other in others)
    work.ends[1].set_result(None)
    await asyncio.gather(*others)


async def test_callers_of_the_same_moment_share_a_run() -> None:
    work = Work()
    shared = SharedRuns(work, most=10)
    tasks = [asyncio.create_task(shared.run([name])) for name in "abc"]
    await settled()
    assert work.runs == [["a", "b", "c"]]
    work.ends[0].set_result(None)
    await asyncio.gather(*tasks)


async def test_as_many_runs_are_under_way_as_allowed() -> None:
    work = Work()
    shared = SharedRuns(work, most=10, at_once=2)
    tasks = [await begun(shared, name) for name in "abcd"]
    assert work.runs == [["a"], ["b"]]
    work.ends[1].set_result(None)
    await settled()
    assert work.runs == [["a"], ["b"], ["c", "d"]]
    assert [task.done() for task in tasks] == [False, True, False, False]
    for end in work.ends[::2]:
        end.set_result(None)
    await asyncio.gather(*tasks)


async def test_a_run_takes_no_more_than_it_may_but_a_caller_is_never_divided() -> None:
    work = Work()
    shared = SharedRuns(work, most=3)
    tasks = [await begun(shared, *items) for items in ("a", "bc", "de", "fghij", "k")]
    for number in range(5):
        await settled()
        if number < len(work.ends):
            work.ends[number].set_result(None)
    await asyncio.gather(*tasks)
    assert ["".join(run) for run in work.runs] == ["a", "bc", "de", "fghij", "k"]


async def test_an_error_reaches_every_caller_of_its_run_and_no_other() -> None:
    work = Work()
    shared = SharedRuns(work, most=10)
    first, second, third = (
        await begun(shared, "a"),
        await begun(shared, "b"),
        await begun(shared, "c"),
    )
    work.ends[0].set_exception(OSError("down"))
    await settled()
    work.ends[1].set_result(None)
    with pytest.raises(OSError, match="down"):
        await first
    await asyncio.gather(second, third)
    later = [await begun(shared, "d"), await begun(shared, "e")]
    work.ends[2].set_result(None)
    await settled()
    work.ends[3].set_exception(OSError("down again"))
    assert await later[0] is None
    with pytest.raises(OSError, match="down again"):
        await later[1]


async def test_a_caller_that_gives_up_before_its_run_takes_its_items_back() -> None:
    work = Work()
    shared = SharedRuns(work, most=10)
    first, second, third = (
        await begun(shared, "a"),
        await begun(shared, "b"),
        await begun(shared, "c"),
    )
    second.cancel()
    await settled()
    work.ends[0].set_result(None)
    await settled()
    assert work.runs == [["a"], ["c"]]
    work.ends[1].set_result(None)
    await asyncio.gather(first, third)


async def test_a_caller_that_gives_up_during_its_run_does_not_stop_it_for_the_others() -> None:
    work = Work()
    shared = SharedRuns(work, most=10)
    tasks = [asyncio.create_task(shared.run([name])) for name in "ab"]
    await settled()
    tasks[0].cancel()
    await settled()
    assert not tasks[1].done()
    work.ends[0].set_result(None)
    await tasks[1]
    assert tasks[0].cancelled()
