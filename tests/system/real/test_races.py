"""Tests many clients that work on one photo at once: every response stays true."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.system.real.mortal import TwoFaces
from tests.system.real.stack import Api, Stack, disagreements

pytestmark = pytest.mark.system

ROUNDS = int(os.environ.get("RACE_ROUNDS", "8"))


@pytest.fixture(autouse=True)
async def _the_stores_agree_afterwards(stack: Stack):
    yield
    async with stack.dependencies(TwoFaces()) as dependencies:
        assert await disagreements(dependencies) == {}


def test_the_same_upload_from_16_clients_at_once_is_one_photo(api: Api, astronaut: bytes) -> None:
    with ThreadPoolExecutor(16) as clients:
        answers = list(
            clients.map(lambda _: api.detect(astronaut, collection_id="sixteen-uploads"), range(16))
        )
    assert Counter(answer.status_code for answer in answers) == {200: 16}, [a.text for a in answers]
    assert len({answer.text for answer in answers}) == 1
    assert api.status(collection_id="sixteen-uploads").json()["total"] == 1


def test_a_face_added_by_16_clients_at_once_is_created_once_and_found_once(
    api: Api, astronaut: bytes, selfie: bytes
) -> None:
    photo = api.detected(astronaut, collection_id="sixteen-adds")
    face_id = photo["faces"][0]["face_id"]
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: api.add(face_id), range(16)))
    assert Counter(answer.status_code for answer in answers) == {200: 16}, [a.text for a in answers]
    assert [answer.json()["created"] for answer in answers].count(True) == 1
    assert api.found(selfie, collection_id="sixteen-adds") == [photo["photo_id"]]


def test_a_face_is_not_found_after_the_response_to_its_removal_even_with_concurrent_additions(
    api: Api, astronaut: bytes, selfie: bytes
) -> None:
    with ThreadPoolExecutor(8) as clients:
        for number in range(ROUNDS):
            mine = {"collection_id": f"added-and-removed-{number % 2}"}
            photo = api.detected(astronaut, **mine)
            face_id, photo_id = photo["faces"][0]["face_id"], photo["photo_id"]
            early = [clients.submit(api.add, face_id) for _ in range(number % 4)]
            removal = clients.submit(api.remove, photo_id)
            late = [clients.submit(api.add, face_id) for _ in range(4)]
            assert removal.result().status_code == 200, removal.result().text
            assert api.found(selfie, **mine) == []
            _all_true([future.result() for future in early + late])
            assert api.found(selfie, **mine) == []
            again = api.add(face_id)
            assert (again.status_code, again.json()["error"]) == (404, "face_not_found")


def test_remove_all_removes_every_face_whose_addition_was_answered_before_it(api: Api) -> None:
    group = photos.group_photo()
    mine = {"collection_id": "removed-under-way"}
    with ThreadPoolExecutor(8) as clients:
        for _ in range(max(2, ROUNDS // 3)):
            photo = api.detected(group.read_bytes(), **mine)
            selfies = [_selfie(face["bbox"]) for face in photo["faces"]]
            face_ids = [face["face_id"] for face in photo["faces"]]
            for face_id in face_ids[:2]:
                assert api.add(face_id).status_code == 200
            adds = [clients.submit(api.add, face_id) for face_id in face_ids[2:]]
            removal = clients.submit(api.remove_all, **mine)
            assert removal.result().status_code == 200, removal.result().text
            assert not _faces_found(api, selfies, **mine) & set(face_ids[:2])
            _all_true([add.result() for add in adds])

            # Without concurrent additions, another call removes everything.
            assert api.remove_all(**mine).status_code == 200
            assert _faces_found(api, selfies, **mine) == set()
            assert api.status(**mine).json()["items"][0]["faces_indexed"] == 0


def test_one_face_of_six_is_removed_while_it_is_added_and_its_photo_is_removed(api: Api) -> None:
    group = photos.group_photo().read_bytes()
    mine = {"collection_id": "one-of-six"}
    with ThreadPoolExecutor(8) as clients:
        for number in range(max(3, ROUNDS // 2)):
            answer = api.detect(group, index="true", **mine)
            assert answer.status_code == 200, answer.text
            photo = answer.json()
            assert {face["status"] for face in photo["faces"]} == {"indexed"}
            photo_id, wrong, others = photo["photo_id"], photo["faces"][0], photo["faces"][1:]
            early = [clients.submit(api.add, wrong["face_id"]) for _ in range(number % 3)]
            removals = [clients.submit(api.remove_face, photo_id, wrong["face_id"]) for _ in range(2)]
            late = [clients.submit(api.add, wrong["face_id"]) for _ in range(3)]
            assert {removal.result().status_code for removal in removals} == {200}
            assert sum(removal.result().json()["faces_removed"] for removal in removals) == 1
            _all_true([future.result() for future in early + late])
            assert _faces_found(api, [_selfie(wrong["bbox"])], **mine) == set()
            expected = {face["face_id"] for face in others}
            assert _faces_found(api, [_selfie(face["bbox"]) for face in others], **mine) == expected

            second = clients.submit(api.remove_face, photo_id, others[0]["face_id"])
            whole = clients.submit(api.remove, photo_id)
            adds = [clients.submit(api.add, others[0]["face_id"]) for _ in range(3)]
            assert (second.result().status_code, whole.result().status_code) == (200, 200)
            assert second.result().json()["faces_removed"] + whole.result().json()["faces_removed"] == 5
            _all_true([add.result() for add in adds])
            assert _faces_found(api, [_selfie(face["bbox"]) for face in photo["faces"]], **mine) == set()


def _faces_found(api: Api, selfies: list[bytes], **fields: str) -> set[str]:
    answers = [api.search(selfie, **fields) for selfie in selfies]
    assert {answer.status_code for answer in answers} == {200}
    return {match["face_id"] for answer in answers for match in answer.json()["results"]}


def _all_true(answers: list[httpx.Response]) -> None:
    """The status is 200, or 404 for a face that was removed first; never 5xx."""
    for answer in answers:
        assert answer.status_code in {200, 404}, answer.text
        if answer.status_code == 404:
            assert answer.json()["error"] == "face_not_found"


def _selfie(bbox: list[float]) -> bytes:
    return photos.selfie_of(photos.group_photo(), BoundingBox(*bbox))
