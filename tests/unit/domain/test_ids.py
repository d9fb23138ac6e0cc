"""Tests of ids: the same input gives the same id, and malformed ids are refused."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.domain.faces import BoundingBox
from bentos.domain.ids import derive_face_id, derive_photo_id, image_digest, is_face_id, is_valid_id


def test_a_photo_id_depends_on_the_bytes_and_the_collection() -> None:
    digest = image_digest(b"photo")
    assert derive_photo_id(digest, None) == derive_photo_id(digest, None)
    ids = {derive_photo_id(d, c) for d in (digest, image_digest(b"other")) for c in (None, "a", "b")}
    assert len(ids) == 6
    assert all(is_valid_id(photo_id) for photo_id in ids)


def test_a_face_id_depends_on_the_photo_and_the_box() -> None:
    box = BoundingBox(1.0, 2.0, 3.0, 4.0)
    face_id = derive_face_id("p", box)
    assert uuid.UUID(face_id).version == 5
    assert derive_face_id("p", BoundingBox(1.04, 2.0, 3.0, 4.0)) == face_id
    assert derive_face_id("p", BoundingBox(1.1, 2.0, 3.0, 4.0)) != face_id
    assert derive_face_id("q", box) != face_id


@pytest.mark.parametrize("value", ["a", "A9", "photo_1.jpg", "a" * 128, "0-._"])
def test_ids_of_the_contract_are_valid(value: str) -> None:
    assert is_valid_id(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".a",
        "-a",
        "_a",
        "a" * 129,
        "a b",
        "a\n",
        "a/b",
        "a\\b",
        'a"b',
        "a'b",
        "a%b",
        "é",
        "a\u0430",
        "a\x00",
        "\u0660",
    ],
)
def test_other_texts_are_no_valid_ids(value: str) -> None:
    assert not is_valid_id(value)


@given(st.text())
def test_an_id_never_needs_quoting(value: str) -> None:
    if is_valid_id(value):
        assert set(value) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.mark.parametrize(
    "value", ["{0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11}", "0a4f9f6e6f0e5c1c8a385b7d9f0f6f11", "x", ""]
)
def test_a_face_id_has_one_canonical_form(value: str) -> None:
    assert not is_face_id(value)
    assert is_face_id("0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11")
