"""Tests of `index=true`, which indexes every face of a photo in one call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from bentos.pipeline.extraction import Extraction
from tests.http.conftest import Api, serving_in_process


async def test_every_face_of_a_photo_is_found_after_one_call(api: Api, group_photo: bytes) -> None:
    answer = await api.detect(group_photo, index="true", collection_id="office")
    assert answer.status_code == 200, answer.text
    photo = answer.json()
    assert [(face["status"], face["reason"]) for face in photo["faces"]] == [("indexed", None)] * 6
    for face in photo["faces"]:
        found = (await api.search(_selfie(face["bbox"]), collection_id="office")).json()["results"]
        assert [match["face_id"] for match in found] == [face["face_id"]]
    item = (await api.status())["items"][0]
    assert (item["status"], item["faces_detected"], item["faces_indexed"]) == ("indexed", 6, 6)


async def test_detecting_without_it_says_which_faces_are_indexed_already(
    api: Api, group_photo: bytes
) -> None:
    photo = (await api.detect(group_photo, index="false")).json()
    assert [(face["status"], face["reason"]) for face in photo["faces"]] == [("detected", None)] * 6
    await api.add(face_id=photo["faces"][0]["face_id"])
    again = (await api.detect(group_photo)).json()
    assert [face["status"] for face in again["faces"]] == ["indexed", *["detected"] * 5]


def calls_of(dependency: str, operation: str) -> float:
    """How many calls of one operation this process has made."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "face_search_dependency_calls_total"
        and (sample.labels["dependency"], sample.labels["operation"]) == (dependency, operation)
    )


@pytest.mark.parametrize("is_stored", [False, True])
async def test_the_photo_is_read_once_and_written_once(
    api: Api, group_photo: bytes, tmp_path: Path, is_stored: bool
) -> None:
    counted = [
        ("runner", "detect_and_embed"),
        ("runner", "detect"),
        ("runner", "embed"),
        ("object_store", "get"),
        ("object_store", "put"),
        ("milvus", "save_faces"),
    ]
    if is_stored:
        (tmp_path / "images" / "stored").write_bytes(group_photo)
    before = [calls_of(*each) for each in counted]
    if is_stored:
        answer = await api.detect(photo_id="stored", index="true")
    else:
        answer = await api.detect(group_photo, index="true")
    assert {face["status"] for face in answer.json()["faces"]} == {"indexed"}
    after = [calls_of(*each) for each in counted]
    made = [now - then for now, then in zip(after, before, strict=True)]
    assert made == ([1, 0, 0, 1, 0, 1] if is_stored else [1, 0, 0, 0, 1, 1])


async def test_repeating_it_gives_the_same_answer(api: Api, group_photo: bytes) -> None:
    first = await api.detect(group_photo, index="true")
    assert (await api.detect(group_photo, index="true")).json() == first.json()
    assert (await api.detect(photo_id=first.json()["photo_id"], index="true")).json() == first.json()
    assert (await api.status())["total"] == 1


async def test_it_completes_a_photo_of_which_some_faces_are_indexed(api: Api, group_photo: bytes) -> None:
    photo = (await api.detect(group_photo)).json()
    added = await api.add(face_id=photo["faces"][3]["face_id"])
    assert added.status_code == 200
    whole = (await api.detect(photo_id=photo["photo_id"], index="true", collection_id="late")).json()
    assert {face["status"] for face in whole["faces"]} == {"indexed"}
    for face in (photo["faces"][3], photo["faces"][0]):
        found = (await api.search(_selfie(face["bbox"]), collection_id="late")).json()["results"]
        assert [match["face_id"] for match in found] == [face["face_id"]]


async def test_a_photo_without_faces_is_refused_as_without_it(api: Api, coffee_cup: bytes) -> None:
    refused = await api.detect(coffee_cup, index="true")
    assert (refused.status_code, refused.json()["error"]) == (422, "no_faces_detected")
    assert (await api.status(status="no_faces"))["total"] == 1
    again = await api.detect(photo_id=refused.json()["details"]["photo_id"], index="true")
    assert (again.status_code, again.json()["error"]) == (422, "no_faces_detected")


async def test_a_face_below_the_smallest_size_is_left_out_until_it_is_added(
    environment: Callable[..., Settings], extraction: Extraction, group_photo: bytes
) -> None:
    async with serving_in_process(environment(index_min_face_size=100), extraction) as client:
        api = Api(client)
        photo = (await api.detect(group_photo, index="true")).json()
        outcomes = {face["face_id"]: (face["status"], face["reason"]) for face in photo["faces"]}
        small = [face for face in photo["faces"] if BoundingBox(*face["bbox"]).shorter_side < 100]
        assert 0 < len(small) < 6
        for face in photo["faces"]:
            expected = ("detected", "too_small") if face in small else ("indexed", None)
            assert outcomes[face["face_id"]] == expected
        selfie = _selfie(small[0]["bbox"])
        assert (await api.search(selfie)).json()["results"] == []
        item = (await api.status())["items"][0]
        assert (item["status"], item["faces_indexed"]) == ("partial", 6 - len(small))

        added = await api.add(photo_id=photo["photo_id"], bbox=json.dumps(small[0]["bbox"]))
        assert added.json()["created"] is True
        found = (await api.search(selfie)).json()["results"]
        assert [match["face_id"] for match in found] == [small[0]["face_id"]]
        again = (await api.detect(group_photo, index="true")).json()
        assert [face["status"] for face in again["faces"] if face["face_id"] == small[0]["face_id"]] == [
            "indexed"
        ]


@pytest.mark.parametrize("value", ["", "maybe", "2"])
async def test_a_value_that_is_not_a_boolean_is_refused(api: Api, astronaut: bytes, value: str) -> None:
    refused = await api.detect(astronaut, index=value)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert list(refused.json()["details"]["fields"]) == ["index"]
    assert (await api.status())["total"] == 0


def _selfie(bbox: list[float]) -> bytes:
    return photos.selfie_of(photos.group_photo(), BoundingBox(*bbox))
