"""Tests of seeding: it uses the indexing of the API and can be repeated."""

from __future__ import annotations

import numpy as np
import pytest
import pytest_asyncio
from starlette.datastructures import State

from bench.vector_base import fill, neighbours, strangers
from bentos.composition import Dependencies
from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.pipeline.pack_info import PackInfo
from bentos.vectorizer.wiring import attach_indexing
from seed.seed_sources import FileItem, MadeItem, items_of
from seed.seeding import Seeder


@pytest_asyncio.fixture
async def dependencies(tmp_path, finder, pack_folder):
    settings = Settings(
        milvus_uri=str(tmp_path / "vectors.db"),
        postgrest_url=f"sqlite:///{tmp_path / 'metadata.db'}",
        s3_endpoint_url=f"file://{tmp_path / 'images'}",
    )
    made = Dependencies(settings, finder, PackInfo.read(pack_folder))
    stores = (made.metadata, made.images, made.vectors)
    for store in stores:
        await store.open()
    yield made
    for store in stores:
        await store.close()


@pytest.fixture
def seeder(dependencies):
    state = State()
    attach_indexing(state, dependencies)
    return Seeder(dependencies, state.indexing)


async def test_a_made_photo_is_indexed_once(seeder, dependencies):
    item = MadeItem("made-a", 3)
    first, again = await seeder.seed(item), await seeder.seed(item)
    assert (first.outcome, again.outcome) == ("indexed", "already there")
    assert first.faces == again.faces > 0
    assert await dependencies.images.exists("made-a-000003")
    assert [len(batch) async for batch in dependencies.vectors.scan_faces()] == [first.faces]


async def test_an_unfinished_photo_is_finished(seeder, dependencies, monkeypatch):
    item = MadeItem("made-a", 0)

    async def dies(*_: object, **__: object) -> None:
        raise OSError("the process ended")

    with monkeypatch.context() as patched:
        patched.setattr(seeder._indexing, "index_face", dies)
        assert (await seeder.seed(item)).outcome == "failed"
    assert (await seeder.seed(item)).outcome == "indexed"
    assert (await seeder.seed(item)).outcome == "already there"


async def test_files_of_a_folder_get_the_ids_that_an_upload_would_get(seeder, tmp_path):
    good, faceless, broken = (tmp_path / name for name in ("a.jpg", "b.png", "c.jpg"))
    good.write_bytes(photos.group_photo().read_bytes())
    faceless.write_bytes(photos.coffee_cup().read_bytes())
    broken.write_bytes(b"\xff\xd8 not really")
    items = items_of("own", str(tmp_path), 10, Settings())
    assert items == [FileItem("own", path) for path in (good, faceless, broken)]
    outcomes = [(await seeder.seed(item)).outcome for item in items]
    assert outcomes == ["indexed", "no face", "unreadable"]
    outcomes = [(await seeder.seed(item)).outcome for item in items]
    assert outcomes == ["already there", "no face", "unreadable"]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no JPEG"):
        items_of("own", str(tmp_path), 10, Settings())


def test_vectors_that_are_filled_in_are_unit_vectors_near_their_faces():
    faces = next(strangers(512, 5))
    near = np.concatenate(list(neighbours(faces, 2500)))
    assert near.shape == (2500, 512)
    assert np.allclose(np.linalg.norm(near, axis=1), 1, atol=1e-5)
    assert ((near @ faces.T).max(axis=1) > 0.75).all()


async def test_vectors_alone_are_found_in_both_collections(dependencies):
    vectors = next(strangers(512, 60))
    await fill(dependencies.vectors, iter([vectors]), ["a", "b"], count=60, prefix="vector")
    for number, collection_id in ((10, "a"), (11, "b")):
        (best,) = await dependencies.vectors.nearest(
            vectors[number], photos=1, score_threshold=0.9, collection_ids=[collection_id]
        )
        assert best.photo_id == f"vector-{number:08d}"
