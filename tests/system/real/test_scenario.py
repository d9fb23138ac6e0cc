"""Tests the product on real servers, with two services that share only those servers."""

from __future__ import annotations

import statistics
import time

import httpx
import pytest

from bentos.client import FaceSearch
from bentos.demo import photos
from bentos.demo.scenario import Scenario
from tests.system.real.mortal import TwoFaces
from tests.system.real.stack import KEY, Api, Stack, disagreements

pytestmark = pytest.mark.system

ROUNDS = 10


def test_the_demo_gets_right_answers_on_real_servers(stack: Stack, api: Api) -> None:
    assert api.remove_all().status_code == 200
    client = FaceSearch(stack.vectorizer.url, KEY, search_url=stack.search.url)
    lines: list[str] = []
    right = Scenario(client, lines.append).run()
    client.close()
    assert right, "\n".join(lines)


def test_the_other_service_finds_a_face_right_after_its_addition_and_not_after_its_removal(
    api: Api, astronaut: bytes, selfie: bytes, record_property: pytest.RecordProperty
) -> None:
    added, removed = [], []
    for number in range(ROUNDS):
        mine = {"collection_id": f"soon-{number}"}
        photo = api.detected(astronaut, **mine)
        assert api.add(photo["faces"][0]["face_id"]).status_code == 200
        answered = time.perf_counter()
        assert api.found(selfie, **mine) == [photo["photo_id"]]
        added.append(time.perf_counter() - answered)
        assert api.remove(photo["photo_id"]).status_code == 200
        answered = time.perf_counter()
        assert api.found(selfie, **mine) == []
        removed.append(time.perf_counter() - answered)
    for name, seconds in (("added", added), ("removed", removed)):
        figures = f"median {statistics.median(seconds) * 1000:.0f} ms, longest {max(seconds) * 1000:.0f} ms"
        record_property(name, figures)
        print(f"{name}: seen by the first search after the response; that search took {figures}")


def test_a_link_opens_the_image_as_it_was_uploaded(api: Api, astronaut: bytes, selfie: bytes) -> None:
    api.indexed(astronaut, collection_id="linked")
    result = api.search(selfie, collection_id="linked", include_url="true").json()["results"][0]
    link = httpx.get(result["url"])
    assert (link.status_code, link.content, link.headers["content-type"]) == (200, astronaut, "image/png")


def test_a_photo_belongs_to_one_collection_and_a_search_is_limited_to_the_named_ones(
    api: Api, astronaut: bytes, selfie: bytes
) -> None:
    here = api.indexed(astronaut, collection_id="here")
    there = api.indexed(astronaut, collection_id="there")
    assert api.found(selfie, collection_id="here") == [here["photo_id"]]
    assert set(api.found(selfie, collection_id=["here", "there"])) == {here["photo_id"], there["photo_id"]}
    assert api.found(selfie, collection_id="nowhere") == []
    refused = api.detect(astronaut, photo_id=here["photo_id"], collection_id="there")
    assert (refused.status_code, refused.json()["error"]) == (409, "collection_mismatch")


def test_a_photo_can_have_every_status(api: Api) -> None:
    group = photos.group_photo().read_bytes()
    photo = api.detected(group, collection_id="statuses")

    def status() -> tuple[str, int]:
        listing = api.status(collection_id="statuses").json()
        assert listing["total"] == 1
        return listing["items"][0]["status"], listing["items"][0]["faces_indexed"]

    assert status() == ("detected", 0)
    api.add(photo["faces"][0]["face_id"])
    assert status() == ("partial", 1)
    api.indexed(group, collection_id="statuses")
    assert status() == ("indexed", len(photo["faces"]))
    api.remove(photo["photo_id"])
    assert status() == ("no_faces", 0)
    assert api.remove(photo["photo_id"], purge=True).status_code == 200
    assert api.status(collection_id="statuses").json()["total"] == 0


async def test_the_stores_agree_after_the_other_tests(stack: Stack) -> None:
    async with stack.dependencies(TwoFaces()) as dependencies:
        assert await disagreements(dependencies) == {}
