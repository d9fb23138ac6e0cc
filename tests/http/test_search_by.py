"""Tests of searches by an indexed face, by the largest face of an image, and by a box in an image."""

from __future__ import annotations

import json

import pytest

from tests.http.conftest import Api
from tests.http.test_whole_photos import calls_of

UNKNOWN = "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11"


async def _indexed(api: Api, image: bytes, **fields: str) -> list[dict[str, object]]:
    answer = await api.detect(image, index="true", **fields)
    assert answer.status_code == 200, answer.text
    faces: list[dict[str, object]] = answer.json()["faces"]
    return faces


async def test_an_indexed_face_finds_the_photos_of_that_person_without_the_runner(
    api: Api, group_photo: bytes, astronaut: bytes
) -> None:
    faces = await _indexed(api, group_photo, photo_id="one", collection_id="c")
    twins = await _indexed(api, group_photo, photo_id="two", collection_id="d")
    await _indexed(api, astronaut)
    before = [calls_of("runner", verb) for verb in ("embed_only_face", "embed", "detect")]
    answer = (await api.search(face_id=faces[2]["face_id"])).json()
    assert [calls_of("runner", verb) for verb in ("embed_only_face", "embed", "detect")] == before
    assert [match["photo_id"] for match in answer["results"]] == ["one", "two"]
    assert [match["face_id"] for match in answer["results"]] == [faces[2]["face_id"], twins[2]["face_id"]]
    assert answer["results"][0]["score"] > 0.9999
    assert answer["query"] == {"bbox": faces[2]["bbox"], "score": None}
    narrowed = (await api.search(face_id=faces[2]["face_id"], collection_id="d", top_k="1")).json()
    assert [match["photo_id"] for match in narrowed["results"]] == ["two"]


async def test_a_face_that_is_not_indexed_is_not_found(api: Api, group_photo: bytes) -> None:
    detected = (await api.detect(group_photo)).json()["faces"][0]["face_id"]
    for face_id in (UNKNOWN, detected):
        refused = await api.search(face_id=face_id)
        assert (refused.status_code, refused.json()["error"]) == (404, "face_not_found")
        assert refused.json()["details"] == {"face_id": face_id}
    await api.add(face_id=detected)
    assert (await api.search(face_id=detected.upper())).status_code == 200


async def test_a_removed_face_is_not_found(api: Api, astronaut: bytes) -> None:
    [face] = await _indexed(api, astronaut, photo_id="gone")
    await api.client.delete("/remove/gone")
    refused = await api.search(face_id=face["face_id"])
    assert (refused.status_code, refused.json()["error"]) == (404, "face_not_found")


async def test_the_box_of_an_error_chooses_the_face(api: Api, group_photo: bytes) -> None:
    faces = await _indexed(api, group_photo)
    refused = await api.search(group_photo)
    assert (refused.status_code, refused.json()["error"]) == (422, "too_many_faces")
    assert "bbox" in refused.json()["message"]
    listed = refused.json()["details"]["faces"]
    assert len(listed) == 6
    found = []
    for each in listed:
        answer = (await api.search(group_photo, bbox=json.dumps(each["bbox"]))).json()
        assert answer["results"][0]["score"] > 0.9
        assert answer["query"]["score"] > 0.5
        found.append(answer["results"][0]["face_id"])
    assert sorted(found) == sorted(str(face["face_id"]) for face in faces)


@pytest.mark.parametrize("box", ["[400, 380, 500, 500]", "[0, 0, 512, 512]", "[-90, -90, -10, -10]"])
async def test_a_box_that_overlaps_no_face_by_half_is_refused(api: Api, astronaut: bytes, box: str) -> None:
    refused = await api.search(astronaut, bbox=box)
    assert (refused.status_code, refused.json()["error"]) == (422, "no_faces_detected")


async def test_the_largest_face_is_searched_for(api: Api, group_photo: bytes) -> None:
    faces = await _indexed(api, group_photo)

    def area(face: dict[str, object]) -> float:
        x1, y1, x2, y2 = face["bbox"]  # type: ignore[misc]
        return float((x2 - x1) * (y2 - y1))

    largest = max(faces, key=area)
    answer = (await api.search(group_photo, face="largest")).json()
    assert answer["results"][0]["face_id"] == largest["face_id"]
    assert answer["query"]["bbox"] == largest["bbox"]


async def test_only_is_the_default(api: Api, group_photo: bytes, selfie: bytes, coffee_cup: bytes) -> None:
    refused = await api.search(group_photo, face="only")
    assert (refused.status_code, refused.json()["error"]) == (422, "too_many_faces")
    assert (await api.search(selfie, face="only")).status_code == 200
    for fields in ({"face": "largest"}, {"face": "only"}, {"bbox": "[0, 0, 90, 90]"}):
        empty = await api.search(coffee_cup, **fields)
        assert (empty.status_code, empty.json()["error"]) == (422, "no_faces_detected")


@pytest.mark.parametrize(
    ("with_file", "fields", "named"),
    [
        (False, {}, "file"),
        (False, {"face": "largest"}, "file"),
        (False, {"bbox": "[0, 0, 9, 9]"}, "file"),
        (True, {"face_id": UNKNOWN}, "file"),
        (False, {"face_id": UNKNOWN, "face": "only"}, "file"),
        (False, {"face_id": UNKNOWN, "bbox": "[0, 0, 9, 9]"}, "file"),
        (True, {"face": "only", "bbox": "[0, 0, 9, 9]"}, "face"),
        (True, {"face": "smallest"}, "face"),
        (True, {"face": ""}, "face"),
        (True, {"bbox": "[0, 0, 9]"}, "bbox"),
        (True, {"bbox": "[9, 9, 0, 0]"}, "bbox"),
        (False, {"face_id": "no-uuid"}, "face_id"),
        (False, {"face_id": ""}, "face_id"),
        (False, {"face_id": [UNKNOWN, UNKNOWN]}, "face_id"),
        (True, {"face": ["only", "largest"]}, "face"),
    ],
)
async def test_fields_that_contradict_or_are_malformed_are_named(
    api: Api, selfie: bytes, with_file: bool, fields: dict[str, str], named: str
) -> None:
    refused = await api.search(selfie if with_file else None, **fields)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert list(refused.json()["details"]["fields"]) == [named]
