"""Tests that a vectorizer killed at any step loses nothing: repeating the call finishes the work."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import uuid

import httpx
import pytest

from bentos.composition import Dependencies
from bentos.demo.process import serving
from bentos.domain.ids import derive_face_id
from tests.system.real.mortal import (
    CountedDependencies,
    Deed,
    Steps,
    Subject,
    TwoFaces,
    do,
    do_and_die,
    embedding_of,
)
from tests.system.real.stack import Api, Stack, disagreements

pytestmark = pytest.mark.system

EXPECTED: dict[Deed, list[str]] = {
    "detect": ["begin_detection", "put", "finish_detection"],
    "index": [
        "begin_detection",
        "put",
        "finish_detection_and_begin_indexing",
        "save_faces",
        "finish_indexing",
    ],
    "add": ["begin_indexing", "save_faces", "finish_indexing"],
    "remove": ["begin_removal", "remove_photos", "finish_removals"],
    "remove_face": ["begin_face_removal", "remove_faces", "finish_removals"],
    "purge": ["begin_removal", "remove_photos", "delete", "finish_removals"],
    "remove_all": ["begin_removals", "remove_photos", "finish_removals", "begin_removals"],
}
FACES_INDEXED: dict[Deed, int | None] = {
    "detect": 0,
    "index": 2,
    "add": 1,
    "remove": 0,
    "remove_face": 1,
    "purge": None,
    "remove_all": 0,
}
"""How many faces of the photo are indexed at the end; None: the photo does not exist."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.system.real.mortal"])


@pytest.mark.parametrize("deed", EXPECTED)
async def test_repeating_a_call_finishes_the_work_of_a_vectorizer_killed_after_any_step(
    stack: Stack, deed: Deed
) -> None:
    async with stack.dependencies(TwoFaces(), CountedDependencies) as dependencies:
        dependencies.steps = Steps(lambda _made: None)
        whole = await _prepared(deed, dependencies)
        dependencies.steps.made.clear()
        await do(deed, whole, dependencies)
        assert dependencies.steps.made == EXPECTED[deed]

        subjects = [await _prepared(deed, dependencies) for _ in EXPECTED[deed]]
        await asyncio.gather(*[_killed(stack, deed, s, after) for after, s in enumerate(subjects, start=1)])
        await asyncio.gather(*[do(deed, subject, dependencies) for subject in subjects])
        for subject in [whole, *subjects]:
            await _is_as_it_should_be(deed, subject, dependencies)
        assert await disagreements(dependencies) == {}


async def test_the_audit_reports_unfinished_work_of_a_killed_vectorizer(stack: Stack) -> None:
    async with stack.dependencies(TwoFaces()) as dependencies:
        half_added, half_removed = (
            await _prepared("add", dependencies),
            await _prepared("remove", dependencies),
        )
        await _killed(stack, "add", half_added, after=2)
        await _killed(stack, "remove", half_removed, after=2)
        found = await disagreements(dependencies)
        assert found["unfinished additions"] == [(half_added.photo_id, half_added.face_ids[0])]
        assert {photo_id for photo_id, _ in found["unfinished removals"]} == {half_removed.photo_id}
        await asyncio.gather(do("add", half_added, dependencies), do("remove", half_removed, dependencies))
        assert await disagreements(dependencies) == {}


async def test_a_service_killed_during_adding_and_removing_loses_nothing(
    stack: Stack, api: Api, astronaut: bytes, selfie: bytes
) -> None:
    photo = api.detected(astronaut, collection_id="killed")
    face_id, photo_id = photo["faces"][0]["face_id"], photo["photo_id"]
    target = "tests.system.real.mortal_service:ImageVectorizer"
    log = stack.folder / "mortal.log"

    with serving(target, {**stack.environment, "DIES_AFTER": "save_faces"}, log=log) as mortal:
        doomed = Api(mortal.url, stack.search.url)
        with pytest.raises(httpx.TransportError):
            doomed.add(face_id)
        doomed.close()
        assert mortal.process.wait(10) == -signal.SIGKILL

    with serving(target, {**stack.environment, "DIES_AFTER": "remove_photos"}, log=log) as mortal:
        doomed = Api(mortal.url, stack.search.url)
        assert doomed.add(face_id).status_code == 200
        assert doomed.found(selfie, collection_id="killed") == [photo_id]
        with pytest.raises(httpx.TransportError):
            doomed.remove(photo_id)
        doomed.close()
        assert mortal.process.wait(10) == -signal.SIGKILL

    removed = api.remove(photo_id)
    assert (removed.status_code, removed.json()["faces_removed"]) == (200, 1)
    assert api.found(selfie, collection_id="killed") == []
    async with stack.dependencies(TwoFaces()) as dependencies:
        assert await disagreements(dependencies) == {}


async def _prepared(deed: Deed, dependencies: Dependencies) -> Subject:
    """A photo in the state that the action needs: unknown, detected, or with both faces indexed."""
    photo_id = f"{deed.replace('_', '-')}-{uuid.uuid4().hex[:12]}"
    image = photo_id.encode()
    boxes = [face.bbox for face in (await TwoFaces().detect(image)).faces]
    subject = Subject(photo_id, image, tuple(derive_face_id(photo_id, box) for box in boxes))
    if deed not in {"detect", "index"}:
        await do("detect", subject, dependencies)
    if deed in {"remove", "remove_face", "purge", "remove_all"}:
        for face_id in subject.face_ids:
            await do("add", Subject(photo_id, image, (face_id,)), dependencies)
    return subject


async def _killed(stack: Stack, deed: Deed, subject: Subject, after: int) -> None:
    process = processes.Process(target=do_and_die, args=(stack.environment, deed, subject, after))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL, f"{deed} did not die after step {after}"


async def _is_as_it_should_be(deed: Deed, subject: Subject, dependencies: Dependencies) -> None:
    photo = await dependencies.metadata.photo(subject.photo_id)
    indexed = None if photo is None else sum(face.state == "indexed" for face in photo.faces)
    assert indexed == FACES_INDEXED[deed]
    assert await dependencies.images.exists(subject.photo_id) == (deed != "purge")
    face = (await TwoFaces().detect(subject.image)).faces[0]
    nearest = await dependencies.vectors.nearest(
        embedding_of(subject.image, face.landmarks),
        photos=5,
        score_threshold=0.9,
        collection_ids=[subject.collection_id],
    )
    is_gone = not indexed or deed == "remove_face"
    assert [match.photo_id for match in nearest] == ([] if is_gone else [subject.photo_id])
