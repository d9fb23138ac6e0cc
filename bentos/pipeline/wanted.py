"""Drops an image whose answer nobody waits for any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from bentos.domain.errors import FaceSearchError

IsWanted = Callable[[int], bool]
"""Whether somebody still waits for the answer about image number n of a list."""

Check = Callable[[], None]
"""Raises `Dropped` once nobody waits for the answer about one image any more."""

_Result = TypeVar("_Result")


class Dropped(FaceSearchError):
    """The answer about an image is not wanted any more: its deadline has passed, or its caller has gone."""

    code = "dropped"

    def __init__(self) -> None:
        super().__init__("The answer is not wanted any more.")


def always_wanted(_number: int) -> bool:
    """For callers that wait for every answer."""
    return True


def look_at_each(
    images: Sequence[bytes], look: Callable[[bytes, Check], _Result], is_wanted: IsWanted
) -> list[_Result | FaceSearchError]:
    """The result of `look` for each image, or the error that it raised."""
    return [
        _result_or_error(look, image, partial(_check, number, is_wanted))
        for number, image in enumerate(images)
    ]


def _check(number: int, is_wanted: IsWanted) -> None:
    if not is_wanted(number):
        raise Dropped


def _result_or_error(
    look: Callable[[bytes, Check], _Result], image: bytes, check: Check
) -> _Result | FaceSearchError:
    try:
        return look(image, check)
    except FaceSearchError as error:
        return error
