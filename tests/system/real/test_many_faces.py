"""Adds and removes many faces through the API with four clients.

`MANY_FACES=10000 python -m pytest -s tests/system/real/test_many_faces.py` prints the duration.
"""

from __future__ import annotations

import io
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from bentos.demo import photos
from tests.system.real.mortal import TwoFaces
from tests.system.real.stack import Api, Stack, disagreements

pytestmark = [pytest.mark.system, pytest.mark.slow]

FACES = int(os.environ.get("MANY_FACES", "120"))
CLIENTS = 4
COLUMNS, ROWS = 10, 6


async def test_many_faces_added_by_four_clients_and_removed_leave_three_empty_stores(
    stack: Stack, api: Api, selfie: bytes
) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        numbers = range(math.ceil(FACES / (COLUMNS * ROWS)))
        walls = list(clients.map(lambda number: _added(api, number), numbers))
    faces = sum(len(wall["faces"]) for wall in walls)
    added = time.monotonic()
    assert faces >= 0.9 * FACES
    assert api.search(selfie, collection_id="walls").json()["count"] == min(10, len(walls))
    listed = api.status(collection_id="walls", status="indexed").json()
    assert listed["total"] == len(walls)

    removed = api.remove_all(collection_id="walls").json()
    assert removed == {"photos": len(walls), "faces_removed": faces}
    assert api.found(selfie, collection_id="walls") == []
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda photo_id: _purged(api, photo_id), _every_photo(api)))
    over = time.monotonic()
    print(
        f"{faces} faces added in {added - started:.0f} s ({faces / (added - started):.1f} per second), "
        f"removed and purged in {over - added:.0f} s"
    )

    async with stack.dependencies(TwoFaces()) as dependencies:
        assert (await dependencies.metadata.list_photos(limit=1, offset=0)).total == 0
        assert [row async for batch in dependencies.vectors.scan_faces() for row in batch] == []
        assert [name async for batch in dependencies.images.scan_images() for name in batch] == []
        assert await disagreements(dependencies) == {}


def _added(api: Api, number: int) -> dict[str, Any]:
    photo = api.detected(_wall(number), photo_id=f"wall-{number}", collection_id="walls")
    for face in photo["faces"]:
        added = api.add(face["face_id"])
        assert (added.status_code, added.json()["created"]) == (200, True), added.text
    return photo


def _purged(api: Api, photo_id: str) -> None:
    answer = api.remove(photo_id, purge=True)
    assert answer.status_code == 200, answer.text


def _every_photo(api: Api) -> list[str]:
    """Counts in all stores, including photos of other tests."""
    names: list[str] = []
    while rows := api.status(limit=500, offset=len(names)).json()["items"]:
        names += [row["photo_id"] for row in rows]
    return names


def _wall(number: int) -> bytes:
    """A photo that shows one person sixty times, with a different brightness for each number."""
    with Image.open(photos.astronaut()) as image:
        portrait = image.convert("RGB").crop((130, 20, 320, 230)).resize((95, 105))
    portrait = ImageEnhance.Brightness(portrait).enhance(0.8 + number % 40 / 100)
    wall = Image.new("RGB", (COLUMNS * 110, ROWS * 120), (255, 255 - number % 200, 255 - number // 200))
    for place in range(COLUMNS * ROWS):
        wall.paste(portrait, (7 + place % COLUMNS * 110, 7 + place // COLUMNS * 120))
    out = io.BytesIO()
    wall.save(out, "JPEG", quality=95)
    return out.getvalue()
