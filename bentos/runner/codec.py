"""What crosses the hop between a service and its runner: a line of JSON, then the bytes of an image one way, one
float32 row a face the other.

The numbers travel as raw float32 because 512 of them as text would cost more than the hop itself. A failure
travels as its error code, so that one broken image in a batch fails alone and keeps its name.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from bentos.domain.errors import (
    FaceSearchError,
    ImageTooLarge,
    InternalError,
    InvalidImageFormat,
)
from bentos.domain.faces import BoundingBox, Face, FacesInImage, Landmarks

_LANDMARK_COLUMNS = 10
_FIXED_COLUMNS = 5 + _LANDMARK_COLUMNS  # box, score, landmarks; the embedding follows

_ERRORS: Mapping[str, Callable[[str, Mapping[str, object]], FaceSearchError]] = {
    InvalidImageFormat.code: InvalidImageFormat,
    ImageTooLarge.code: ImageTooLarge,
}


_TIMING = struct.Struct("<5d")


class Timing(NamedTuple):
    """When the runner began with a batch, by the machine's monotonic clock, and the stages that followed; seconds."""

    began: float
    decode: float
    detect: float
    align: float
    embed: float


def with_timing(timing: Timing, payload: bytes) -> bytes:
    """The payload of one item with the timing of its batch."""
    return _TIMING.pack(*timing) + payload


def split_timing(timed: bytes) -> tuple[Timing, bytes]:
    """The timing and the payload again."""
    return Timing(*_TIMING.unpack_from(timed)), timed[_TIMING.size :]


class Request(NamedTuple):
    """An image, and what of it is asked for: faces known by their `landmarks`, or those in a `region`."""

    image: bytes
    landmarks: tuple[Landmarks, ...] = ()
    region: BoundingBox = BoundingBox(0.0, 0.0, 0.0, 0.0)


def encode_request(request: Request) -> bytes:
    """A request as bytes."""
    header = {"landmarks": request.landmarks, "region": request.region.as_list()}
    return json.dumps(header).encode() + b"\n" + request.image


def decode_request(payload: bytes) -> Request:
    """A request again."""
    line, _, image = payload.partition(b"\n")
    header = json.loads(line)
    landmarks = tuple(tuple((x, y) for x, y in points) for points in header["landmarks"])
    return Request(image, landmarks, BoundingBox(*header["region"]))


def encode_faces(found: FacesInImage) -> bytes:
    """The faces of one image as bytes; landmarks and embeddings as float32."""
    dim = next((len(f.embedding) for f in found.faces if f.embedding is not None), 0)
    rows = np.empty((len(found.faces), _FIXED_COLUMNS + dim), dtype=np.float32)
    for row, face in zip(rows, found.faces, strict=True):
        row[:4] = face.bbox.as_list()
        row[4] = face.score
        row[5:_FIXED_COLUMNS] = np.asarray(face.landmarks, dtype=np.float32).ravel()
        row[_FIXED_COLUMNS:] = np.nan if face.embedding is None else face.embedding
    header = {"width": found.width, "height": found.height, "columns": rows.shape[1]}
    return json.dumps(header).encode() + b"\n" + rows.tobytes()


def encode_answer(found: FacesInImage | FaceSearchError) -> bytes:
    """What became of one image as bytes."""
    return encode_error(found) if isinstance(found, FaceSearchError) else encode_faces(found)


def encode_error(error: FaceSearchError) -> bytes:
    """A failure of one image as bytes."""
    return (
        json.dumps({"error": error.code, "message": error.message, "details": error.details}).encode() + b"\n"
    )


def decode_faces(payload: bytes) -> FacesInImage:
    """The faces of one image again. Raises the error that travelled instead, `InternalError` for an unknown one."""
    line, _, table = payload.partition(b"\n")
    header = json.loads(line)
    if "error" in header:
        known = _ERRORS.get(header["error"])
        raise known(header["message"], header["details"]) if known else InternalError()
    rows = np.frombuffer(table, dtype=np.float32).reshape(-1, header["columns"])
    width, height = header["width"], header["height"]
    return FacesInImage(width, height, tuple(_face(row, width, height) for row in rows))


def _face(row: np.ndarray[tuple[int], np.dtype[np.float32]], width: int, height: int) -> Face:
    points = row[5:_FIXED_COLUMNS].reshape(5, 2).tolist()
    embedding = row[_FIXED_COLUMNS:]
    return Face(
        bbox=BoundingBox.clipped(row[:4], width, height),
        score=round(float(row[4]), 4),
        landmarks=tuple((x, y) for x, y in points),
        embedding=embedding if embedding.size and not np.isnan(embedding[0]) else None,
    )
