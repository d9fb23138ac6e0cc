"""Tests that `/readyz` asks the runner, but not for every probe."""

from __future__ import annotations

import asyncio

from bentos.domain.errors import DependencyUnavailable
from bentos.serving.runner_check import RunnerCheck


class Runner:
    """Counts how often it is asked; `down` makes it fail."""

    asked, down = 0, False

    async def check(self) -> None:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.down:
            raise DependencyUnavailable("runner", "a text that is not for everyone")


async def test_many_probes_share_one_check_and_its_answer_is_kept_for_a_while() -> None:
    runner = Runner()
    check = RunnerCheck(runner.check, kept_s=60)
    assert await asyncio.gather(*(check.not_ready() for _ in range(50))) == [None] * 50
    assert await check.not_ready() is None
    assert runner.asked == 1


async def test_an_expired_answer_is_renewed_and_the_reason_is_in_fixed_words() -> None:
    runner = Runner()
    check = RunnerCheck(runner.check, kept_s=0)
    assert await check.not_ready() is None
    runner.down = True
    assert await check.not_ready() == "runner: not available"
    runner.down = False
    assert await check.not_ready() is None
    assert runner.asked == 3


async def test_a_cancelled_probe_does_not_end_the_shared_check() -> None:
    runner = Runner()
    check = RunnerCheck(runner.check, kept_s=60)
    hurried, patient = asyncio.create_task(check.not_ready()), asyncio.create_task(check.not_ready())
    await asyncio.sleep(0)
    hurried.cancel()
    assert await patient is None
    assert runner.asked == 1
