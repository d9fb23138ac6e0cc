"""Fills a vector store and a bucket with many photos of one person, so that one search finds them all."""

from __future__ import annotations

import asyncio
import io

import numpy as np
from PIL import Image

from bentos.config.settings import Settings
from bentos.domain.faces import BoundingBox, FacesInImage
from bentos.domain.ids import derive_face_id
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.local import extraction_of
from bentos.stores.factory import image_store, vector_store
from bentos.stores.records import FaceVector
from tests.web.photos_of_tests import astronaut_photo

DISTINCT = 40
"""Photos that go through the pipeline; the others are copies under other ids, with a little noise in the embedding."""
_NOISE = 0.25


async def fill(settings: Settings, count: int, *, width: int) -> int:
    """Store `count` photos of `width` pixels. Returns their bytes in all."""
    folder = face_pack_folder(settings.face_pack)
    extraction = extraction_of(folder, settings)
    images = [_photo(number, width) for number in range(min(count, DISTINCT))]
    faces = [_only_face(found) for found in extraction.detect_and_embed(images)]
    random = np.random.default_rng(0)
    vectors = vector_store(settings, PackInfo.read(folder))
    store = image_store(settings)
    await asyncio.gather(vectors.open(), store.open())
    rows = []
    for number in range(count):
        box, embedding = faces[number % DISTINCT]
        noise = random.standard_normal(len(embedding))
        near = embedding + _NOISE * noise / np.linalg.norm(noise)
        photo_id = f"photo-{number:05}"
        unit = (near / np.linalg.norm(near)).astype(np.float32)
        rows.append(FaceVector(derive_face_id(photo_id, box), photo_id, "many", box, unit))
    for first in range(0, count, 100):
        await vectors.save_faces(rows[first : first + 100])
        some = range(first, min(first + 100, count))
        await asyncio.gather(*(store.put(f"photo-{n:05}", images[n % DISTINCT], "image/jpeg") for n in some))
    await asyncio.gather(vectors.close(), store.close())
    return sum(len(images[number % DISTINCT]) for number in range(count))


def _only_face(found: object) -> tuple[BoundingBox, np.ndarray]:
    assert isinstance(found, FacesInImage)
    (face,) = found.faces
    assert face.embedding is not None
    return face.bbox, face.embedding


def _photo(number: int, width: int) -> bytes:
    with Image.open(io.BytesIO(astronaut_photo(number))) as opened:
        photo = opened.resize((width, width * opened.height // opened.width), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=85)
    return out.getvalue()
