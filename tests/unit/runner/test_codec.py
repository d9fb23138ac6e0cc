"""Tests that requests and answers are decoded to what was encoded."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.domain.errors import (
    DependencyUnavailable,
    ImageTooLarge,
    InternalError,
    InvalidImageFormat,
    NotReady,
)
from bentos.domain.faces import BoundingBox, Face, FacesInImage
from bentos.pipeline.wanted import Dropped
from bentos.runner.codec import (
    Request,
    Ticket,
    Timing,
    decode_faces,
    decode_request,
    encode_error,
    encode_faces,
    encode_request,
    split_timing,
    ticket_of,
    with_timing,
)

POINTS = ((30.5, 40.25), (60.0, 41.0), (45.125, 60.0), (33.0, 75.0), (58.0, 76.5))


def _face(embedding: np.ndarray | None) -> Face:
    return Face(BoundingBox(10.1, 20.2, 1279.9, 885.7), 0.8125, POINTS, embedding)


def test_a_request_arrives_as_it_was_sent() -> None:
    sent = Request(b"\n{}\n\xff", (POINTS, POINTS[::-1]), BoundingBox(1.5, 2.0, 30.25, 4.0))
    for ticket in (Ticket(), Ticket(2**64 - 1, 12345.0625, alone=True), Ticket(0x0A0A0A0A0A0A0A0A, 0.0)):
        payload = encode_request(sent, ticket)
        assert decode_request(payload) == sent
        assert ticket_of(payload) == ticket


def test_a_timing_is_sent_in_front_of_the_answer() -> None:
    timing = Timing(began=1000.5, decode=0.01, detect=0.02, align=0.003, embed=0.0, batch=7)
    assert split_timing(with_timing(timing, b"answer")) == (timing, b"answer")


def test_faces_arrive_as_they_were_sent() -> None:
    embedding = np.random.default_rng(0).normal(size=512).astype(np.float32)
    sent = FacesInImage(1280, 886, (_face(embedding), _face(embedding[::-1])))
    got = decode_faces(encode_faces(sent))
    assert (got.width, got.height, len(got.faces)) == (1280, 886, 2)
    for before, after in zip(sent.faces, got.faces, strict=True):
        assert (after.bbox, after.score, after.landmarks) == (before.bbox, before.score, before.landmarks)
        assert after.embedding is not None
        assert after.embedding.dtype == np.float32
        np.testing.assert_array_equal(after.embedding, before.embedding)


def test_faces_without_embeddings_arrive_without() -> None:
    got = decode_faces(encode_faces(FacesInImage(1280, 886, (_face(None),))))
    assert got.faces[0].embedding is None


def test_one_face_without_an_embedding_among_others_arrives_without() -> None:
    sent = FacesInImage(1280, 886, (_face(np.ones(4, np.float32)), _face(None)))
    got = decode_faces(encode_faces(sent))
    assert got.faces[0].embedding is not None
    assert got.faces[1].embedding is None


def test_the_number_of_faces_left_out_arrives() -> None:
    sent = FacesInImage(1280, 886, (_face(None),), left_out=250)
    assert decode_faces(encode_faces(sent)).count == 251


def test_an_image_that_was_dropped_has_no_answer_in_time() -> None:
    with pytest.raises(DependencyUnavailable, match="in time"):
        decode_faces(encode_error(Dropped()))


def test_an_image_without_faces_arrives() -> None:
    assert decode_faces(encode_faces(FacesInImage(5, 6, ()))) == FacesInImage(5, 6, ())


@pytest.mark.parametrize(
    "error", [InvalidImageFormat("It is cut short."), ImageTooLarge("Too many.", {"max_pixels": 5})]
)
def test_an_error_is_raised_again_on_the_other_side(error: InvalidImageFormat | ImageTooLarge) -> None:
    with pytest.raises(type(error)) as caught:
        decode_faces(encode_error(error))
    assert (caught.value.message, caught.value.details) == (error.message, error.details)


def test_an_error_that_no_image_can_cause_is_a_bug() -> None:
    with pytest.raises(InternalError):
        decode_faces(encode_error(NotReady("?")))
