"""Tests the pipeline with the real models on the real photos."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.errors import FaceSearchError, InvalidImageFormat
from bentos.domain.faces import BoundingBox, FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.runner.local import extraction_of


def _found(result: FacesInImage | FaceSearchError) -> FacesInImage:
    assert isinstance(result, FacesInImage)
    return result


def _saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_a_face_is_a_unit_vector_of_512_floats(extraction: Extraction) -> None:
    found = _found(extraction.detect_and_embed([photos.astronaut().read_bytes()])[0])
    embedding = found.faces[0].embedding
    assert embedding is not None
    assert (embedding.shape, embedding.dtype) == ((512,), np.float32)
    assert abs(float(np.linalg.norm(embedding)) - 1) < 1e-5


def test_a_broken_image_does_not_affect_the_others(extraction: Extraction) -> None:
    good = photos.astronaut().read_bytes()
    batch = [good, b"broken", photos.coffee_cup().read_bytes(), good]
    for results in (extraction.detect(batch), extraction.detect_and_embed(batch)):
        assert [len(_found(results[i]).faces) for i in (0, 2, 3)] == [1, 0, 1]
        assert isinstance(results[1], InvalidImageFormat)


def test_a_batch_gives_the_same_results_as_single_images(extraction: Extraction) -> None:
    images = [p.read_bytes() for p in (photos.group_photo(), photos.astronaut(), photos.portrait())]
    batch = extraction.detect_and_embed(images)
    for image, together in zip(images, batch, strict=True):
        alone = _found(extraction.detect_and_embed([image])[0])
        for one, other in zip(alone.faces, _found(together).faces, strict=True):
            assert one.bbox == other.bbox
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-4)


def test_embedding_a_known_face_gives_the_same_embedding_as_detecting_it(extraction: Extraction) -> None:
    image = photos.group_photo().read_bytes()
    found = _found(extraction.detect_and_embed([image])[0])
    again = _found(extraction.embed([(image, [face.landmarks for face in found.faces])])[0])
    for one, other in zip(found.faces, again.faces, strict=True):
        assert one.embedding is not None
        assert float(one.embedding @ other.embedding) > 0.99  # the landmarks are refined once more


def test_the_embedding_of_a_known_face_does_not_depend_on_the_landmarks_of_an_older_aligner(
    extraction: Extraction,
) -> None:
    image = photos.group_photo().read_bytes()
    known = [face.landmarks for face in _found(extraction.detect([image])[0]).faces]
    older = [
        tuple((1.02 * (x - a) + a + 2, y - 3) for x, y in points) for points in known for a in [points[0][0]]
    ]
    one, other = (_found(each).faces for each in extraction.embed([(image, known), (image, older)]))
    for face, moved in zip(one, other, strict=True):
        assert face.embedding is not None
        assert float(face.embedding @ moved.embedding) > 0.98


def test_a_known_face_that_the_landmark_model_does_not_see_keeps_its_landmarks(
    extraction: Extraction,
) -> None:
    image = photos.coffee_cup().read_bytes()
    nowhere = ((280.0, 180.0), (320.0, 180.0), (300.0, 205.0), (285.0, 225.0), (315.0, 225.0))
    [face] = _found(extraction.embed([(image, [nowhere])])[0]).faces
    assert face.landmarks == nowhere
    assert face.embedding is not None


def test_a_list_of_regions_and_of_known_faces_has_an_answer_for_each(extraction: Extraction) -> None:
    group, astronaut = (path.read_bytes() for path in (photos.group_photo(), photos.astronaut()))
    faces = _found(extraction.detect([group])[0]).faces
    [single] = _found(extraction.detect([astronaut])[0]).faces
    asked = [(group, faces[2].bbox), (b"broken", faces[0].bbox), (astronaut, single.bbox)]
    regions = extraction.detect_in_region(asked)
    assert isinstance(regions[1], InvalidImageFormat)
    assert _found(regions[0]).faces[0].bbox.iou(faces[2].bbox) > 0.7
    assert _found(regions[2]).faces[0].bbox.iou(single.bbox) > 0.7
    known = extraction.embed(
        [(astronaut, [single.landmarks]), (b"broken", []), (group, [f.landmarks for f in faces])]
    )
    assert isinstance(known[1], InvalidImageFormat)
    assert [len(_found(known[n]).faces) for n in (0, 2)] == [1, 6]


def test_degenerate_landmarks_give_no_embedding(extraction: Extraction) -> None:
    image = photos.astronaut().read_bytes()
    good = _found(extraction.detect([image])[0]).faces[0].landmarks
    again = _found(extraction.embed([(image, [((1.0, 1.0),) * 5, good])])[0])
    assert again.faces[0].embedding is None
    assert again.faces[1].embedding is not None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_format_does_not_change_the_face(extraction: Extraction, kind: str) -> None:
    original = photos.astronaut().read_bytes()
    with Image.open(photos.astronaut()) as image:
        same = _saved(image.convert("RGB"), kind, quality=90)
    one, other = (_found(r).faces[0].embedding for r in extraction.detect_and_embed([original, same]))
    assert one is not None
    assert other is not None
    assert float(one @ other) > 0.95


def test_only_the_region_is_searched(extraction: Extraction) -> None:
    image = photos.group_photo().read_bytes()
    face = _found(extraction.detect([image])[0]).faces[3]
    region = BoundingBox(face.bbox.x1 - 20, face.bbox.y1 - 20, face.bbox.x2 + 20, face.bbox.y2 + 20)
    found = _found(extraction.detect_in_region([(image, region)])[0])
    assert len(found.faces) == 1
    assert found.faces[0].bbox.iou(face.bbox) > 0.7
    assert (found.width, found.height) == (1280, 886)


@pytest.mark.parametrize(
    "region",
    [
        BoundingBox(0, 0, 5, 5),
        BoundingBox(5000, 5000, 5100, 5100),
        BoundingBox(-50, -50, -10, -10),
        BoundingBox(600, 700, 601, 701),
    ],
)
def test_a_region_without_a_face_has_none(extraction: Extraction, region: BoundingBox) -> None:
    assert _found(extraction.detect_in_region([(photos.group_photo().read_bytes(), region)])[0]).faces == ()


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (3, 5000), (31, 33)])
def test_an_image_too_small_or_too_thin_for_a_face_has_none(
    extraction: Extraction, size: tuple[int, int]
) -> None:
    found = _found(extraction.detect_and_embed([_saved(Image.new("RGB", size, "gray"))])[0])
    assert (found.width, found.height, found.faces) == (*size, ())


def test_a_face_cut_by_the_border_stays_inside_the_image(extraction: Extraction) -> None:
    with Image.open(photos.astronaut()) as image:
        cut = image.convert("RGB").crop((225, 0, 512, 512))
    found = _found(extraction.detect_and_embed([_saved(cut)])[0])
    for face in found.faces:
        assert face.bbox.x1 >= 0
        assert face.embedding is not None
        assert np.isfinite(face.embedding).all()


def test_a_small_face_in_a_large_photo_is_cut_from_the_full_size(extraction: Extraction) -> None:
    with Image.open(photos.astronaut()) as image:
        portrait = image.convert("RGB").crop((100, 0, 350, 250)).resize((400, 400))
    large = Image.new("RGB", (5200, 3900), (90, 110, 100))
    large.paste(portrait, (3000, 1500))  # after reduction the face is about 35 pixels wide
    alone = _found(extraction.detect_and_embed([_saved(portrait, "JPEG", quality=95)])[0]).faces[0]
    found = _found(extraction.detect([_saved(large, "JPEG", quality=95)])[0]).faces
    again = _found(extraction.embed([(_saved(large, "JPEG", quality=95), [found[0].landmarks])])[0]).faces[0]
    assert alone.embedding is not None
    assert again.embedding is not None
    assert float(alone.embedding @ again.embedding) > 0.9


def _passer_by() -> bytes:
    """The astronaut in front, and another person who is small and far behind."""
    with Image.open(photos.astronaut()) as image:
        scene = image.convert("RGB").crop((100, 0, 350, 250)).resize((480, 480))
    with Image.open(photos.group_photo()) as image:
        behind = image.convert("RGB").crop((1100, 230, 1270, 440)).resize((34, 42))
    scene.paste(behind, (440, 20))
    return _saved(scene, "JPEG", quality=95)


def test_a_tiny_face_counts_unless_a_smallest_size_is_set(pack_folder: Path) -> None:
    sizes = {"detection_size": 640, "selfie_detection_size": 640}
    every = extraction_of(pack_folder, Settings(**sizes, index_min_face_size=0))
    large_only = extraction_of(pack_folder, Settings(**sizes, min_face_size=40))
    faces = _found(every.detect_and_embed([_passer_by()])[0]).faces
    assert len(faces) == 2
    assert min(face.bbox.x2 - face.bbox.x1 for face in faces) < 30
    assert all(face.embedding is not None and np.isfinite(face.embedding).all() for face in faces)
    assert len(_found(large_only.detect_and_embed([_passer_by()])[0]).faces) == 1


def test_a_face_below_the_size_for_indexing_is_found_without_an_embedding(pack_folder: Path) -> None:
    sizes = {"detection_size": 640, "selfie_detection_size": 640}
    large_only = extraction_of(pack_folder, Settings(**sizes, index_min_face_size=40))
    image = _passer_by()
    faces = _found(large_only.detect_and_embed([image])[0]).faces
    assert [(face.bbox.shorter_side >= 40, face.embedding is not None) for face in faces] == [
        (True, True),
        (False, False),
    ]
    by_landmarks = _found(large_only.embed([(image, [faces[1].landmarks])])[0])
    assert by_landmarks.faces[0].embedding is not None


def test_only_the_face_at_the_box_has_an_embedding(extraction: Extraction) -> None:
    group = photos.group_photo().read_bytes()
    faces = _found(extraction.detect([group])[0]).faces
    asked = [(group, face.bbox) for face in faces] + [(b"broken", faces[0].bbox)]
    *at_boxes, broken = extraction.embed_at(asked)
    assert isinstance(broken, InvalidImageFormat)
    whole = _found(extraction.detect_and_embed([group])[0]).faces
    for number, found in enumerate(map(_found, at_boxes)):
        assert [face.bbox for face in found.faces] == [face.bbox for face in faces]
        assert [face.embedding is not None for face in found.faces] == [
            other == number for other in range(len(faces))
        ]
        assert float(found.faces[number].embedding @ whole[number].embedding) > 0.9999


def test_a_face_that_is_found_only_in_its_region_is_added_to_the_faces(extraction: Extraction) -> None:
    astronaut = photos.astronaut().read_bytes()
    [face] = _found(extraction.detect([astronaut])[0]).faces
    wide = BoundingBox(60, 0, 400, 300)
    [found] = map(_found, extraction.embed_at([(astronaut, wide)]))
    assert [each.bbox for each in found.faces] == [face.bbox]
    assert found.faces[0].embedding is not None
    [nothing] = map(_found, extraction.embed_at([(astronaut, BoundingBox(400, 380, 500, 500))]))
    assert [each.embedding for each in nothing.faces] == [None]
