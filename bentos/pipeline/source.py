"""A compressed image that is decoded only as large as the work on it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from bentos.domain.faces import Face
from bentos.imaging.decoding import DecodedImage
from bentos.pipeline.alignment import magnification
from bentos.pipeline.pyramid import ImagePyramid
from bentos.pipeline.steps import Work, decoded

# A face that the recogniser would enlarge by more than this is cut from the image at a larger scale: measured on
# reduced photos, faces wider than 112 px lose less than 0.01 of cosine, at 56 to 80 px 0.025 and up to 0.08.
_MOST_MAGNIFIED = 0.7


class Decode(Protocol):
    """Decodes a file no larger than asked for, where the decoder can reduce it (see `imaging.decoding.decode`)."""

    def __call__(self, file: bytes, *, shrink_to: int, min_scale: float) -> DecodedImage:
        """The pixels. Raises `InvalidImageFormat`, `ImageTooLarge`."""


class Source:
    """A compressed image and its pixels, which are held at one scale at a time.

    `check` raises `Dropped` once no caller waits for the answer; it runs before each decoding.
    """

    def __init__(self, file: bytes, decode: Decode, check: Callable[[], None]) -> None:
        self._file, self._decode, self.check = file, decode, check
        self._image: ImagePyramid | None = None

    @property
    def image(self) -> ImagePyramid:
        """The pixels of the last decoding. Call one of the methods below first."""
        if self._image is None:
            raise RuntimeError("the image has not been decoded yet")
        return self._image

    def decode_for(self, longer_side: int, *, min_scale: float = 0.0) -> Work[None]:
        """Decode so that the longer side has this many pixels and the scale is reached, as far as the file allows."""
        image = self._image
        if image is None or (
            image.scale < image.largest_scale
            and (max(image.pixels.shape[:2]) < longer_side or image.scale < min_scale)
        ):
            yield from self._decode_at(longer_side, min_scale)

    def sharpen_for(self, faces: Sequence[Face]) -> Work[bool]:
        """Decode larger if the recogniser would enlarge one of these faces too much; returns whether it decoded."""
        needed = sharp_scale(faces)
        if self.image.scale >= min(needed, self.image.largest_scale):
            return False
        yield from self._decode_at(1, needed)
        return True

    def _decode_at(self, shrink_to: int, min_scale: float) -> Work[None]:
        self.check()
        self._image = None  # so that two scales are never in memory at once
        decode = partial(self._decode, self._file, shrink_to=shrink_to, min_scale=min_scale)
        self._image = ImagePyramid((yield from decoded(decode)))


def sharp_scale(faces: Sequence[Face]) -> float:
    """The scale of the image at which the recogniser enlarges none of these faces too much; at most 1."""
    return min(1.0, max((magnification(face.landmarks) / _MOST_MAGNIFIED for face in faces), default=0.0))
