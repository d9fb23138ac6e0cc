"""Tests of the audit's command line with real stores; tests/unit/audit tests each kind of difference."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from bentos.config.settings import Settings
from bentos.domain.faces import BoundingBox
from bentos.stores.records import FaceVector, Lease
from tests.system.real.mortal import TwoFaces, embedding_of
from tests.system.real.stack import Api, Stack, disagreements, eventually

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]


async def test_the_audit_finds_and_repairs_manual_changes_of_each_store(
    stack: Stack, api: Api, astronaut: bytes, selfie: bytes
) -> None:
    mine = {"collection_id": "audited"}
    lost = api.indexed(astronaut, photo_id="lost-vector", **mine)
    for name in ("no-image", "half-removed"):
        api.indexed(astronaut, photo_id=name, **mine)
    marks = (await TwoFaces().detect(b"")).faces[0].landmarks
    orphan = FaceVector(
        str(uuid.uuid4()), "orphan", None, BoundingBox(0, 0, 9, 9), embedding_of(b"orphan", marks)
    )
    async with stack.dependencies(TwoFaces()) as dependencies:
        await dependencies.vectors.save_faces([orphan])
        await dependencies.vectors.remove_photos(["lost-vector"])
        await dependencies.images.delete("no-image")
        await dependencies.metadata.begin_removal("half-removed", lease=Lease(0.1))

    found = stack.audit()
    assert found.returncode == 1
    for line in (
        "1  vectors without a face",
        "1  indexed faces without a vector",
        "1  unfinished removals",
        "1  photos without an image",
        f"photo lost-vector, face {lost['faces'][0]['face_id']}",
        "photo no-image",
    ):
        assert line in found.stdout
    assert found.stderr == ""

    assert stack.audit("--fix").returncode == 0
    again = stack.audit()
    assert (again.returncode, again.stdout.startswith("the three stores agree on")) == (0, True)
    assert api.found(selfie, **mine) == ["lost-vector"]
    async with stack.dependencies(TwoFaces()) as dependencies:
        assert await disagreements(dependencies) == {}


async def test_a_dropped_collection_is_created_again_without_a_restart_and_the_audit_fills_it(
    stack: Stack, api: Api, astronaut: bytes, selfie: bytes
) -> None:
    mine = {"collection_id": "dropped"}
    photo_id = api.indexed(astronaut, **mine)["photo_id"]
    alias = Settings().milvus_collection
    with contextlib.closing(MilvusClient(stack.servers.milvus.uri, timeout=20)) as admin:
        collection = admin.describe_alias(alias)["collection_name"]
        admin.drop_alias(alias)
        admin.drop_collection(collection)

    answer = api.search(selfie, **mine)
    assert (answer.status_code, answer.json()["details"]) == (503, {"dependency": "milvus"})
    eventually(lambda: api.search(selfie, **mine).status_code == 200, "the collection is there again")
    assert api.found(selfie, **mine) == []
    logs = [(stack.folder / f"{name}.log").read_text() for name in ("image-search", "image-vectorizer")]
    assert "EMPTY" in "".join(logs)
    eventually(lambda: api.status().status_code == 200, "image-vectorizer answers")
    assert stack.audit("--fix").returncode == 0
    eventually(lambda: api.found(selfie, **mine) == [photo_id], "the audit has restored the vector")
    async with stack.dependencies(TwoFaces()) as dependencies:
        assert await disagreements(dependencies) == {}
