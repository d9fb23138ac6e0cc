"""Tests of the endpoints of image-vectorizer over HTTP."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from prometheus_client import REGISTRY

from tests.http.conftest import Api


def _png_of(color: str, size: tuple[int, int] = (64, 64)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


async def test_six_faces_are_detected_in_a_group_photo(api: Api, group_photo: bytes) -> None:
    photo = (await api.detect(group_photo)).json()
    assert (photo["width"], photo["height"], photo["collection_id"]) == (1280, 886, None)
    assert len(photo["faces"]) == 6
    scores = [face["score"] for face in photo["faces"]]
    assert scores == sorted(scores, reverse=True)
    for face in photo["faces"]:
        x1, y1, x2, y2 = face["bbox"]
        assert 0 <= x1 < x2 <= 1280
        assert 0 <= y1 < y2 <= 886


async def test_the_same_upload_again_gives_the_same_ids_and_stores_one_photo(
    api: Api, group_photo: bytes, tmp_path: Path
) -> None:
    first, second = await api.detect(group_photo), await api.detect(group_photo)
    assert first.json() == second.json()
    assert (await api.status())["total"] == 1
    assert [p.name for p in (tmp_path / "images").rglob("*") if p.is_file()] == [first.json()["photo_id"]]


async def test_the_same_photo_in_two_collections_is_two_photos(api: Api, astronaut: bytes) -> None:
    one = (await api.detect(astronaut, collection_id="one")).json()
    two = (await api.detect(astronaut, collection_id="two")).json()
    assert one["photo_id"] != two["photo_id"]
    assert one["faces"][0]["face_id"] != two["faces"][0]["face_id"]


async def test_a_photo_gets_the_id_that_the_caller_sends(api: Api, astronaut: bytes) -> None:
    assert (await api.detect(astronaut, photo_id="eileen.png")).json()["photo_id"] == "eileen.png"
    by_name = await api.detect(photo_id="eileen.png")
    assert by_name.json()["photo_id"] == "eileen.png"
    assert len(by_name.json()["faces"]) == 1


async def test_an_id_cannot_be_used_for_another_image(api: Api, astronaut: bytes, group_photo: bytes) -> None:
    await api.detect(astronaut, photo_id="taken")
    refused = await api.detect(group_photo, photo_id="taken")
    assert refused.status_code == 422
    assert refused.json()["error"] == "invalid_request"
    assert "photo_id" in refused.json()["details"]["fields"]
    assert len((await api.detect(photo_id="taken")).json()["faces"]) == 1


async def test_a_photo_without_faces_is_refused_and_recorded(api: Api, coffee_cup: bytes) -> None:
    refused = await api.detect(coffee_cup)
    assert (refused.status_code, refused.json()["error"]) == (422, "no_faces_detected")
    listing = await api.status(status="no_faces")
    assert listing["total"] == 1
    assert listing["items"][0]["faces_detected"] == 0


async def test_adding_a_face_twice_changes_nothing(api: Api, astronaut: bytes) -> None:
    photo = (await api.detect(astronaut)).json()
    face_id = photo["faces"][0]["face_id"]
    first, second = await api.add(face_id=face_id), await api.add(face_id=face_id)
    assert first.json() == {
        "face_id": face_id,
        "photo_id": photo["photo_id"],
        "collection_id": None,
        "bbox": photo["faces"][0]["bbox"],
        "status": "indexed",
        "created": True,
    }
    assert second.json() == {**first.json(), "created": False}


async def test_a_photo_is_detected_then_partial_then_indexed(api: Api, group_photo: bytes) -> None:
    photo = (await api.detect(group_photo)).json()
    seen = []
    for face in [None, *photo["faces"]]:
        if face:
            await api.add(face_id=face["face_id"])
        item = (await api.status())["items"][0]
        seen.append((item["status"], item["faces_detected"], item["faces_indexed"]))
    assert seen == [("detected", 6, 0), *[("partial", 6, n) for n in range(1, 6)], ("indexed", 6, 6)]


async def test_a_face_is_added_by_its_photo_and_a_box_that_overlaps(api: Api, group_photo: bytes) -> None:
    photo = (await api.detect(group_photo)).json()
    face = photo["faces"][2]
    x1, y1, x2, y2 = face["bbox"]
    added = await api.add(photo_id=photo["photo_id"], bbox=json.dumps([x1 - 8, y1 - 5, x2 + 8, y2 + 5]))
    assert added.json()["face_id"] == face["face_id"]
    assert added.json()["created"] is True


async def test_a_wide_box_around_one_face_finds_that_face(api: Api, astronaut: bytes) -> None:
    photo = (await api.detect(astronaut)).json()
    added = await api.add(photo_id=photo["photo_id"], bbox="[60, 0, 400, 300]")
    assert added.json()["face_id"] == photo["faces"][0]["face_id"]
    assert (await api.status())["items"][0]["faces_detected"] == 1


def calls_to(dependency: str) -> float:
    """How many calls this process made to a dependency, checks of readiness excepted."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "face_search_dependency_calls_total"
        and sample.labels["dependency"] == dependency
        and sample.labels["operation"] != "check"
    )


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("box", ["[178, 63, 270, 174]", "[60, 0, 400, 300]", "[400, 380, 500, 500]"])
async def test_adding_by_box_reads_the_image_once_and_calls_the_runner_once(
    api: Api, astronaut: bytes, tmp_path: Path, is_known: bool, box: str
) -> None:
    (tmp_path / "images" / "stored").write_bytes(astronaut)
    if is_known:
        assert (await api.detect(photo_id="stored")).status_code == 200
    before = calls_to("runner"), calls_to("object_store")
    added = await api.add(photo_id="stored", bbox=box)
    assert added.status_code == (422 if box.startswith("[400") else 200)
    assert (calls_to("runner"), calls_to("object_store")) == (before[0] + 1, before[1] + 1)


