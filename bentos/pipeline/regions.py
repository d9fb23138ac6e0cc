"""The part of a photo that is searched for the faces of a region, and the conversion of its coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bentos.domain.faces import BoundingBox, Face
from bentos.imaging.decoding import DecodedImage
from bentos.pipeline.pyramid import ImagePyramid

_MARGIN = 0.5
"""Share of the region's sides that is added on each side, because a detector needs the surroundings of a face."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a photo. `left`, `top`: where it begins in the photo, pixels of the photo."""

    pixels: ImagePyramid
    left: float
    top: float

    @classmethod
    def around(cls, region: BoundingBox, image: ImagePyramid) -> Part | None:
        """The region with its surroundings; None when it lies outside the photo."""
        margin_x = (region.x2 - region.x1) * _MARGIN
        margin_y = (region.y2 - region.y1) * _MARGIN
        left = max(0, int((region.x1 - margin_x) * image.scale))
        top = max(0, int((region.y1 - margin_y) * image.scale))
        right = max(0, int((region.x2 + margin_x) * image.scale) + 1)
        bottom = max(0, int((region.y2 + margin_y) * image.scale) + 1)
        window = image.pixels[top:bottom, left:right]
        if 0 in window.shape:
            return None
        pixels = ImagePyramid(DecodedImage(window, image.width, image.height, image.scale))
        return cls(pixels, left / image.scale, top / image.scale)

    def in_photo(self, face: Face) -> Face:
        """Convert a face of this part to pixels of the photo."""
        box = face.bbox
        moved = (box.x1 + self.left, box.y1 + self.top, box.x2 + self.left, box.y2 + self.top)
        return replace(
            face,
            bbox=BoundingBox.clipped(moved, self.pixels.width, self.pixels.height),
            landmarks=tuple((x + self.left, y + self.top) for x, y in face.landmarks),
        )


def longer_side_around(region: BoundingBox) -> float:
    """The longer side of the region with its surroundings, at least 1, pixels of the photo."""
    return max(1.0, (1 + 2 * _MARGIN) * max(region.x2 - region.x1, region.y2 - region.y1))


def centre_in(box: BoundingBox, region: BoundingBox) -> bool:
    """Whether the centre of `box` lies in `region`."""
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    return region.x1 <= x <= region.x2 and region.y1 <= y <= region.y2
