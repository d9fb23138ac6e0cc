"""The steps that the work on one image asks for: runs of the networks, which may serve several images, and decoding.

The work on one image is a generator, written like work on a single image. It yields a step where it needs one and gets
one reply for each item of the step, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import Embedding, Face
from bentos.imaging.decoding import DecodedImage
from bentos.pipeline.detector import Candidates, SurestFace, fit, reduction
from bentos.pipeline.pyramid import ImagePyramid, Pixels
from bentos.pipeline.stage_clock import Stage

_Result = TypeVar("_Result")


class DetectorInput(NamedTuple):
    """An image, (h, w, 3) uint8 BGR, whose longer side has about `side` pixels, the size of the detector's input.

    `lowest`: the lowest score of a candidate; None for that of the models. Models that run batches may ignore it.
    """

    pixels: Pixels
    side: int
    lowest: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a work asks for; one reply for each of its `items`. `image`: the pixels that the work holds meanwhile."""

    stage: ClassVar[Stage] = "detect"
    image: ImagePyramid | None
    items: Sequence[Any]


class Decode(Step):
    """The pixels of one file; the item decodes it: `DecodedImage`, or the `FaceSearchError` that it raised.

    No network runs it: whoever resumes the work decides in which thread an image is decoded.
    """


class Detect(Step):
    """The candidates in each `DetectorInput`, in its pixels: `Candidates`."""


class Look(Step):
    """The face with the best score in each square image, `Pixels`: `SurestFace`."""


class Refine(Step):
    """Each of (`ImagePyramid`, `Face`) with refined landmarks, or None when it is not confirmed: `Face | None`."""


class Steady(Step):
    """The same as `Refine`, but None also when the looks of the landmark model do not agree: `Face | None`."""


class Embed(Step):
    """The embedding of each aligned face, (112, 112, 3) uint8 BGR: `Embedding`, L2-normalised."""

    stage = "embed"


Work = Generator[Step, Sequence[Any], _Result]
"""The work on one image; it may raise `FaceSearchError`."""


def decoded(decode: Callable[[], DecodedImage]) -> Work[DecodedImage]:
    """What `decode` returns. Raises what it raises."""
    made: DecodedImage | FaceSearchError
    [made] = yield Decode(None, [decode])
    if isinstance(made, FaceSearchError):
        raise made
    return made


def detect(image: ImagePyramid, pixels: Pixels, side: int, lowest: float | None = None) -> Work[Candidates]:
    """The candidates in `pixels`, which belong to `image`; their longer side is brought to `side`, a multiple of 32.

    `lowest`: see `DetectorInput`.
    """
    fitted = fit(pixels, side)
    found: Candidates
    [found] = yield Detect(image, [DetectorInput(fitted, side, lowest)])
    return found.scaled(reduction(pixels, fitted))


def look(image: ImagePyramid, squares: Sequence[Pixels]) -> Work[Sequence[SurestFace]]:
    """The surest face in each square."""
    return (yield Look(image, squares)) if squares else ()


def refine(image: ImagePyramid, faces: Sequence[Face]) -> Work[Sequence[Face | None]]:
    """The faces with refined landmarks."""
    return (yield Refine(image, [(image, face) for face in faces])) if faces else ()


def steady(image: ImagePyramid, face: Face) -> Work[Face | None]:
    """The face with refined landmarks, if all looks of the landmark model agree about it."""
    found: Face | None
    [found] = yield Steady(image, [(image, face)])
    return found


def embed(crops: Sequence[Pixels]) -> Work[Sequence[Embedding]]:
    """The embeddings of aligned faces."""
    return (yield Embed(None, crops)) if crops else ()
