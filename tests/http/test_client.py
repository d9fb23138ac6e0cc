"""Tests of the client against the real app: every endpoint, every field, and errors as exceptions."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from bentos.client import AsyncFaceSearch, FaceSearch, calls
from bentos.client.errors import (
    CollectionMismatch,
    FaceNotFound,
    ImageTooLarge,
    InvalidApiKey,
    InvalidImageFormat,
    InvalidRequest,
    NoFacesDetected,
    PhotoNotFound,
    TooManyFaces,
)
from bentos.config.settings import Settings
from bentos.pipeline.extraction import Extraction
from tests.http.conftest import KEY, serving_in_process

UUID = "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11"


@pytest_asyncio.fixture
async def client(
    environment: Callable[..., Settings], extraction: Extraction
) -> AsyncIterator[AsyncFaceSearch]:
    async with (
        serving_in_process(environment(docs_enabled=True), extraction) as http,
        AsyncFaceSearch("http://test", KEY, transport=http._transport) as client,
    ):
        yield client


async def test_a_photo_from_detection_to_removal(
    client: AsyncFaceSearch, group_photo: bytes, astronaut: bytes, selfie: bytes
) -> None:
    photo = await client.detect_faces(group_photo, collection_id="office", index=True)
    assert (photo.width, photo.height, len(photo.faces), photo.faces_left_out) == (1280, 886, 6, 0)
    assert {face.status for face in photo.faces} == {"indexed"}
    alone = await client.detect_faces(astronaut, photo_id="astronaut.png", collection_id="space")
    added = await client.add_face(photo_id="astronaut.png", bbox=alone.faces[0].bbox)
    assert (added.face_id, added.status, added.created) == (alone.faces[0].face_id, "indexed", True)

    listed = await client.embed_status(collection_id="office", limit=5)
    assert [(item.photo_id, item.status, item.faces_indexed) for item in listed.items] == [
        (photo.photo_id, "indexed", 6)
    ]
    assert (listed.total, listed.limit, listed.offset) == (1, 5, 0)
    status = await client.photo_status(photo.photo_id)
    assert {face.face_id for face in status.faces or ()} == {face.face_id for face in photo.faces}

    found = await client.search(selfie, collection_id=["space", "office"], top_k=3, include_url=True)
    assert [match.photo_id for match in found.results] == ["astronaut.png"]
    assert found.query.bbox is not None
    again = await client.search(face_id=added.face_id, collection_id="space")
    assert [match.photo_id for match in again.results] == ["astronaut.png"]
    largest = await client.search(group_photo, face="largest", score_threshold=0.9)
    assert [match.photo_id for match in largest.results] == [photo.photo_id]
    boxed = await client.search(group_photo, bbox=photo.faces[2].bbox, score_threshold=0.9)
    assert [match.face_id for match in boxed.results] == [photo.faces[2].face_id]

    assert (await client.remove(photo.photo_id, face_id=photo.faces[2].face_id)).faces_removed == 1
    assert (await client.remove("astronaut.png", purge=True)).faces_removed == 1
    removed = await client.remove_all(collection_id="office")
    assert (removed.photos, removed.faces_removed) == (1, 5)
    assert (await client.ping()).status == "ok"


async def test_errors_are_exceptions_by_code(
    client: AsyncFaceSearch, group_photo: bytes, coffee_cup: bytes, astronaut: bytes
) -> None:
    with pytest.raises(InvalidImageFormat):
        await client.detect_faces(b"no image")
    with pytest.raises(ImageTooLarge) as too_large:
        await client.search(bytes(5 * 2**20 + 1))
    assert too_large.value.details["max_bytes"] == 5 * 2**20
    with pytest.raises(TooManyFaces) as several:
        await client.search(group_photo)
    assert len(several.value.details["faces"]) == 6
    with pytest.raises(NoFacesDetected):
        await client.detect_faces(coffee_cup)
    with pytest.raises(InvalidRequest) as invalid:
        await client.search(astronaut, top_k=51)
    assert (invalid.value.details["fields"].keys(), invalid.value.status) == ({"top_k"}, 422)
    for missing in (
        client.remove("nobody"),
        client.photo_status("nobody"),
        client.detect_faces(photo_id="nobody"),
    ):
        with pytest.raises(PhotoNotFound):
            await missing
    with pytest.raises(FaceNotFound):
        await client.add_face(UUID)
    await client.detect_faces(astronaut, photo_id="mine", collection_id="a")
    with pytest.raises(CollectionMismatch) as other:
        await client.detect_faces(photo_id="mine", collection_id="b")
    assert other.value.request_id
    stranger = AsyncFaceSearch("http://test", "another-key-of-nobody", transport=client._http._transport)
    with pytest.raises(InvalidApiKey):
        await stranger.ping()


async def test_every_endpoint_and_every_field_of_openapi_has_a_call(client: AsyncFaceSearch) -> None:
    document = (await client._http.get("http://test/openapi.json")).json()
    image, box = b"image", (0.0, 0.0, 1.0, 1.0)
    made = {
        (call.method, call.path): {name for name, _ in (*call.form, *call.query)}
        for call in [
            calls.detect_faces(image, photo_id="p", collection_id="c", index=True),
            calls.add_face("f", photo_id="p", bbox=box, collection_id="c"),
            calls.embed_status(collection_id="c", status="s", limit=1, offset=0),
            calls.photo_status("{photo_id}"),
            calls.remove("{photo_id}", face_id="f", purge=True),
            calls.remove_all(collection_id="c"),
            calls.search(
                image,
                face_id="f",
                face="only",
                bbox=box,
                collection_id=["c", "d"],
                top_k=1,
                score_threshold=0,
                page=1,
                include_url=True,
            ),
            calls.ping(),
        ]
    }
    described = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                names |= _schema(document, content["schema"])["properties"].keys()
            described[method.upper(), path] = names
    assert made == described


def test_both_clients_have_the_same_methods_with_the_arguments_of_the_calls() -> None:
    for name in (
        "detect_faces",
        "add_face",
        "embed_status",
        "photo_status",
        "remove",
        "remove_all",
        "search",
        "ping",
    ):
        expected = inspect.signature(getattr(calls, name)).parameters
        for client in (FaceSearch, AsyncFaceSearch):
            method = getattr(client, name)
            assert inspect.signature(method).parameters == expected, name
            assert method.__doc__ == getattr(calls, name).__doc__


def _schema(document: dict, schema: dict) -> dict:
    for name in ("allOf", "anyOf", "oneOf"):
        if "properties" not in schema and name in schema:
            return _schema(document, schema[name][0])
    if "$ref" in schema:
        return _schema(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    return schema
