"""Tests of made images: the same number gives the same image, with the faces that it is said to have."""

from __future__ import annotations

import io

from PIL import Image

from bench.search_form import never_the_same
from bench.selfie_pool import selfies_with_one_face
from seed.face_images import photo, selfie


def test_the_same_number_gives_the_same_bytes():
    assert photo(7, seed=3) == photo(7, seed=3)
    assert selfie(7) == selfie(7)


def test_another_number_seed_or_attempt_gives_another_image():
    images = [photo(7), photo(8), photo(7, seed=1), photo(7, attempt=1), selfie(7), selfie(7, attempt=1)]
    assert len({image.jpeg for image in images}) == len(images)


def test_a_selfie_has_the_requested_pixels_and_about_the_requested_bytes():
    made = selfie(2, size=(600, 800), target_bytes=90_000)
    assert Image.open(io.BytesIO(made.jpeg)).size == (600, 800)
    assert abs(len(made.jpeg) - 90_000) < 15_000


def test_every_selfie_of_the_pool_has_exactly_one_face(extraction):
    pool = list(selfies_with_one_face(extraction, 12))
    assert [len(found.faces) for found in extraction.detect(pool)] == [1] * 12
    assert len(set(pool)) == 12


def test_nearly_always_all_people_of_a_photo_are_detected(extraction):
    made = [photo(index) for index in range(24)]
    found = extraction.detect([image.jpeg for image in made])
    as_claimed = sum(len(each.faces) == len(image.people) for each, image in zip(found, made, strict=True))
    assert as_claimed >= 20


def test_a_selfie_resembles_another_one_of_the_same_person_more_than_anyone_else(extraction):
    mine, again, other = (
        extraction.detect_and_embed([selfie(index).jpeg])[0].faces[0].embedding for index in (0, 8, 1)
    )
    assert mine @ again > 0.5 > mine @ other


def test_no_two_requests_carry_the_same_bytes_and_all_show_the_same_pixels():
    original = selfie(0).jpeg
    stream = never_the_same([original])
    first, second = next(stream), next(stream)
    assert len({original, first, second}) == 3
    assert (
        Image.open(io.BytesIO(first)).tobytes()
        == Image.open(io.BytesIO(second)).tobytes()
        == Image.open(io.BytesIO(original)).tobytes()
    )
