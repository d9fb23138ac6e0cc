"""Drops an image when no caller waits for its answer any more."""

from __future__ import annotations

from collections.abc import Callable

from bentos.domain.errors import FaceSearchError

IsWanted = Callable[[int], bool]
"""Whether a caller still waits for the answer for image number n of a list."""

Check = Callable[[], None]
"""Raises `Dropped` once no caller waits for the answer for one image any more."""


class Dropped(FaceSearchError):
    """The answer for an image is no longer wanted: its deadline has passed, or its caller has closed the connection."""

    code = "dropped"

    def __init__(self) -> None:
        super().__init__("The answer is not wanted any more.")


def always_wanted(_number: int) -> bool:
    """For callers that wait for every answer."""
    return True


def check_of(number: int, is_wanted: IsWanted) -> Check:
    """The `Check` of image `number`."""

    def check() -> None:
        if not is_wanted(number):
            raise Dropped

    return check
