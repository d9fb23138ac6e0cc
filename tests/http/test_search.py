"""Tests of `/search/` over HTTP."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import pytest
from PIL import Image

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.http.conftest import Api


def _sixty_copies(face: BoundingBox) -> bytes:
    """One photo that shows the astronaut's face sixty times."""
    with Image.open(photos.astronaut()) as image:
        portrait = image.convert("RGB").crop((130, 20, 320, 230)).resize((95, 105))
    wall = Image.new("RGB", (10 * 110, 6 * 120), "white")
    for number in range(60):
        wall.paste(portrait, (7 + number % 10 * 110, 7 + number // 10 * 120))
    out = io.BytesIO()
    wall.save(out, "JPEG", quality=95)
    return out.getvalue()


def _variant(number: int) -> bytes:
    """Photos of the astronaut with different bytes."""
    box = BoundingBox(178.6, 63.4, 269.1, 173.9)
    return photos.selfie_of(photos.astronaut(), box, degrees=number, light=1 + number / 50, margin=0.6)


async def test_each_of_six_people_is_found_by_their_own_selfie_only(api: Api, group_photo: bytes) -> None:
    names = []
    photo = (await api.detect(group_photo)).json()
    for number, face in enumerate(photo["faces"]):
        # One photo per person, so that each person can be a separate result.
        one = (await api.detect(group_photo, photo_id=f"person-{number}")).json()["faces"][number]
        assert one["bbox"] == face["bbox"]
        await api.add(face_id=one["face_id"])
        names.append(f"person-{number}")
    for number, face in enumerate(photo["faces"]):
        selfie = photos.selfie_of(photos.group_photo(), BoundingBox(*face["bbox"]))
        results = (await api.search(selfie)).json()["results"]
        assert [match["photo_id"] for match in results] == [names[number]]
        assert results[0]["score"] > 0.5


async def test_an_ordinary_search_is_answered_as_fastapi_answers_it(
    api: Api, astronaut: bytes, selfie: bytes
) -> None:
    await api.index(astronaut, photo_id="eileen", collection_id="crew")
    fields = {
        "top_k": "3",
        "score_threshold": "0.25",
        "collection_id": ["crew", "others"],
        "include_url": "true",
    }
    quick = await api.search(selfie, **fields)
    request = api.client.build_request("POST", "/search/", files={"file": ("selfie", selfie)}, data=fields)
    request.headers["content-type"] += "; charset=utf-8"  # unusual, so that FastAPI reads and answers it
    full = await api.client.send(request)
    assert (quick.status_code, quick.headers["content-type"]) == (200, full.headers["content-type"])
    assert list(quick.json()) == list(full.json())
    ours, theirs = (response.json() for response in (quick, full))
    for answer in (ours, theirs):
        answer.pop("took_ms")
        answer["results"][0].pop("url")  # links are signed for the moment
    assert ours == theirs
    assert ours["count"] == 1


async def test_the_response_contains_the_query_face_and_the_found_photos(
    api: Api, astronaut: bytes, selfie: bytes
) -> None:
    photo = await api.index(astronaut, photo_id="eileen", collection_id="crew")
    answer = (await api.search(selfie)).json()
    match = answer["results"][0]
    assert match == {
        "photo_id": "eileen",
        "collection_id": "crew",
        "face_id": photo["faces"][0]["face_id"],
        "bbox": photo["faces"][0]["bbox"],
        "score": match["score"],
        "url": None,
    }
    assert match["score"] > 0.8
    assert {key: answer[key] for key in ("count", "page", "top_k", "has_more", "score_threshold")} == {
        "count": 1, "page": 1, "top_k": 10, "has_more": False, "score_threshold": 0.5,
    }  # fmt: skip
    assert len(answer["query"]["bbox"]) == 4
    assert answer["took_ms"] > 0


async def test_a_photo_with_sixty_faces_is_returned_once_and_displaces_no_other(
    api: Api, selfie: bytes
) -> None:
    wall = await api.index(_sixty_copies(BoundingBox(0, 0, 1, 1)), photo_id="wall")
    assert len(wall["faces"]) == 60
    for number in range(4):
        await api.index(_variant(number), photo_id=f"variant-{number}")
    answer = (await api.search(selfie, top_k=5)).json()
    found = [match["photo_id"] for match in answer["results"]]
    assert sorted(found) == ["variant-0", "variant-1", "variant-2", "variant-3", "wall"]
    assert answer["has_more"] is False


async def test_pages_are_disjoint_and_complete(api: Api, selfie: bytes) -> None:
    for number in range(7):
        await api.index(_variant(number), photo_id=f"variant-{number}")
    whole = (await api.search(selfie, top_k=50)).json()["results"]
    pages: list[list[dict[str, Any]]] = []
    for page in (1, 2, 3, 4):
        answer = (await api.search(selfie, top_k=3, page=page)).json()
        pages.append(answer["results"])
        assert answer["has_more"] is (page < 3)
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [match for page in pages for match in page] == whole
    assert len({match["photo_id"] for match in whole}) == 7
    for better, worse in pairwise(whole):
        assert (-better["score"], better["photo_id"]) <= (-worse["score"], worse["photo_id"])


async def test_equal_scores_are_ordered_by_photo(api: Api, astronaut: bytes, selfie: bytes) -> None:
    for name in ("b", "c", "a", "d"):
        await api.index(astronaut, photo_id=name)
    whole = [m["photo_id"] for m in (await api.search(selfie)).json()["results"]]
    paged = [
        (await api.search(selfie, top_k=1, page=page)).json()["results"][0]["photo_id"]
        for page in (1, 2, 3, 4)
    ]
    assert whole == paged == ["a", "b", "c", "d"]


async def test_a_page_far_past_the_end_is_empty(api: Api, astronaut: bytes, selfie: bytes) -> None:
    await api.index(astronaut)
    for page in (2, 1000, 2**31 - 1):
        answer = (await api.search(selfie, page=page, top_k=50)).json()
        assert (answer["results"], answer["count"], answer["has_more"]) == ([], 0, False)


async def test_nothing_is_found_without_photos_in_an_empty_collection_and_in_an_unknown_one(
    api: Api, astronaut: bytes, selfie: bytes
) -> None:
    assert (await api.search(selfie)).json()["results"] == []
    photo = await api.index(astronaut, collection_id="crew")
    assert (await api.search(selfie, collection_id="unknown")).json()["results"] == []
    await api.client.delete(f"/remove/{photo['photo_id']}")
    assert (await api.search(selfie, collection_id="crew")).json()["results"] == []


async def test_a_search_finds_photos_of_any_of_the_named_collections(
    api: Api, astronaut: bytes, selfie: bytes
) -> None:
    for name in ("a", "b", "c"):
        await api.index(astronaut, photo_id=f"in-{name}", collection_id=name)
    await api.index(astronaut, photo_id="in-none")

    async def found(**fields: Any) -> list[str]:
        return [match["photo_id"] for match in (await api.search(selfie, **fields)).json()["results"]]

    assert await found(collection_id="b") == ["in-b"]
    assert await found(collection_id=["c", "a"]) == ["in-a", "in-c"]
    assert await found() == ["in-a", "in-b", "in-c", "in-none"]


async def test_the_threshold_decides_what_is_similar(
    api: Api, astronaut: bytes, group_photo: bytes, selfie: bytes
) -> None:
    await api.index(astronaut, photo_id="same")
    await api.index(group_photo, photo_id="others")
    assert [m["photo_id"] for m in (await api.search(selfie)).json()["results"]] == ["same"]
    every = (await api.search(selfie, score_threshold=-1)).json()
    assert [m["photo_id"] for m in every["results"]] == ["same", "others"]
    assert (await api.search(selfie, score_threshold=1)).json()["results"] == []


async def test_the_same_photo_in_three_formats_is_one_face(api: Api) -> None:
    with Image.open(photos.astronaut()) as image:
        picture = image.convert("RGB")
    for kind in ("JPEG", "PNG", "WEBP"):
        out = io.BytesIO()
        picture.save(out, kind, quality=90)
        await api.index(out.getvalue(), photo_id=kind.lower())
    out = io.BytesIO()
    picture.save(out, "PNG")
    results = (await api.search(out.getvalue())).json()["results"]
    assert {match["photo_id"] for match in results} == {"jpeg", "png", "webp"}
    assert all(match["score"] > 0.95 for match in results)


async def test_a_selfie_with_more_than_one_face_is_refused_with_their_boxes(
    api: Api, group_photo: bytes
) -> None:
    refused = await api.search(group_photo)
    assert (refused.status_code, refused.json()["error"]) == (422, "too_many_faces")
    faces = refused.json()["details"]["faces"]
    assert len(faces) == 6
    assert all(len(face["bbox"]) == 4 and 0 < face["score"] <= 1 for face in faces)


async def test_a_selfie_without_a_face_is_refused(api: Api, coffee_cup: bytes) -> None:
    refused = await api.search(coffee_cup)
    assert (refused.status_code, refused.json()["error"]) == (422, "no_faces_detected")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 not really a jpeg"])
async def test_a_selfie_that_is_no_image_is_refused(api: Api, content: bytes) -> None:
    refused = await api.search(content)
    expected = (422, "invalid_request") if not content else (400, "invalid_image_format")
    assert (refused.status_code, refused.json()["error"]) == expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": 51}, "top_k"),
        ({"top_k": "ten"}, "top_k"),
        ({"page": 0}, "page"),
        ({"page": -1}, "page"),
        ({"score_threshold": 1.01}, "score_threshold"),
        ({"score_threshold": "nan"}, "score_threshold"),
        ({"collection_id": "a b"}, "collection_id"),
        ({"collection_id": ["ok", 'x" or 1==1']}, "collection_id"),
        ({"include_url": "perhaps"}, "include_url"),
    ],
)
async def test_search_names_the_field_that_is_wrong(
    api: Api, selfie: bytes, fields: dict[str, Any], named: str
) -> None:
    refused = await api.search(selfie, **fields)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert named in refused.json()["details"]["fields"]


async def test_a_search_without_a_file_is_refused(api: Api) -> None:
    refused = await api.search(top_k="3")
    assert (refused.status_code, refused.json()["details"]["fields"]) == (
        422,
        {"file": "send file, or face_id without file, face and bbox"},
    )


@pytest.mark.parametrize("top_k", [1, 50])
async def test_the_smallest_and_the_largest_top_k_are_valid(api: Api, selfie: bytes, top_k: int) -> None:
    assert (await api.search(selfie, top_k=top_k)).json()["top_k"] == top_k
