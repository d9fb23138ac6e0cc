"""Tests of `DELETE /remove/{photo_id}?face_id=`, which removes one face of a photo."""

from __future__ import annotations

import pytest

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.http.conftest import Api

UNKNOWN = "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11"


def _selfie(bbox: list[float]) -> bytes:
    return photos.selfie_of(photos.group_photo(), BoundingBox(*bbox))


async def test_one_face_of_six_is_removed_and_the_others_are_found(api: Api, group_photo: bytes) -> None:
    photo = (await api.detect(group_photo, index="true")).json()
    wrong, *others = photo["faces"]
    path = f"/remove/{photo['photo_id']}?face_id={wrong['face_id']}"
    for removed in (1, 0, 0):
        answer = await api.client.delete(path)
        assert (answer.status_code, answer.json()) == (
            200,
            {"photo_id": photo["photo_id"], "faces_removed": removed},
        )
        assert (await api.search(_selfie(wrong["bbox"]))).json()["results"] == []
    for face in others:
        found = (await api.search(_selfie(face["bbox"]))).json()["results"]
        assert [match["face_id"] for match in found] == [face["face_id"]]
    shown = (await api.client.get(f"/embed_status/{photo['photo_id']}")).json()
    assert shown["faces"] == others
    assert (shown["status"], shown["faces_detected"], shown["faces_indexed"]) == ("indexed", 5, 5)
    gone = await api.add(face_id=wrong["face_id"])
    assert (gone.status_code, gone.json()["error"]) == (404, "face_not_found")


async def test_a_removed_face_returns_when_the_photo_is_indexed_again(api: Api, astronaut: bytes) -> None:
    photo = (await api.detect(astronaut, index="true")).json()
    path = f"/remove/{photo['photo_id']}?face_id={photo['faces'][0]['face_id']}"
    assert (await api.client.delete(path)).json()["faces_removed"] == 1
    assert (await api.detect(astronaut, index="true")).json() == photo
    assert (await api.client.delete(path)).json()["faces_removed"] == 1


async def test_a_face_that_the_photo_never_had_is_not_found(
    api: Api, astronaut: bytes, group_photo: bytes
) -> None:
    mine = (await api.detect(astronaut, photo_id="mine", index="true")).json()
    other = (await api.detect(group_photo, photo_id="other", index="true")).json()
    for face_id in (UNKNOWN, other["faces"][0]["face_id"]):
        refused = await api.client.delete(f"/remove/mine?face_id={face_id}")
        assert (refused.status_code, refused.json()["error"]) == (404, "face_not_found")
    nowhere = await api.client.delete(f"/remove/nowhere?face_id={UNKNOWN}")
    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "photo_not_found")
    assert (await api.status(status="indexed"))["total"] == 2
    await api.client.delete("/remove/mine?purge=true")
    purged = await api.client.delete(f"/remove/mine?face_id={mine['faces'][0]['face_id']}")
    assert (purged.status_code, purged.json()["faces_removed"]) == (200, 0)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (f"face_id={UNKNOWN}&purge=true", "purge"),
        ("face_id=no-uuid", "face_id"),
        ("face_id=", "face_id"),
        (f"face_id={UNKNOWN}&face_id={UNKNOWN}", "face_id"),
    ],
)
async def test_a_query_that_is_malformed_removes_nothing(
    api: Api, astronaut: bytes, query: str, named: str
) -> None:
    await api.detect(astronaut, photo_id="p", index="true")
    refused = await api.client.delete(f"/remove/p?{query}")
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert list(refused.json()["details"]["fields"]) == [named]
    assert (await api.status(status="indexed"))["total"] == 1
