"""Works on several images at once, so that one run of a network can process items of several images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from bentos.domain.errors import FaceSearchError
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Decode, Step, Work
from bentos.pipeline.wanted import Dropped, IsWanted

_MOST_PIXELS = 32_000_000
"""When the waiting images have more pixels than this, they are finished before another is decoded."""

_Result = TypeVar("_Result")


class Networks(Protocol):
    """Runs the networks of a face pack. `batch`: how many images the last run of a detector was over."""

    @property
    def batch(self) -> int:
        """See above."""

    def warm_up(self) -> None:
        """Run each network once, in the thread that runs them later."""

    def most(self, kind: type[Step], /) -> int:
        """Most items of one run; between two runs the callers are asked whether they still wait."""

    def run(self, kind: type[Step], items: Sequence[Any], /) -> Sequence[Any]:
        """The replies to items of steps of one kind, in their order."""


class Task(Generic[_Result]):
    """A work in progress: the step that it waits for, or its result. For one thread at a time.

    `result`: None until the work is done; `Dropped` when no caller waits for it any more.
    """

    def __init__(self, work: Work[_Result], clock: StageClock, is_wanted: Callable[[], bool]) -> None:
        self.step: Step | None = None
        self.replies: list[Any] = []
        self.result: _Result | FaceSearchError | None = None
        self.is_wanted, self.is_unwanted = is_wanted, False
        self._work, self._clock = work, clock

    def start(self) -> None:
        """Run the work until it waits for its first step."""
        self._resume(partial(next, self._work))

    def decode(self) -> None:
        """While the work waits for a decoded image, decode it and run the work until it waits for its next step."""
        while isinstance(self.step, Decode):
            [decode] = self.step.items
            try:
                made = decode()
            except FaceSearchError as error:
                made = error
            self._resume(partial(self._work.send, [made]))

    def take(self, most: int) -> Sequence[Any]:
        """The next items of the step without a reply, at most this many."""
        if self.step is None or isinstance(self.step, Decode):
            return ()
        return self.step.items[len(self.replies) : len(self.replies) + most]

    def go_on(self) -> None:
        """Run the work until it waits for its next step, if all replies are there or it is not wanted any more."""
        if self.step is None or isinstance(self.step, Decode):
            return
        if self.is_unwanted:
            self._resume(partial(self._work.throw, Dropped()))
        elif len(self.replies) == len(self.step.items):
            self._resume(partial(self._work.send, self.replies))

    @property
    def pixels(self) -> int:
        """The number of pixels of the image that it holds."""
        image = self.step.image if self.step else None
        return image.pixels.size // 3 if image else 0

    def _resume(self, go_on: Callable[[], Step]) -> None:
        self.step, self.replies = None, []
        try:
            with self._clock.timed("detect"):  # decoding and alignment are subtracted
                self.step = go_on()
        except StopIteration as done:
            self.result = done.value
        except FaceSearchError as error:
            self.result = error


def advance(
    tasks: Iterable[Task[Any]], networks: Networks, clock: StageClock, *, most_of_each: int = sys.maxsize
) -> None:
    """One round: run the steps that the tasks wait for, those of one kind together, and resume the tasks.

    `most_of_each`: how many items of one task a round may run; a task with more waits for further rounds.
    """
    waiting = [task for task in tasks if task.step is not None]
    for kind in dict.fromkeys(type(task.step) for task in waiting if task.step is not None):
        asked = [
            (task, item) for task in waiting if type(task.step) is kind for item in task.take(most_of_each)
        ]
        most = networks.most(kind)
        for first in range(0, len(asked), most):
            wanted = _wanted(asked[first : first + most])
            if not wanted:
                continue
            with clock.timed(kind.stage):
                made = networks.run(kind, [item for _, item in wanted])
            for (task, _), reply in zip(wanted, made, strict=True):
                task.replies.append(reply)
    for task in waiting:
        task.go_on()


def work_together(
    works: Iterable[Work[_Result]], networks: Networks, clock: StageClock, is_wanted: IsWanted
) -> list[_Result | FaceSearchError]:
    """The result of each work in order, or the error that it raised; `Dropped` when no caller waits for it any more."""
    tasks: list[Task[_Result]] = []
    for number, work in enumerate(works):
        task = Task(work, clock, partial(is_wanted, number))
        tasks.append(task)
        task.start()
        task.decode()
        if sum(each.pixels for each in tasks) > _MOST_PIXELS:
            _finish(tasks, networks, clock)
    _finish(tasks, networks, clock)
    return [task.result for task in tasks if task.result is not None]


def _wanted(asked: Sequence[tuple[Task[Any], Any]]) -> list[tuple[Task[Any], Any]]:
    """Those whose callers still wait."""
    for task in dict.fromkeys(task for task, _ in asked):
        task.is_unwanted = task.is_unwanted or not task.is_wanted()
    return [(task, item) for task, item in asked if not task.is_unwanted]


def _finish(tasks: Sequence[Task[Any]], networks: Networks, clock: StageClock) -> None:
    while any(task.step is not None for task in tasks):
        advance(tasks, networks, clock)
        for task in tasks:
            task.decode()
