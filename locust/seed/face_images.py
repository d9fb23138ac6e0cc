"""Makes images from real faces with other poses, light, backgrounds, sizes and JPEG qualities, the same per index.

A face is cut out with a soft oval edge, rotated, tilted (mild perspective), relit, and placed on a background. An image
may contain no detectable face; callers that need one run the detector and use the next `attempt`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seed.shipped_faces import FACES, Pixels, ShippedFace, backgrounds, pixels_of

DEFAULT_SIZE = (480, 640)
"""Width and height of a selfie, pixels."""

SELFIE_BYTES = 60_000

_PHOTO_SIZES = ((480, 640), (640, 480), (1280, 960), (960, 1280), (1600, 1200))
_PHOTO_SIZE_SHARES = (0.4, 0.3, 0.12, 0.12, 0.06)
_FACE_COUNT_SHARES = (0.6, 0.25, 0.15)
_GROUP_SIZES = ((1280, 960), (960, 1280), (1600, 1200))
GROUP_COUNTS = (1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 12)
"""Numbers of people, each as likely as the others; 6 on average."""
_QUALITIES = (40, 98)
_LARGEST_FILE_TRIES = 6
_HEAD = 0.62
"""Half axes of the oval that is cut out, in widths and heights of the face's box."""

Seed = np.random.Generator
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MadeImage:
    """A JPEG and the names of the people in it (those of `shipped_faces`)."""

    jpeg: bytes
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a face: centre and height of its box in pixels of the new image."""

    x: float
    y: float
    height: float


def photo(index: int, *, seed: int = 0, attempt: int = 0) -> MadeImage:
    """Photo number `index` of the set `seed`: one to three people, a random size and quality."""
    rng = np.random.default_rng((seed, index, attempt, 1))
    width, height = _PHOTO_SIZES[rng.choice(len(_PHOTO_SIZES), p=_PHOTO_SIZE_SHARES)]
    people = 1 + int(rng.choice(len(_FACE_COUNT_SHARES), p=_FACE_COUNT_SHARES))
    chosen = [FACES[number] for number in rng.choice(len(FACES), size=people, replace=False)]
    canvas = _background(rng, width, height)
    slot = width / people
    for number, face in enumerate(chosen):
        side = min(slot, height)
        place = _Place(
            x=(number + rng.uniform(0.45, 0.55)) * slot,
            y=height * rng.uniform(0.42, 0.58),
            height=side * rng.uniform(0.35, 0.6),
        )
        _lay(canvas, face, place, rng)
    jpeg = _jpeg(_finished(canvas, rng), int(rng.integers(*_QUALITIES)))
    return MadeImage(jpeg, tuple(face.person for face in chosen))


def group(index: int, *, seed: int = 0) -> MadeImage:
    """Photo number `index` of a group: 1 to 12 people, 6 on average, each in a place of their own on a grid.

    From nine people on some appear twice, because there are eight to choose from.
    """
    rng = np.random.default_rng((seed, index, 0, 3))
    width, height = _GROUP_SIZES[rng.integers(len(_GROUP_SIZES))]
    people = int(rng.choice(GROUP_COUNTS))
    chosen = [FACES[number % len(FACES)] for number in rng.permutation(max(GROUP_COUNTS))[:people]]
    canvas = _background(rng, width, height)
    columns = int(np.ceil(np.sqrt(people * width / height)))
    rows = -(-people // columns)
    slot_width, slot_height = width / columns, height / rows
    for number, face in enumerate(chosen):
        place = _Place(
            x=(number % columns + rng.uniform(0.45, 0.55)) * slot_width,
            y=(number // columns + rng.uniform(0.45, 0.55)) * slot_height,
            height=min(slot_width, slot_height) * rng.uniform(0.3, 0.55),
        )
        _lay(canvas, face, place, rng)
    jpeg = _jpeg(_finished(canvas, rng), int(rng.integers(*_QUALITIES)))
    return MadeImage(jpeg, tuple(face.person for face in chosen))


def selfie(
    index: int,
    *,
    seed: int = 0,
    attempt: int = 0,
    size: tuple[int, int] = DEFAULT_SIZE,
    target_bytes: int | None = SELFIE_BYTES,
) -> MadeImage:
    """Selfie number `index`: one person, `size` (width, height), the JPEG quality that comes closest to `target_bytes`.

    Without `target_bytes` the quality is 90.
    """
    rng = np.random.default_rng((seed, index, attempt, 2))
    width, height = size
    face = FACES[index % len(FACES)]
    canvas = _background(rng, width, height)
    place = _Place(
        x=width * rng.uniform(0.42, 0.58),
        y=height * rng.uniform(0.42, 0.55),
        height=min(width, height) * rng.uniform(0.4, 0.75),
    )
    _lay(canvas, face, place, rng)
    pixels = _finished(canvas, rng)
    jpeg = _jpeg(pixels, 90) if target_bytes is None else _jpeg_of_size(pixels, target_bytes)
    return MadeImage(jpeg, (face.person,))


def _background(rng: Seed, width: int, height: int) -> Floats:
    """A random window of a random background, as floats, so that values are rounded only once, at the end."""
    source = backgrounds()[rng.integers(len(backgrounds()))]
    rows, columns = source.shape[:2]
    share = rng.uniform(0.5, 1.0)
    window_height = int(min(rows, columns * height / width) * share)
    window_width = int(window_height * width / height)
    top = int(rng.integers(0, rows - window_height + 1))
    left = int(rng.integers(0, columns - window_width + 1))
    window = source[top : top + window_height, left : left + window_width]
    if rng.random() < 0.5:  # noqa: PLR2004 - a probability of one half
        window = window[:, ::-1]
    scaled = cv2.resize(np.ascontiguousarray(window), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(scaled, dtype=np.float32) * np.float32(rng.uniform(0.6, 1.1))


def _lay(canvas: Floats, face: ShippedFace, place: _Place, rng: Seed) -> None:
    """Warp the face and its soft mask to the place and blend them in; the rest of the canvas is not changed."""
    source = pixels_of(face.photo)
    left, top = (max(0, int(centre - place.height)) for centre in (place.x, place.y))
    window = canvas[top : int(place.y + place.height), left : int(place.x + place.height)]
    height, width = window.shape[:2]
    transform = _pose(face, replace(place, x=place.x - left, y=place.y - top), rng)
    warped = cv2.warpPerspective(
        source, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    mask = cv2.warpPerspective(_oval(face), transform, (width, height), flags=cv2.INTER_LINEAR)
    relit = warped.astype(np.float32) * _light(rng, width, height)
    window += (relit - window) * mask[:, :, None]


def _pose(face: ShippedFace, place: _Place, rng: Seed) -> NDArray[np.float64]:
    """The perspective transform from the shipped photo to the new image."""
    box = face.bbox
    half_height = place.height / 2
    half_width = half_height * (box.x2 - box.x1) / (box.y2 - box.y1)
    angle = np.deg2rad(rng.normal(0.0, 9.0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirrored = -1.0 if rng.random() < 0.5 else 1.0  # noqa: PLR2004 - a probability of one half
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [half_width * mirrored, half_height]
    tilt = rng.normal(0.0, 0.03, corners.shape).clip(-0.07, 0.07) * place.height
    target = (corners + tilt) @ turn.T + [place.x, place.y]
    source = np.array([(box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2)])
    return np.asarray(cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32)))


@cache
def _oval(face: ShippedFace) -> Floats:
    """1 on the head, 0 elsewhere, with a soft edge: (h, w) float32, as large as the photo."""
    box, (rows, columns) = face.bbox, pixels_of(face.photo).shape[:2]
    width, height = box.x2 - box.x1, box.y2 - box.y1
    x = (np.arange(columns, dtype=np.float32) - (box.x1 + box.x2) / 2) / (width * _HEAD)
    y = (np.arange(rows, dtype=np.float32) - (box.y1 + box.y2) / 2) / (height * _HEAD)
    distance = np.sqrt(x[None, :] ** 2 + y[:, None] ** 2)
    mask: Floats = np.clip((1.15 - distance) / 0.25, 0.0, 1.0).astype(np.float32)
    return mask


def _light(rng: Seed, width: int, height: int) -> Floats:
    """A factor for each pixel: brighter on one side, as by a window, and a little warmer or colder."""
    slope_x, slope_y = rng.normal(0.0, 0.12, 2)
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)
    brightness = np.float32(rng.uniform(0.75, 1.2))
    shade = brightness * (1 + np.float32(slope_x) * x[None, :] + np.float32(slope_y) * y[:, None])
    light: Floats = shade[:, :, None] * rng.normal(1.0, 0.04, 3).astype(np.float32)
    return light


def _finished(canvas: Floats, rng: Seed) -> Pixels:
    """Add sensor noise and convert to 8 bits per channel."""
    height, width = canvas.shape[:2]
    noise = rng.integers(-128, 128, (height, width, 1), dtype=np.int8).astype(np.float32)
    return np.asarray((canvas + noise * np.float32(rng.uniform(0.01, 0.06))).clip(0, 255), dtype=np.uint8)


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    parameters: list[Any] = [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, encoded = cv2.imencode(".jpg", pixels, parameters)
    if not done:
        raise ValueError("OpenCV could not write the JPEG")
    return bytes(encoded.tobytes())


def _jpeg_of_size(pixels: Pixels, target_bytes: int) -> bytes:
    """Find the quality by bisection, until the file has about the requested size."""
    lowest, highest = 30, 99
    best = _jpeg(pixels, 90)
    for _ in range(_LARGEST_FILE_TRIES):
        quality = (lowest + highest) // 2
        jpeg = _jpeg(pixels, quality)
        best = min(best, jpeg, key=lambda each: abs(len(each) - target_bytes))
        if len(jpeg) > target_bytes:
            highest = quality - 1
        else:
            lowest = quality + 1
        if lowest > highest:
            break
    return best
