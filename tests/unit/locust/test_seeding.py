"""Tests of seeding: it makes photos once, and indexes by `bentos.bulk`, so that it can be repeated."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.vector_base import fill, neighbours, strangers
from bentos.config.settings import Settings
from bentos.demo.embedded import embedded_environment
from bentos.pipeline.pack_info import PackInfo
from bentos.stores.factory import vector_store
from seed.__main__ import main
from seed.face_images import GROUP_COUNTS, group

KEY = "0123456789abcdef-key-of-the-tests"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return embedded_environment(tmp_path, KEY)


@pytest.fixture
def seed(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> Iterator[Callable[..., str]]:
    for name, value in {**environment, "XDG_STATE_HOME": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    terminated = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> str:
        assert main(["--processes", "1", *arguments]) == 0
        return capsys.readouterr().out

    yield run
    signal.signal(signal.SIGTERM, terminated)  # the command has its own


def test_made_photos_are_made_and_indexed_once(seed, tmp_path: Path) -> None:
    said = seed("--collection", "made-a", "--photos", "2")
    assert "2  indexed\n" in said
    stored = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()}
    assert sorted(stored) == [f"made-a-{number:06d}" for number in range(2)]
    assert "2  indexed before\n" in seed("--collection", "made-a", "--photos", "2")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()} == stored


def test_groups_have_one_to_twelve_people_and_six_on_average() -> None:
    assert (min(GROUP_COUNTS), max(GROUP_COUNTS), np.mean(GROUP_COUNTS)) == (1, 12, 6)
    groups = [group(index) for index in range(5)]
    assert {len(each.people) for each in groups} <= set(GROUP_COUNTS)
    assert len({each.jpeg for each in groups}) == 5
    assert group(4) == groups[4]


def test_vectors_that_are_filled_in_are_unit_vectors_near_their_faces():
    faces = next(strangers(512, 5))
    near = np.concatenate(list(neighbours(faces, 2500)))
    assert near.shape == (2500, 512)
    assert np.allclose(np.linalg.norm(near, axis=1), 1, atol=1e-5)
    assert ((near @ faces.T).max(axis=1) > 0.75).all()


async def test_vectors_alone_are_found_in_both_collections(environment, pack_folder):
    settings = Settings(**{name.lower(): value for name, value in environment.items()})
    store = vector_store(settings, PackInfo.read(pack_folder))
    await store.open()
    try:
        vectors = next(strangers(512, 60))
        await fill(store, iter([vectors]), ["a", "b"], count=60, prefix="vector")
        for number, collection_id in ((10, "a"), (11, "b")):
            (best,) = await store.nearest(
                vectors[number], photos=1, score_threshold=0.9, collection_ids=[collection_id]
            )
            assert best.photo_id == f"vector-{number:08d}"
    finally:
        await store.close()
