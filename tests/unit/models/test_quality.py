"""The figures of docs/face-packs.md, as bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bentos.config.settings import Settings
from bentos.runner.local import extraction_of
from models.quality import Quality


@pytest.fixture(scope="module")
def quality(pack_folder: Path) -> Quality:
    return Quality(extraction_of(pack_folder, Settings()))


def test_the_very_file_that_was_indexed_is_found_with_a_cosine_of_one_to_a_hundredth(
    quality: Quality,
) -> None:
    assert len(quality.people) == 8
    assert min(quality.same_file()) >= 0.99


def test_the_same_pixels_in_another_format_are_the_same_face(quality: Quality) -> None:
    assert np.mean(quality.same_pixels()) >= 0.98
    assert min(quality.same_pixels()) >= 0.97


@pytest.mark.parametrize(
    ("kind", "mean", "least"),
    [
        ("format", 0.98, 0.96),
        ("quality 75, 50, 30", 0.975, 0.95),
        ("scale 0.3 to 2", 0.975, 0.95),
        ("rotation ±10, 20, 30°", 0.975, 0.8),
        ("crop", 0.975, 0.85),
        ("light 0.6 to 1.5", 0.93, 0.7),
    ],
)
def test_an_altered_selfie_stays_close_to_its_person(
    quality: Quality, kind: str, mean: float, least: float
) -> None:
    cosines = [cosine for cosine in quality.altered[kind] if cosine > 0]
    assert len(cosines) >= len(quality.altered[kind]) - 1
    assert np.mean(cosines) >= mean
    assert min(cosines) >= least
