"""Encodes requests to the runner and its answers.

A request is a ticket of fixed size, a line of JSON, and the bytes of the image. An answer is the timing of its batch, a
line of JSON, and one float32 row for each face, because 512 numbers as text would cost more than the rest of the call.
An error is sent as its code, so that a broken image does not fail the other images of its batch.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from bentos.domain.errors import (
    DependencyUnavailable,
    FaceSearchError,
    ImageTooLarge,
    InternalError,
    InvalidImageFormat,
)
from bentos.domain.faces import BoundingBox, Face, FacesInImage, Landmarks
from bentos.pipeline.wanted import Dropped

_LANDMARK_COLUMNS = 10
_FIXED_COLUMNS = 5 + _LANDMARK_COLUMNS  # box, score, landmarks; the embedding follows

_ERRORS: Mapping[str, Callable[[str, Mapping[str, object]], FaceSearchError]] = {
    InvalidImageFormat.code: InvalidImageFormat,
    ImageTooLarge.code: ImageTooLarge,
    Dropped.code: lambda _message, _details: DependencyUnavailable("runner", "it did not answer in time"),
}


_TIMING = struct.Struct("<5dI")


class Timing(NamedTuple):
    """When the runner began a batch, on the machine's monotonic clock, and how long the stages took; seconds.
    `batch`: how many images were in the batch.
    """

    began: float
    decode: float
    detect: float
    align: float
    embed: float
    batch: int = 1


def with_timing(timing: Timing, payload: bytes) -> bytes:
    """The payload of one item, after the timing of its batch."""
    return _TIMING.pack(*timing) + payload


def split_timing(timed: bytes) -> tuple[Timing, bytes]:
    """Split what `with_timing` has made into the timing and the payload."""
    return Timing(*_TIMING.unpack_from(timed)), timed[_TIMING.size :]


_TICKET = struct.Struct("<Qd?")


class Ticket(NamedTuple):
    """The fields of a request that the transport needs, sent in front of the request.

    `number`: 64 bits, unique to the request. `deadline`: on the machine's monotonic clock, s; after it no caller waits
    for the answer. `alone`: no other request may be in the batch, because a process has ended while it worked on this
    request.
    """

    number: int = 0
    deadline: float = math.inf
    alone: bool = False


class Request(NamedTuple):
    """An image and, where needed, the faces to embed: known by their `landmarks`, or the face at a `box`."""

    image: bytes
    landmarks: tuple[Landmarks, ...] = ()
    box: BoundingBox = BoundingBox(0.0, 0.0, 0.0, 0.0)


def encode_request(request: Request, ticket: Ticket) -> bytes:
    """Encode a request."""
    header = {"landmarks": request.landmarks, "box": request.box.as_list()}
    return b"".join((_TICKET.pack(*ticket), json.dumps(header).encode(), b"\n", request.image))


def decode_request(payload: bytes) -> Request:
    """A request again."""
    end = payload.index(b"\n", _TICKET.size)
    header = json.loads(payload[_TICKET.size : end])
    landmarks = tuple(tuple((x, y) for x, y in points) for points in header["landmarks"])
    return Request(payload[end + 1 :], landmarks, BoundingBox(*header["box"]))


def asked_of(method: str, request: Request) -> Any:
    """What the method of the pipeline with this name takes for a request (see `pipeline.extraction`)."""
    if method == "embed":
        return request.image, request.landmarks
    if method in {"embed_at", "embed_only_at"}:
        return request.image, request.box
    return request.image


def ticket_of(payload: bytes) -> Ticket:
    """The ticket of an encoded request."""
    return Ticket(*_TICKET.unpack_from(payload))


def encode_faces(found: FacesInImage) -> bytes:
    """Encode the faces of one image; landmarks and embeddings as float32."""
    dim = next((len(f.embedding) for f in found.faces if f.embedding is not None), 0)
    rows = np.empty((len(found.faces), _FIXED_COLUMNS + dim), dtype=np.float32)
    for row, face in zip(rows, found.faces, strict=True):
        row[:4] = face.bbox.as_list()
        row[4] = face.score
        row[5:_FIXED_COLUMNS] = np.asarray(face.landmarks, dtype=np.float32).ravel()
        row[_FIXED_COLUMNS:] = np.nan if face.embedding is None else face.embedding
    header = {
        "width": found.width,
        "height": found.height,
        "columns": rows.shape[1],
        "left_out": found.left_out,
    }
    return json.dumps(header).encode() + b"\n" + rows.tobytes()


def encode_answer(found: FacesInImage | FaceSearchError) -> bytes:
    """Encode the result for one image: faces or an error."""
    return encode_error(found) if isinstance(found, FaceSearchError) else encode_faces(found)


def encode_error(error: FaceSearchError) -> bytes:
    """Encode the error for one image."""
    return (
        json.dumps({"error": error.code, "message": error.message, "details": error.details}).encode() + b"\n"
    )


def decode_faces(payload: bytes) -> FacesInImage:
    """Decode the faces of one image. Raises the error that was sent instead; `InternalError` for an unknown code."""
    line, _, table = payload.partition(b"\n")
    header = json.loads(line)
    if "error" in header:
        known = _ERRORS.get(header["error"])
        raise known(header["message"], header["details"]) if known else InternalError()
    rows = np.frombuffer(table, dtype=np.float32).reshape(-1, header["columns"])
    width, height = header["width"], header["height"]
    return FacesInImage(width, height, tuple(_face(row, width, height) for row in rows), header["left_out"])


def _face(row: np.ndarray[tuple[int], np.dtype[np.float32]], width: int, height: int) -> Face:
    points = row[5:_FIXED_COLUMNS].reshape(5, 2).tolist()
    embedding = row[_FIXED_COLUMNS:]
    return Face(
        bbox=BoundingBox.clipped(row[:4], width, height),
        score=round(float(row[4]), 4),
        landmarks=tuple((x, y) for x, y in points),
        embedding=embedding if embedding.size and not np.isnan(embedding[0]) else None,
    )
