"""Further looks at a face."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.runner.local import extraction_of


@pytest.fixture(scope="module")
def one_look_only(pack_folder: Path) -> Extraction:
    return extraction_of(pack_folder, Settings(landmark_looks=0))


def _cosines(extraction: Extraction) -> list[float]:
    """Of each person of the group photo to selfies of the same person."""
    group = extraction.detect([photos.group_photo().read_bytes()])[0]
    assert isinstance(group, FacesInImage)
    known = extraction.embed(photos.group_photo().read_bytes(), [face.landmarks for face in group.faces])
    assert isinstance(known, FacesInImage)
    cosines = []
    for (face, indexed), degrees in product(zip(group.faces, known.faces, strict=True), (-12, 12)):
        selfie = photos.selfie_of(photos.group_photo(), face.bbox, degrees=degrees)
        found = extraction.detect_and_embed([selfie])[0]
        assert isinstance(found, FacesInImage)
        assert indexed.embedding is not None
        cosines.append(
            max(float(indexed.embedding @ f.embedding) for f in found.faces if f.embedding is not None)
        )
    return cosines


def test_further_looks_bring_selfies_closer_to_their_photo(
    extraction: Extraction, one_look_only: Extraction
) -> None:
    with_looks, without = _cosines(extraction), _cosines(one_look_only)
    assert np.mean(with_looks) > np.mean(without)
    assert min(with_looks) > max(0.5, min(without))


def test_what_a_second_look_does_not_find_is_no_face(
    extraction: Extraction, one_look_only: Extraction
) -> None:
    saucer = photos.coffee_cup().read_bytes()
    first = one_look_only.detect_and_embed([saucer])[0]
    assert isinstance(first, FacesInImage)
    assert first.faces  # the detector alone takes the saucer for a face, at the detection size of selfies
    second = extraction.detect_and_embed([saucer])[0]
    assert isinstance(second, FacesInImage)
    assert second.faces == ()
