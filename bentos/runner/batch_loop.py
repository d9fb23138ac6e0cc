"""Runs the networks over all images in progress, round after round, while other threads decode the next images.

An image waits for the others of a round only: an image with many rounds, or one that is decoded again, does not hold up
those that came with it or after it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread

import numpy as np

from bentos.domain.errors import FaceSearchError, InternalError
from bentos.domain.faces import FacesInImage
from bentos.pipeline.stage_clock import STAGES, StageClock
from bentos.pipeline.steps import Decode, Detect, Embed
from bentos.pipeline.together import Networks, Task, advance

logger = logging.getLogger(__name__)

Answer = FacesInImage | FaceSearchError

MOST_ROUNDS = 8
"""After this number of rounds an image leaves its batch: an upright face takes four, a crowd of 1,000 a hundred."""

_MOST_OF_EACH = 64
"""Most items of one image in a round."""

_GATHERED = 8
"""A batch of so many images waits for no other: a larger one is hardly faster per image."""

_CROP = (112, 112, 3)

_MOST_PIXELS = 64_000_000
"""While the decoded images have more pixels than this, no other one is decoded."""


class InProgress:
    """One image. `prepared`: done when it is decoded, or failed. `left`: done when its batch need not wait for it any
    more. `answer`: its result. `began`: when it was decoded first, on the machine's monotonic clock. `seconds`: by
    stage, its share of the time of all images that ended with it. `batch`: most images that a detector ran over
    together, this one among them.
    """

    def __init__(self, task: Task[FacesInImage]) -> None:
        self.task = task
        self.prepared: Future[None] = Future()
        self.left: Future[None] = Future()
        self.answer: Future[Answer] = Future()
        self.began = time.monotonic()
        for future in (self.prepared, self.left, self.answer):
            future.set_running_or_notify_cancel()  # else a caller that is cancelled would cancel what others wait for
        self.seconds: Mapping[str, float] = dict.fromkeys(STAGES, 0.0)
        self.batch = 1
        self.has_entered = False
        self.rounds = 0
        self.pixels = 0

    def leave(self) -> None:
        """Let its batch end without it."""
        if not self.left.done():
            self.left.set_result(None)


def end_process() -> None:
    """End this process at once. Its callers ask another one, and a new one takes its place."""
    os._exit(1)


class BatchLoop:
    """One thread for the networks and `threads` more that decode. Every method may be called from any thread.

    `gather_s`: how long the first image of a batch waits for images that are being decoded.
    An unexpected error fails the image that causes it. `end`: called when the networks fail for a blank image too, as
    after a fault of a GPU, from which no process recovers.
    """

    def __init__(
        self,
        networks: Networks,
        clock: StageClock,
        *,
        threads: int,
        gather_s: float = 0.0,
        end: Callable[[], None] = end_process,
    ) -> None:
        self._gather_s, self._expected = gather_s, 0
        self._networks, self._clock, self._end = networks, clock, end
        self._entered: SimpleQueue[Sequence[InProgress]] = SimpleQueue()
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        # Images that hold memory already: they must not wait behind images that wait for memory.
        self._second_decoders = ThreadPoolExecutor(max(1, threads // 2), thread_name_prefix="decode-again")
        self._pixels = 0
        self._freed = Condition()
        self._warm = Event()
        Thread(target=self._run, name="networks", daemon=True).start()

    def wait_until_warm(self) -> None:
        """Return when the networks have run once in the thread that runs them."""
        self._warm.wait()

    def prepare(self, image: InProgress) -> None:
        """Decode an image. `enter` or `give_up` has to follow."""
        with self._freed:
            self._expected += 1
        self._decoders.submit(self._prepare, image)

    def enter(self, images: Sequence[InProgress]) -> None:
        """Run the networks over these images, which are prepared, together with those in progress."""
        for image in images:
            self._no_longer_expected(image)
        waiting = [image for image in images if not image.answer.done()]
        if waiting:
            self._entered.put(waiting)

    def give_up(self, image: InProgress, error: FaceSearchError) -> None:
        """End an image that has not entered, with an error unless it has failed already."""
        self._no_longer_expected(image)
        if not image.answer.done():
            image.task.result = error
            self._finish(image)

    def _no_longer_expected(self, image: InProgress) -> None:
        image.has_entered = True
        with self._freed:
            self._expected -= 1

    def _prepare(self, image: InProgress) -> None:
        with self._freed:
            self._freed.wait_for(lambda: self._pixels <= _MOST_PIXELS)
        image.began = time.monotonic()
        image.task.start()
        _decode(image)
        image.pixels = image.task.pixels
        with self._freed:
            self._pixels += image.pixels
        if image.task.result is not None:
            self._finish(image)
        image.prepared.set_result(None)

    def _decode_again(self, image: InProgress) -> None:
        _decode(image)
        if image.task.result is not None:
            self._finish(image)
        else:
            self._entered.put([image])

    def _run(self) -> None:
        try:
            self._networks.warm_up()
        except Exception:
            logger.exception("the networks do not run; this process ends")
            self._end()
        self._warm.set()
        active: list[InProgress] = []
        while True:
            # Images that are there together run together: the next ones gather until these have left.
            if all(image.rounds >= MOST_ROUNDS for image in active):
                active += self._arrived(wait=not active)
            detected = [image for image in active if isinstance(image.task.step, Detect)]
            try:
                self._advance(active)
            except Exception:
                logger.exception("the networks failed for %d images", len(active))
                self._advance_one_by_one(active)
            for image in detected:
                image.batch = max(image.batch, self._networks.batch)
            self._share_time([image for image in active if image.task.result is not None])
            active = [image for image in active if self._is_still_active(image)]

    def _share_time(self, ended: Sequence[InProgress]) -> None:
        if ended:
            shares: Mapping[str, float] = {
                stage: seconds / len(ended) for stage, seconds in self._clock.take().items()
            }
            for image in ended:
                image.seconds = shares

    def _advance(self, images: Sequence[InProgress]) -> None:
        advance([image.task for image in images], self._networks, self._clock, most_of_each=_MOST_OF_EACH)

    def _advance_one_by_one(self, images: Sequence[InProgress]) -> None:
        """Go on after an error: the images that it did not come from keep what they have."""
        for image in images:
            try:
                self._advance([image])
            except Exception:
                logger.exception("the networks failed for one image")
                self._require_networks()
                image.task.result = InternalError()

    def _require_networks(self) -> None:
        try:
            self._networks.run(Embed, [np.zeros(_CROP, np.uint8)])
        except Exception:
            logger.exception("the networks fail for a blank image too; this process ends")
            self._end()

    def _arrived(self, *, wait: bool) -> list[InProgress]:
        """The images that have entered. `wait` for one, and then a little for those that are being decoded."""
        arrived = list(self._entered.get()) if wait else []
        until = time.monotonic() + self._gather_s if wait else 0.0
        while True:
            while not self._entered.empty():
                arrived += self._entered.get()
            left = until - time.monotonic()
            if left <= 0 or len(arrived) >= _GATHERED or not self._expected:
                return arrived
            with suppress(Empty):
                arrived += self._entered.get(timeout=left)

    def _is_still_active(self, image: InProgress) -> bool:
        image.rounds += 1
        if image.task.result is not None:
            self._finish(image)
            return False
        if image.rounds >= MOST_ROUNDS:
            image.leave()
        if isinstance(image.task.step, Decode):
            image.leave()
            self._second_decoders.submit(self._decode_again, image)
            return False
        return True

    def _finish(self, image: InProgress) -> None:
        with self._freed:
            self._pixels -= image.pixels
            image.pixels = 0
            self._freed.notify_all()
        if image.task.result is not None and not image.answer.done():
            image.answer.set_result(image.task.result)
        image.leave()


def _decode(image: InProgress) -> None:
    try:
        image.task.decode()
    except Exception:
        logger.exception("the decoder failed for an image")
        image.task.result = InternalError()
