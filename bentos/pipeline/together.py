"""Works on several images at once, so that one run of a network can process items of several images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from bentos.domain.errors import FaceSearchError
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Step, Work
from bentos.pipeline.wanted import Dropped, IsWanted

_MOST_PIXELS = 32_000_000
"""When the waiting images have more pixels than this, they are finished before another is decoded."""

_Result = TypeVar("_Result")


class Networks(Protocol):
    """Runs the networks of a face pack."""

    def most(self, kind: type[Step], /) -> int:
        """Most items of one run; between two runs the callers are asked whether they still wait."""

    def run(self, kind: type[Step], items: Sequence[Any], /) -> Sequence[Any]:
        """The replies to items of steps of one kind, in their order."""


class Task(Generic[_Result]):
    """A work in progress: the step that it waits for, or its result.

    `result`: None until the work is done; `Dropped` when no caller waits for it any more.
    """

    def __init__(self, work: Work[_Result], clock: StageClock, is_wanted: Callable[[], bool]) -> None:
        self.step: Step | None = None
        self.result: _Result | FaceSearchError | None = None
        self.is_wanted = is_wanted
        self._work, self._clock = work, clock

    def start(self) -> None:
        """Run the work until it waits for its first step."""
        self._resume(partial(next, self._work))

    def reply(self, replies: Sequence[Any]) -> None:
        """Run the work until it waits for its next step; fewer replies than items end it as `Dropped`."""
        is_complete = self.step is not None and len(replies) == len(self.step.items)
        self._resume(
            partial(self._work.send, replies) if is_complete else partial(self._work.throw, Dropped())
        )

    @property
    def pixels(self) -> int:
        """The number of pixels of the image that it holds."""
        image = self.step.image if self.step else None
        return image.pixels.size // 3 if image else 0

    def _resume(self, go_on: Callable[[], Step]) -> None:
        self.step = None
        try:
            with self._clock.timed("detect"):  # decoding and alignment are subtracted
                self.step = go_on()
        except StopIteration as done:
            self.result = done.value
        except FaceSearchError as error:
            self.result = error


def advance(tasks: Iterable[Task[Any]], networks: Networks, clock: StageClock) -> None:
    """One round: run the steps that the tasks wait for, those of one kind together, and resume the tasks."""
    waiting = [(task, task.step) for task in tasks if task.step is not None]
    replies: dict[int, list[Any]] = {number: [] for number in range(len(waiting))}
    for kind in dict.fromkeys(type(step) for _, step in waiting):
        asked = [
            (number, item)
            for number, (_, step) in enumerate(waiting)
            if type(step) is kind
            for item in step.items
        ]
        most = networks.most(kind)
        for first in range(0, len(asked), most):
            wanted = [each for each in asked[first : first + most] if waiting[each[0]][0].is_wanted()]
            if not wanted:
                continue
            with clock.timed(kind.stage):
                made = networks.run(kind, [item for _, item in wanted])
            for (number, _), reply in zip(wanted, made, strict=True):
                replies[number].append(reply)
    for number, (task, _) in enumerate(waiting):
        task.reply(replies[number])


def work_together(
    works: Iterable[Work[_Result]], networks: Networks, clock: StageClock, is_wanted: IsWanted
) -> list[_Result | FaceSearchError]:
    """The result of each work in order, or the error that it raised; `Dropped` when no caller waits for it any more."""
    tasks: list[Task[_Result]] = []
    for number, work in enumerate(works):
        task = Task(work, clock, partial(is_wanted, number))
        tasks.append(task)
        task.start()
        if sum(each.pixels for each in tasks) > _MOST_PIXELS:
            _finish(tasks, networks, clock)
    _finish(tasks, networks, clock)
    return [task.result for task in tasks if task.result is not None]


def _finish(tasks: Sequence[Task[Any]], networks: Networks, clock: StageClock) -> None:
    while any(task.step is not None for task in tasks):
        advance(tasks, networks, clock)
