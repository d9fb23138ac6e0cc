"""Makes pixels into the images that the pipeline takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bentos.imaging.decoding import DecodedImage
from bentos.pipeline.pyramid import ImagePyramid


def shown(pixels: NDArray[np.uint8], scale: float = 1.0) -> ImagePyramid:
    """An image of those pixels, (h, w, 3) BGR, which the decoder has scaled down by `scale`."""
    height, width = pixels.shape[:2]
    return ImagePyramid(DecodedImage(pixels, round(width / scale), round(height / scale), scale))


def bgr(photo: Path | Image.Image) -> NDArray[np.uint8]:
    """The pixels of a photo."""
    picture = photo if isinstance(photo, Image.Image) else Image.open(photo)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
