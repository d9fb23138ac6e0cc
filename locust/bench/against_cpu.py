"""Compares the faces and embeddings of requests in batches, as the service answers them, with those of the CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from bentos.domain.errors import FaceSearchError
from bentos.domain.faces import Embedding, FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.methods import Method
from bentos.runner.codec import Request, Ticket, decode_faces, encode_request, split_timing
from bentos.runner.fixed_batches import FixedBatches

_SIZES = (1, 3, 8, 16)
"""Sizes of the batches: each of the networks' own sizes is used, full and padded."""

LEAST_ON_EQUAL_CROPS, LEAST_MEAN = 0.999, 0.99
"""Of cosines. TF32 keeps 0.999997 of an embedding; the landmarks that a file is cropped by move a little more."""


def against_the_cpu(ours: FixedBatches, reference: Extraction, files: Sequence[bytes]) -> dict[str, Any]:
    """Faces and embeddings of both over the same files, and embeddings of both at the landmarks of `reference`.

    `are_right`: as many faces in each file, with cosines of at least `LEAST_MEAN` in the mean, and on equal crops
    `LEAST_ON_EQUAL_CROPS`.
    """
    expected = reference.detect_and_embed(files)
    landmarks = [
        tuple(face.landmarks for face in each.faces) if isinstance(each, FacesInImage) else ()
        for each in expected
    ]
    requests = [Request(file, points) for file, points in zip(files, landmarks, strict=True)]
    found = _answers(ours, "detect_and_embed", requests)
    pairs = [pair for both in zip(found, expected, strict=True) for pair in _nearest(*both)]
    at_landmarks = reference.embed(list(zip(files, landmarks, strict=True)))
    equal = [
        pair
        for both in zip(_answers(ours, "embed", requests), at_landmarks, strict=True)
        for pair in _in_order(*both)
    ]
    cosines, on_equal_crops = ([float(a @ b) for a, b in each] for each in (pairs, equal))
    counts, wanted = ([_count(each) for each in answers] for answers in (found, expected))
    others = sum(a != b for a, b in zip(counts, wanted, strict=True))
    are_right = (
        not others
        and len(on_equal_crops) == sum(wanted)
        and min(on_equal_crops, default=0) >= LEAST_ON_EQUAL_CROPS
        and float(np.mean(cosines or [0])) >= LEAST_MEAN
    )
    return {
        "are_right": are_right,
        "files": len(files),
        "files_with_another_number_of_faces": others,
        "faces": sum(counts),
        "faces_of_the_cpu": sum(wanted),
        "least_cosine": _rounded(min(cosines, default=math.nan)),
        "mean_cosine": _rounded(float(np.mean(cosines or [math.nan]))),
        "least_cosine_on_equal_crops": _rounded(min(on_equal_crops, default=math.nan)),
        "mean_cosine_on_equal_crops": _rounded(float(np.mean(on_equal_crops or [math.nan]))),
    }


_Answer = FacesInImage | FaceSearchError
_Pair = tuple[Embedding, Embedding]


def _answers(ours: FixedBatches, method: Method, requests: Sequence[Request]) -> list[_Answer]:
    left, sizes, found = list(requests), cycle(_SIZES), []
    while left:
        size = next(sizes)
        payloads = [encode_request(each, Ticket()) for each in left[:size]]
        found += [_decoded(answer) for answer in ours.answers(method, payloads)]
        left = left[size:]
    return found


def _decoded(answer: bytes) -> _Answer:
    try:
        return decode_faces(split_timing(answer)[1])
    except FaceSearchError as error:
        return error


def _nearest(found: _Answer, expected: _Answer) -> Iterator[_Pair]:
    """The embeddings of each expected face and of the found one that overlaps it best."""
    if isinstance(found, FacesInImage) and isinstance(expected, FacesInImage) and found.faces:
        for face in expected.faces:
            other = max(found.faces, key=lambda each, box=face.bbox: each.bbox.iou(box))  # type: ignore[misc]
            if other.embedding is not None and face.embedding is not None:
                yield other.embedding, face.embedding


def _in_order(found: _Answer, expected: _Answer) -> Iterator[_Pair]:
    if isinstance(found, FacesInImage) and isinstance(expected, FacesInImage):
        for a, b in zip(found.faces, expected.faces, strict=False):
            if a.embedding is not None and b.embedding is not None:
                yield a.embedding, b.embedding


def _count(answer: _Answer) -> int:
    return len(answer.faces) if isinstance(answer, FacesInImage) else 0


def _rounded(cosine: float) -> float:
    return round(cosine, 6)
