"""Photos made from the few that ship with the installed packages: the same people otherwise, crowds, nobody."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from bentos.demo import photos
from bentos.domain.faces import BoundingBox

Picture = Image.Image
Alteration = Callable[[Picture], bytes]

TURNS = {
    0: None,
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
"""Degrees counter-clockwise."""

_GREY = (127, 127, 127)
_MARGIN = 0.6
"""Share of a face's sides that is left around it in a selfie."""

_PEOPLE_FREE = (
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
)
"""Photos of scikit-image that show nobody."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to alter a selfie, with a few strengths."""

    name: str
    alterations: tuple[Alteration, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A large photo with many small faces: `places` are the boxes of the faces, in pixels."""

    name: str
    jpeg: bytes
    places: tuple[BoundingBox, ...]


def opened(path: Path) -> Picture:
    """The picture in RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def saved(picture: Picture, kind: str = "JPEG", quality: int = 92) -> bytes:
    """The picture as a file of that kind; `quality` counts for JPEG and WebP."""
    stream = io.BytesIO()
    options = {"compress_level": 1} if kind == "PNG" else {"quality": quality}
    picture.save(stream, kind, **options)
    return stream.getvalue()


def turned(picture: Picture, degrees: int) -> Picture:
    """The picture turned by 0, 90, 180 or 270 degrees."""
    turn = TURNS[degrees]
    return picture if turn is None else picture.transpose(turn)


def people_free() -> dict[str, Picture]:
    """Photos without people, by name."""
    folder = photos.coffee_cup().parent
    return {name: opened(folder / name) for name in _PEOPLE_FREE}


def selfie(picture: Picture, box: BoundingBox, margin: float = _MARGIN) -> Picture:
    """The face in `box` with some of its surroundings, 480 pixels wide, but enlarged by no more than two."""
    around = (
        max(0, int(box.x1 - margin * (box.x2 - box.x1))),
        max(0, int(box.y1 - margin * (box.y2 - box.y1))),
        min(picture.width, int(box.x2 + margin * (box.x2 - box.x1))),
        min(picture.height, int(box.y2 + margin * (box.y2 - box.y1))),
    )
    face = picture.crop(around)
    return _scaled(face, min(2.0, 480 / face.width))


def small(picture: Picture, box: BoundingBox, side: int) -> bytes:
    """A file in which the face is `side` pixels wide."""
    return saved(_scaled(selfie(picture, box), side / _width_in_selfie(picture, box)), "PNG")


def _width_in_selfie(picture: Picture, box: BoundingBox) -> float:
    around = selfie(picture, box)
    left = max(0, int(box.x1 - _MARGIN * (box.x2 - box.x1)))
    right = min(picture.width, int(box.x2 + _MARGIN * (box.x2 - box.x1)))
    return (box.x2 - box.x1) * around.width / (right - left)


def kinds() -> tuple[Kind, ...]:
    """How selfies are altered."""
    return (
        Kind("format", (lambda p: saved(p, "PNG"), lambda p: saved(p, "WEBP", 90))),
        Kind("quality 75, 50, 30", tuple(_with_quality(quality) for quality in (75, 50, 30))),
        Kind("scale 0.3 to 2", tuple(_with(_scaled, factor) for factor in (0.3, 0.5, 0.75, 1.5, 2.0))),
        Kind("rotation ±10, 20, 30°", tuple(_with(_rotated, d) for d in (-30, -20, -10, 10, 20, 30))),
        Kind("crop", tuple(_with(_cropped, side) for side in range(4))),
        Kind("light 0.6 to 1.5", tuple(_with(_lit, factor) for factor in (0.6, 0.8, 1.2, 1.5))),
    )


def scenes(faces: list[Picture]) -> Iterator[Scene]:
    """Crowds made of `faces`, each with its surroundings: (name, width, height, faces, their width)."""
    for name, width, height, count, side in (
        ("2 MP, 12 × 60 px", 1632, 1224, 12, 60),
        ("12 MP, 50 × 60 px", 4000, 3000, 50, 60),
        ("24 MP, 50 × 60 px", 6000, 4000, 50, 60),
        ("24 MP, 50 × 40 px", 6000, 4000, 50, 40),
        ("12000 × 2500, 30 × 115 px", 12000, 2500, 30, 115),
    ):
        yield crowd(name, (width, height), faces, count=count, side=side)


def crowd(name: str, size: tuple[int, int], faces: list[Picture], *, count: int, side: int) -> Scene:
    """`count` of the `faces`, each about `side` pixels wide, on a sky of `size` pixels."""
    random = np.random.default_rng(count * side + size[0])
    canvas = people_free()["rocket.jpg"].resize(size, Image.Resampling.BICUBIC)
    columns = int(np.ceil(np.sqrt(count * size[0] / size[1])))
    rows = -(-count // columns)
    cell = size[0] / columns, size[1] / rows
    places = []
    for number in range(count):
        face = faces[number % len(faces)]
        # The surroundings are as wide on each side as `_MARGIN` says, so that the face is `side` pixels wide.
        width = int(side * (1 + 2 * _MARGIN))
        small = face.resize((width, int(width * face.height / face.width)), Image.Resampling.LANCZOS)
        x = int((number % columns) * cell[0] + random.uniform(0, cell[0] - small.width))
        y = int((number // columns) * cell[1] + random.uniform(0, cell[1] - small.height))
        canvas.paste(small, (x, y))
        places.append(BoundingBox(x, y, x + small.width, y + small.height))
    return Scene(name, saved(canvas, quality=90), tuple(places))


def _with(change: Callable[[Picture, float], Picture], amount: float) -> Alteration:
    return lambda picture: saved(change(picture, amount))


def _with_quality(quality: int) -> Alteration:
    return lambda picture: saved(picture, quality=quality)


def _scaled(picture: Picture, factor: float) -> Picture:
    return picture.resize(
        (max(1, int(picture.width * factor)), max(1, int(picture.height * factor))), Image.Resampling.LANCZOS
    )


def _rotated(picture: Picture, degrees: float) -> Picture:
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=_GREY)


def _cropped(picture: Picture, side: float) -> Picture:
    """An eighth of the picture cut off at one side."""
    x, y = picture.width // 8, picture.height // 8
    box = [(x, 0, picture.width, picture.height), (0, y, picture.width, picture.height)]
    box += [(0, 0, picture.width - x, picture.height), (0, 0, picture.width, picture.height - y)]
    return picture.crop(box[int(side)])


def _lit(picture: Picture, factor: float) -> Picture:
    return ImageEnhance.Brightness(picture).enhance(factor)
