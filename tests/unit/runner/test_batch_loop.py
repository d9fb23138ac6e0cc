"""Tests of the loop that runs the networks over all images in progress, with networks that only count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.domain.errors import FaceSearchError, InternalError, InvalidImageFormat
from bentos.domain.faces import FacesInImage
from bentos.pipeline.stage_clock import StageClock
from bentos.pipeline.steps import Decode, Embed, Step, Work, decoded
from bentos.pipeline.together import Task
from bentos.pipeline.wanted import Dropped
from bentos.runner import batch_loop as module
from bentos.runner.batch_loop import MOST_ROUNDS, BatchLoop, InProgress
from tests.unit.pipeline.shown import shown

PATIENCE_S = 30
BAD = "no network takes this"
PIXELS = shown(np.zeros((10, 10, 3), np.uint8))


class Counting:
    """Networks whose reply to an item is the item. They fail for BAD, and when `broken`, for everything."""

    def __init__(self) -> None:
        self.runs: list[list[Any]] = []
        self.broken = False
        self.batch = 1

    def warm_up(self) -> None:
        """Nothing to do."""

    def most(self, _kind: type[Step]) -> int:
        return 64

    def run(self, kind: type[Step], items: Sequence[Any]) -> Sequence[Any]:
        assert kind is Embed
        if self.broken or any(item is BAD for item in items):
            raise RuntimeError("CUDA error")
        self.runs.append([item for item in items if isinstance(item, str)])
        return items


def _ready() -> None:
    """Decodes at once."""


def _work(name: str, rounds: int = 1, decode: Callable[[], Any] = _ready) -> Work[FacesInImage]:
    """Needs one run of a network after the other; the width of the result is their number."""
    yield from decoded(decode)
    for _ in range(rounds):
        replies = yield Embed(PIXELS, [name])
        assert replies == [name]
    return FacesInImage(rounds, 1, ())


class Loop:
    """A loop over `Counting`; `ended` is set when it would end its process."""

    def __init__(self, threads: int = 2, gather_s: float = 0) -> None:
        self.networks, self.ended = Counting(), Event()
        self._loop = BatchLoop(
            self.networks, StageClock(), threads=threads, gather_s=gather_s, end=self.ended.set
        )

    def begin(self, work: Work[FacesInImage], is_wanted: Callable[[], bool] = lambda: True) -> InProgress:
        image = InProgress(Task(work, StageClock(), is_wanted))
        self._loop.prepare(image)
        return image

    def give_up(self, image: InProgress) -> None:
        self._loop.give_up(image, InternalError())

    @property
    def held(self) -> tuple[int, int]:
        """Images that are expected to enter, and pixels in memory."""
        return self._loop._expected, self._loop._pixels

    def enter(self, *images: InProgress) -> None:
        wait([image.prepared for image in images], PATIENCE_S)
        self._loop.enter(images)


def _result(image: InProgress) -> FacesInImage | FaceSearchError:
    return image.answer.result(PATIENCE_S)


def _rounds_of(*images: InProgress) -> list[int]:
    return [found.width for found in map(_result, images) if isinstance(found, FacesInImage)]


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_the_images_of_a_batch_share_each_run_of_a_network(loop: Loop) -> None:
    images = [loop.begin(_work(str(number), rounds=3)) for number in range(20)]
    loop.enter(*images)
    assert _rounds_of(*images) == [3] * 20
    assert [len(run) for run in loop.networks.runs] == [20, 20, 20]


def test_an_image_that_is_still_being_decoded_holds_up_no_other(loop: Loop) -> None:
    decoding = Event()
    slow = loop.begin(_work("slow", decode=partial(decoding.wait, PATIENCE_S)))
    others = [loop.begin(_work(str(number))) for number in range(5)]
    loop.enter(*others)
    assert _rounds_of(*others) == [1] * 5
    assert not slow.prepared.done()
    decoding.set()
    loop.enter(slow)
    assert _rounds_of(slow) == [1]


def test_an_image_with_many_rounds_leaves_its_batch_and_those_that_come_later_overtake_it(loop: Loop) -> None:
    end = Event()
    crowd = loop.begin(_work("crowd", rounds=10**9), lambda: not end.is_set())
    selfie = loop.begin(_work("selfie"))
    loop.enter(crowd, selfie)
    wait([crowd.left, selfie.left], PATIENCE_S)
    assert selfie.answer.done()
    later = loop.begin(_work("later", rounds=MOST_ROUNDS))
    loop.enter(later)
    assert _rounds_of(later) == [MOST_ROUNDS]
    assert not crowd.answer.done()
    end.set()
    assert isinstance(_result(crowd), Dropped)


def test_an_image_whose_callers_have_gone_costs_no_further_run(loop: Loop) -> None:
    gone = loop.begin(_work("gone", rounds=100), lambda: len(loop.networks.runs) < 2)
    stays = loop.begin(_work("stays", rounds=5))
    loop.enter(gone, stays)
    assert _rounds_of(stays) == [5]
    assert isinstance(_result(gone), Dropped)
    assert sum("gone" in run for run in loop.networks.runs) == 2


@pytest.mark.parametrize(
    ("error", "expected", "logged"),
    [(InvalidImageFormat("cut off"), InvalidImageFormat, False), (MemoryError(), InternalError, True)],
)
def test_an_image_that_cannot_be_decoded_fails_alone(
    loop: Loop, caplog: pytest.LogCaptureFixture, error: Exception, expected: type[Exception], logged: bool
) -> None:
    def fail() -> None:
        raise error

    images = [loop.begin(_work("good")), loop.begin(_work("bad", decode=fail)), loop.begin(_work("good"))]
    loop.enter(*images)
    assert _rounds_of(images[0], images[2]) == [1, 1]
    assert isinstance(_result(images[1]), expected)
    assert ("the decoder failed for an image" in caplog.text) == logged


def test_an_image_for_which_the_networks_fail_fails_alone_and_says_so(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    images = [loop.begin(_work(name, rounds=2)) for name in ("first", BAD, "last")]
    loop.enter(*images)
    assert _rounds_of(images[0], images[2]) == [2, 2]
    assert isinstance(_result(images[1]), InternalError)
    assert "the networks failed for one image" in caplog.text
    assert "CUDA error" in caplog.text
    assert not loop.ended.is_set()
    again = loop.begin(_work("again"))
    loop.enter(again)
    assert _rounds_of(again) == [1]


def test_the_process_ends_when_the_networks_fail_for_a_blank_image_too(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.networks.broken = True
    image = loop.begin(_work("any"))
    loop.enter(image)
    assert loop.ended.wait(PATIENCE_S)
    assert isinstance(_result(image), InternalError)
    assert "the networks fail for a blank image too; this process ends" in caplog.text


def test_images_beyond_the_memory_that_may_be_held_are_decoded_when_others_have_ended(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_PIXELS", PIXELS.pixels.size // 3)
    images = [loop.begin(_work(str(number))) for number in range(20)]
    done: list[bool] = []
    for image in images:
        image.prepared.add_done_callback(lambda _, image=image: loop.enter(image))  # type: ignore[misc]
        image.answer.add_done_callback(lambda _: done.append(True))
    assert _rounds_of(*images) == [1] * 20
    assert len(done) == 20


def test_an_image_that_needs_another_decoding_leaves_its_batch_and_goes_on_after_it(loop: Loop) -> None:
    decoding = Event()

    def twice() -> Work[FacesInImage]:
        yield from _work("first look")
        yield Decode(PIXELS, [partial(decoding.wait, PATIENCE_S)])
        return (yield from _work("second look", rounds=7))

    sharper, other = loop.begin(twice()), loop.begin(_work("other"))
    loop.enter(sharper, other)
    wait([sharper.left, other.left], PATIENCE_S)
    assert not sharper.answer.done()
    assert _rounds_of(other) == [1]
    decoding.set()
    assert _rounds_of(sharper) == [7]


def test_the_first_image_waits_for_those_that_are_being_decoded() -> None:
    loop = Loop(gather_s=PATIENCE_S)
    decoding = Event()
    first = loop.begin(_work("first"))
    others = [
        loop.begin(_work(str(number), decode=partial(decoding.wait, PATIENCE_S))) for number in range(2)
    ]
    loop.enter(first)
    decoding.set()
    loop.enter(*others)
    assert _rounds_of(first, *others) == [1, 1, 1]
    assert loop.networks.runs == [["first", "0", "1"]]


def test_the_first_image_does_not_wait_longer_than_it_should() -> None:
    loop = Loop(gather_s=0.01)
    decoding = Event()
    first, slow = (
        loop.begin(_work("first")),
        loop.begin(_work("slow", decode=partial(decoding.wait, PATIENCE_S))),
    )
    loop.enter(first)
    assert _rounds_of(first) == [1]
    decoding.set()
    loop.enter(slow)
    assert loop.networks.runs == [["first"], ["slow"]] if _rounds_of(slow) else False


def test_an_image_waits_for_no_other_when_none_is_being_decoded() -> None:
    loop = Loop(gather_s=10 * PATIENCE_S)
    failed = loop.begin(_work("failed", decode=partial(_fail, InvalidImageFormat("cut off"))))
    wait([failed.prepared], PATIENCE_S)
    loop.give_up(failed)
    alone = loop.begin(_work("alone"))
    loop.enter(alone)
    assert _rounds_of(alone) == [1]


def _fail(error: Exception) -> None:
    raise error


def _fails_between_two_runs() -> Work[FacesInImage]:
    yield from _work("fails")
    raise InvalidImageFormat("only seen now")


def _decoded_twice(again: Callable[[], Any]) -> Work[FacesInImage]:
    yield from _work("first look")
    [made] = yield Decode(PIXELS, [again])
    if isinstance(made, FaceSearchError):
        raise made
    return (yield from _work("second look"))


KINDS: dict[str, Callable[[], Work[FacesInImage]]] = {
    "good": lambda: _work("good", rounds=3),
    "crowd": lambda: _work("crowd", rounds=3 * MOST_ROUNDS),
    "cut off": lambda: _work("cut off", decode=partial(_fail, InvalidImageFormat("cut off"))),
    "too large for the memory": lambda: _work("large", decode=partial(_fail, MemoryError())),
    "the networks fail": lambda: _work(BAD, rounds=2),
    "the work fails": _fails_between_two_runs,
    "decoded twice": lambda: _decoded_twice(_ready),
    "cannot be decoded again": lambda: _decoded_twice(partial(_fail, InvalidImageFormat("cut off"))),
    "no memory to decode again": lambda: _decoded_twice(partial(_fail, MemoryError())),
}


@given(
    st.lists(st.tuples(st.sampled_from(list(KINDS)), st.booleans(), st.booleans()), min_size=1, max_size=60)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_to_images_each_is_answered_and_none_is_expected_or_held_in_the_end(
    monkeypatch: pytest.MonkeyPatch, images: list[tuple[str, bool, bool]]
) -> None:
    """Some are given up, as soon as they are decoded or before, and some callers go while the networks run."""
    monkeypatch.setattr(module, "_MOST_PIXELS", 3 * PIXELS.pixels.size // 3)
    monkeypatch.setattr(module, "_MOST_OF_EACH", 1)
    loop = Loop(gather_s=0.002)
    begun = []
    for kind, is_given_up, stays in images:
        gone = Event()
        image = loop.begin(KINDS[kind](), lambda gone=gone: not gone.is_set())  # type: ignore[misc]
        act = loop.give_up if is_given_up else loop.enter
        image.prepared.add_done_callback(lambda _, act=act, image=image: act(image))  # type: ignore[misc]
        if not stays:
            image.prepared.add_done_callback(lambda _, gone=gone: gone.set())  # type: ignore[misc]
        begun.append(image)
    for (kind, is_given_up, stays), image in zip(images, begun, strict=True):
        if kind in {"good", "crowd", "decoded twice"} and stays and not is_given_up:
            assert isinstance(_result(image), FacesInImage), kind
        else:
            assert isinstance(_result(image), FaceSearchError | FacesInImage), kind
        assert image.left.done()
    assert loop.held == (0, 0)
    assert not loop.ended.is_set()


async def test_a_caller_that_is_cancelled_takes_nothing_from_the_others(loop: Loop) -> None:
    decoding = Event()
    gone = loop.begin(_work("gone", decode=partial(decoding.wait, PATIENCE_S)))
    for future in (gone.prepared, gone.left, gone.answer):
        asyncio.wrap_future(future).cancel()
    await asyncio.sleep(0)
    decoding.set()
    stays = loop.begin(_work("stays"))
    loop.enter(gone, stays)
    assert _rounds_of(gone, stays) == [1, 1]
    assert loop.held == (0, 0)