async def test_a_box_without_a_face_is_refused(api: Api, astronaut: bytes) -> None:
    photo = (await api.detect(astronaut)).json()
    refused = await api.add(photo_id=photo["photo_id"], bbox="[400, 380, 500, 500]")
    assert (refused.status_code, refused.json()["error"]) == (422, "no_faces_detected")


async def test_an_image_that_another_program_stored_can_be_indexed(
    api: Api, astronaut: bytes, tmp_path: Path
) -> None:
    (tmp_path / "images" / "from-elsewhere").write_bytes(astronaut)
    added = await api.add(photo_id="from-elsewhere", bbox="[178, 63, 270, 174]", collection_id="crew")
    assert added.status_code == 200, added.text
    assert (added.json()["collection_id"], added.json()["created"]) == ("crew", True)
    item = (await api.status(collection_id="crew"))["items"][0]
    assert (item["photo_id"], item["status"]) == ("from-elsewhere", "indexed")


async def test_a_collection_sent_later_becomes_the_collection_of_the_photo(
    api: Api, group_photo: bytes, selfie: bytes
) -> None:
    photo = (await api.detect(group_photo)).json()
    first, second = (face["face_id"] for face in photo["faces"][:2])
    await api.add(face_id=first)
    moved = await api.add(face_id=second, collection_id="office")
    assert moved.json()["collection_id"] == "office"
    again = await api.add(face_id=first, collection_id="office")
    assert (again.json()["collection_id"], again.json()["created"]) == ("office", False)
    refused = await api.add(face_id=first, collection_id="elsewhere")
    assert (refused.status_code, refused.json()["error"]) == (409, "collection_mismatch")


async def test_a_face_that_was_indexed_before_its_photo_had_a_collection_is_found_in_it(
    api: Api, group_photo: bytes
) -> None:
    from bentos.demo import photos
    from bentos.domain.faces import BoundingBox

    photo = (await api.detect(group_photo)).json()
    first, second = photo["faces"][:2]
    await api.add(face_id=first["face_id"])
    await api.add(face_id=second["face_id"], collection_id="office")
    of_first = photos.selfie_of(photos.group_photo(), BoundingBox(*first["bbox"]))
    found = (await api.search(of_first, collection_id="office")).json()["results"]
    assert [(f["face_id"], f["collection_id"]) for f in found] == [(first["face_id"], "office")]


async def test_removing_a_photo_can_be_repeated(api: Api, group_photo: bytes) -> None:
    photo = await api.index(group_photo)
    path = f"/remove/{photo['photo_id']}"
    first, second = await api.client.delete(path), await api.client.delete(path)
    assert first.json() == {"photo_id": photo["photo_id"], "faces_removed": 6}
    assert (second.status_code, second.json()["faces_removed"]) == (200, 0)


