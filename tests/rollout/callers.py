"""Callers that search continuously until they are refused: the load while one service is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.rollout.stores import KEY

SELFIE = photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))


class Callers:
    """Threads that search continuously until they are refused, half of them on keep-alive connections."""

    def __init__(self, url: str) -> None:
        self.answered, self.failures = 0, list[str]()
        self._url = url
        self._threads = [threading.Thread(target=self._call, args=(n % 2 == 0,)) for n in range(4)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _call(self, keeps: bool) -> None:
        with httpx.Client() as kept:
            post = kept.post if keeps else httpx.post
            while self._goes_on(post):
                pass

    def _goes_on(self, post: Callable[..., httpx.Response]) -> bool:
        headers = {"X-Api-Key": KEY}
        try:
            answer = post(f"{self._url}/search/", files={"file": SELFIE}, headers=headers, timeout=30)
        except httpx.ConnectError:
            return False  # not accepted
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
            return False
        if answer.status_code == httpx.codes.OK:
            self.answered += 1
        else:
            self.failures.append(answer.text)
        return True
