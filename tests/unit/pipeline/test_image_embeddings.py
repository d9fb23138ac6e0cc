"""Tests that a face gives the same embedding in every kind of file, with the real face pack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bentoml
import numpy as np
import pytest
from PIL import Image

from bentos.config.settings import Settings
from bentos.domain.faces import Embedding, Face
from bentos.imaging.decoding import decode
from bentos.pipeline.face_pack import FacePack
from bentos.pipeline.pyramid import ImagePyramid
from bentos.runner.local import pack_of
from tests.unit.imaging.image_kinds import KINDS, expected, jpeg, photo
from tests.unit.pipeline.complete import complete

ENOUGH = 50_000_000
DETECTION_SIZE = 640
SHRINK_TO = 2 * DETECTION_SIZE
SAME_FACE = 0.97


@dataclass(frozen=True)
class Seen:
    """What the pack finds in an image: faces, best first, and their embeddings, (faces, dim)."""

    image: ImagePyramid
    faces: list[Face]
    embeddings: np.ndarray


@pytest.fixture(scope="module")
def pack() -> FacePack:
    try:
        folder = Path(bentoml.models.get("yunet-mbf:latest").path)
    except bentoml.exceptions.NotFound:
        pytest.skip("the face pack is not in the model store: python -m models.assemble")
    return pack_of(folder, Settings(detection_size=DETECTION_SIZE))


def see(pack: FacePack, file: bytes, **options: int) -> Seen:
    image = ImagePyramid(decode(file, max_pixels=ENOUGH, **options))
    settled = complete(pack, pack.settled(image, complete(pack, pack.candidates(image, most=100)).all))
    faces = [face for face in pack.refined([(image, face) for face in settled]) if face is not None]
    return Seen(image, faces, np.array(embed(pack, image, faces)))


def embed(pack: FacePack, image: ImagePyramid, faces: list[Face]) -> list[Embedding]:
    crops = [pack.crop(image, face.landmarks) for face in faces]
    return pack.embed([crop for crop in crops if crop is not None])


def cosines(reference: Seen, other: Seen) -> np.ndarray:
    """For each face of the reference: the cosine to the face at the same place of the other image."""
    zoom = reference.image.width / other.image.width
    ours = np.array([face.bbox.as_list() for face in reference.faces])
    theirs = np.array([face.bbox.as_list() for face in other.faces]) * zoom
    nearest = np.abs(ours[:, None] - theirs[None]).max(axis=2).argmin(axis=1)
    return np.einsum("fd,fd->f", reference.embeddings, other.embeddings[nearest])


@cache
def in_plain_jpeg(pack: FacePack, shows: str) -> Seen:
    """What the pack finds in the picture as an ordinary JPEG."""
    return see(pack, jpeg(Image.fromarray(np.ascontiguousarray(expected(shows)[..., ::-1]))))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_embeddings_of_the_plain_jpeg(pack: FacePack, kind: str) -> None:
    shows, make = KINDS[kind]
    reference, other = in_plain_jpeg(pack, shows), see(pack, make())
    assert len(other.faces) == len(reference.faces) == 6
    found = cosines(reference, other)
    in_place = (reference.embeddings * np.array(embed(pack, other.image, reference.faces))).sum(axis=1)
    print(f"{kind}: least {found.min():.3f}, mean {found.mean():.3f}, same landmarks {in_place.min():.3f}")
    assert found.mean() >= SAME_FACE, "detected anew in each file"
    assert in_place.min() >= SAME_FACE, "at the landmarks found in the plain JPEG: the decoder alone"
    # One of the six is in near profile: its landmarks move with any change of its pixels, most with a palette.
    assert np.median(found) >= SAME_FACE
    assert found.min() >= 0.9


@pytest.mark.parametrize(("width", "height"), [(2944, 2038), (4160, 2880), (5888, 4076)])
def test_reducing_a_large_jpeg_loses_no_face_and_no_score(pack: FacePack, width: int, height: int) -> None:
    enrolled = see(pack, jpeg())
    large = jpeg(photo().resize((width, height), Image.Resampling.BICUBIC), quality=90)
    full, reduced = see(pack, large), see(pack, large, shrink_to=SHRINK_TO)
    assert reduced.image.scale < full.image.scale == 1.0
    assert len(reduced.faces) == len(full.faces) == 6
    lost = cosines(enrolled, full) - cosines(enrolled, reduced)
    print(f"{width} x {height}: score lost at most {lost.max():.4f}, on average {lost.mean():.4f}")
    assert lost.mean() < 0.01
    assert lost.max() < 0.03  # the face in near profile
    for ours, theirs in zip(
        sorted(full.faces, key=lambda face: face.bbox.x1),
        sorted(reduced.faces, key=lambda face: face.bbox.x1),
        strict=True,
    ):
        assert ours.bbox.iou(theirs.bbox) > 0.85
