"""Tests of the fields of an ordinary search; all others are left to FastAPI."""

from __future__ import annotations

import pytest

from bentos.http.small_forms import SmallForm
from bentos.search.query import PageRequest
from bentos.search.quick_route import Limits, fields_of

LIMITS = Limits(max_bytes=10, top_k_default=10, top_k_max=100, score_threshold=0.5)


def read(files: dict[str, list[bytes]] | None = None, **texts: list[str]) -> tuple[bytes, PageRequest] | None:
    return fields_of(SmallForm({"file": [b"jpeg"]} if files is None else files, texts), LIMITS)


def test_a_file_alone_is_searched_with_the_defaults() -> None:
    assert read() == (b"jpeg", PageRequest([], 10, 1, 0.5, False))


def test_valid_fields_are_read() -> None:
    asked = read(
        collection_id=["a", "b"], top_k=["100"], score_threshold=["-0.25"], page=["3"], include_url=["true"]
    )
    assert asked == (b"jpeg", PageRequest(["a", "b"], 100, 3, -0.25, True))


@pytest.mark.parametrize(
    "texts",
    [
        {"top_k": ["0"]},
        {"top_k": ["101"]},
        {"top_k": ["+1"]},
        {"top_k": [" 1"]},
        {"top_k": ["1_0"]},
        {"top_k": ["٣"]},
        {"top_k": ["1", "2"]},
        {"top_k": [""]},
        {"score_threshold": ["1.5"]},
        {"score_threshold": ["nan"]},
        {"score_threshold": ["1e-1"]},
        {"page": ["2147483648"]},
        {"include_url": ["yes"]},
        {"collection_id": [""]},
        {"collection_id": ["../x"]},
        {"unknown": ["1"]},
        {"face": ["largest"]},
        {"face_id": ["0b5b3f3e-0000-5000-8000-000000000000"]},
        {"bbox": ["[1, 2, 3, 4]"]},
        {"file": ["text"]},
    ],
)
def test_fields_that_may_be_wrong_are_left_to_fastapi(texts: dict[str, list[str]]) -> None:
    assert read(**texts) is None


@pytest.mark.parametrize(
    "files",
    [{}, {"file": []}, {"file": [b""]}, {"file": [b"a", b"b"]}, {"file": [b"x" * 11]}, {"other": [b"a"]}],
)
def test_a_file_that_is_missing_empty_repeated_or_too_large_is_left_to_fastapi(
    files: dict[str, list[bytes]],
) -> None:
    assert read(files) is None