async def test_purging_removes_the_image_and_can_be_repeated(
    api: Api, astronaut: bytes, tmp_path: Path
) -> None:
    photo = await api.index(astronaut)
    path = f"/remove/{photo['photo_id']}?purge=true"
    assert (await api.client.delete(path)).json()["faces_removed"] == 1
    assert (await api.status())["total"] == 0
    assert not [p for p in (tmp_path / "images").rglob("*") if p.is_file()]
    again = await api.client.delete(path)
    assert (again.status_code, again.json()["faces_removed"]) == (200, 0)
    unknown = await api.client.delete("/remove/never-seen")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "photo_not_found")


async def test_a_removed_photo_can_be_indexed_again(api: Api, astronaut: bytes, selfie: bytes) -> None:
    photo = await api.index(astronaut)
    await api.client.delete(f"/remove/{photo['photo_id']}")
    assert (await api.search(selfie)).json()["results"] == []
    assert await api.index(astronaut) == photo
    assert len((await api.search(selfie)).json()["results"]) == 1


async def test_remove_all_of_one_collection_keeps_the_others(
    api: Api, astronaut: bytes, group_photo: bytes, selfie: bytes
) -> None:
    await api.index(astronaut, collection_id="a")
    await api.index(group_photo, collection_id="a")
    kept = await api.index(astronaut, collection_id="b")
    removed = await api.client.delete("/remove_all/", params={"collection_id": "a"})
    assert removed.json() == {"photos": 2, "faces_removed": 7}
    assert [f["photo_id"] for f in (await api.search(selfie)).json()["results"]] == [kept["photo_id"]]
    assert (await api.client.delete("/remove_all/")).json() == {"photos": 1, "faces_removed": 1}
    assert (await api.client.delete("/remove_all/")).json() == {"photos": 0, "faces_removed": 0}
    assert (await api.search(selfie)).json()["results"] == []


async def test_the_listing_is_paged_and_filtered(api: Api, astronaut: bytes, coffee_cup: bytes) -> None:
    for name in ("p1", "p2", "p3"):
        await api.detect(astronaut, photo_id=name, collection_id="c")
    await api.detect(coffee_cup, photo_id="cup", collection_id="d")
    page = await api.status(limit=2, offset=1)
    assert ([i["photo_id"] for i in page["items"]], page["total"]) == (["p3", "p2"], 4)
    assert (page["limit"], page["offset"]) == (2, 1)
    assert [i["photo_id"] for i in (await api.status(collection_id="c"))["items"]] == ["p3", "p2", "p1"]
    assert (await api.status(status="no_faces"))["total"] == 1
    assert (await api.status(collection_id="unknown"))["items"] == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "file"),
        ({"photo_id": "../etc/passwd"}, "photo_id"),
        ({"photo_id": "a" * 129}, "photo_id"),
        ({"photo_id": "ok", "collection_id": "not ok"}, "collection_id"),
    ],
)
async def test_detect_names_the_field_that_is_wrong(api: Api, fields: dict[str, str], named: str) -> None:
    refused = await api.detect(**fields)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert named in refused.json()["details"]["fields"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "face_id"),
        ({"face_id": "not-a-uuid"}, "face_id"),
        ({"photo_id": "p"}, "face_id"),
        ({"photo_id": "p", "bbox": "[1,2,3]"}, "bbox"),
        ({"photo_id": "p", "bbox": "[5,5,1,1]"}, "bbox"),
        ({"photo_id": "p", "bbox": "[0,0,1,NaN]"}, "bbox"),
        ({"photo_id": "p", "bbox": "nonsense"}, "bbox"),
    ],
)
async def test_add_names_the_field_that_is_wrong(api: Api, fields: dict[str, str], named: str) -> None:
    refused = await api.add(**fields)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert named in refused.json()["details"]["fields"]


async def test_unknown_photos_and_faces_are_not_found(api: Api) -> None:
    face = await api.add(face_id="0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11")
    assert (face.status_code, face.json()["error"]) == (404, "face_not_found")
    photo = await api.add(photo_id="nowhere", bbox="[0,0,10,10]")
    assert (photo.status_code, photo.json()["error"]) == (404, "photo_not_found")
    stored = await api.detect(photo_id="nowhere")
    assert (stored.status_code, stored.json()["error"]) == (404, "photo_not_found")


async def test_a_file_that_is_no_image_is_refused_and_not_recorded(api: Api, astronaut: bytes) -> None:
    for content in (b"not an image", astronaut[: len(astronaut) // 2], b"GIF89a" + bytes(100)):
        refused = await api.detect(content)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_image_format")
    assert (await api.status())["total"] == 0
