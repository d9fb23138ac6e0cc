"""Tests of `python -m bentos.audit` with embedded stores and every kind of difference."""

from __future__ import annotations

import asyncio
import tracemalloc
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from bentos.audit import __main__ as audit
from bentos.audit.snapshot import Kind, Snapshot
from bentos.composition import Dependencies
from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.demo.embedded import embedded_environment
from bentos.domain.faces import BoundingBox, FacesInImage
from bentos.pipeline.pack_info import PackInfo
from bentos.runner.local import LocalFaceFinder
from bentos.stores.records import FaceVector, Lease, PhotoRecord, StoredVector
from bentos.vectorizer.wiring import indexing_of

KEY = "0123456789abcdef-key-of-the-tests"
PHOTO = "astronaut"


class Base:
    """Embedded stores with one photo whose face is indexed, and the audit's command line for them."""

    def __init__(self, dependencies: Callable[[], Dependencies], capsys: pytest.CaptureFixture[str]) -> None:
        self._dependencies, self._capsys = dependencies, capsys
        self.face_id = ""

    def by_hand(self, work: Callable[[Dependencies], Awaitable[None]]) -> None:
        """Open the stores, do the work, close them."""

        async def opened() -> None:
            dependencies = self._dependencies()
            stores = (dependencies.metadata, dependencies.vectors, dependencies.images)
            try:
                for store in stores:
                    await store.open()
                await work(dependencies)
            finally:
                for store in stores:
                    await store.close()

        asyncio.run(opened())

    def audit(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
        """The exit status of the command and what it printed."""
        monkeypatch.setattr("sys.argv", ["audit", *arguments])
        self._capsys.readouterr()
        status = audit.main()
        printed = self._capsys.readouterr()
        assert printed.err == "", "a progress bar is shown on terminals only"
        return status, printed.out


@pytest.fixture
def base(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    finder: LocalFaceFinder,
    pack_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> Base:
    environment = embedded_environment(tmp_path, KEY)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pack = PackInfo.read(pack_folder)
    base = Base(lambda: Dependencies(Settings(), finder, pack), capsys)

    async def index(dependencies: Dependencies) -> None:
        indexing, _ = indexing_of(dependencies)
        photo = await indexing.detect_uploaded(
            photos.astronaut().read_bytes(), "image/png", photo_id=PHOTO, collection_id="space"
        )
        base.face_id = photo.faces[0].face_id
        await indexing.index_face(base.face_id, collection_id=None)

    base.by_hand(index)
    return base


def a_vector(photo_id: str = "stranger", face_id: str = "", collection_id: str | None = None) -> FaceVector:
    embedding = np.zeros(512, np.float32)
    embedding[0] = 1
    return FaceVector(
        face_id or str(uuid.uuid4()), photo_id, collection_id, BoundingBox(0, 0, 9, 9), embedding
    )


async def _vector_without_face(dependencies: Dependencies, base: Base) -> None:
    await dependencies.vectors.save_faces([a_vector()])


async def _face_without_vector(dependencies: Dependencies, base: Base) -> None:
    await dependencies.vectors.remove_faces([base.face_id])


async def _stale_vector(dependencies: Dependencies, base: Base) -> None:
    await dependencies.vectors.save_faces([a_vector(PHOTO, base.face_id, "elsewhere")])


async def _half_indexed(dependencies: Dependencies, base: Base) -> None:
    _, removal = indexing_of(dependencies)
    indexing, _ = indexing_of(dependencies)
    await removal.remove_photo(PHOTO, purge=False)
    await indexing.detect_stored(PHOTO, collection_id=None)
    await dependencies.metadata.begin_indexing(
        PHOTO, face_ids=[base.face_id], collection_id=None, lease=Lease(0.1)
    )


async def _half_removed(dependencies: Dependencies, base: Base) -> None:
    await dependencies.metadata.begin_removal(PHOTO, lease=Lease(0.1))
    await dependencies.vectors.remove_photos([PHOTO])


async def _half_detected(dependencies: Dependencies, base: Base) -> None:
    await dependencies.images.put("cup", photos.coffee_cup().read_bytes(), "image/png")
    await dependencies.metadata.begin_detection(
        "cup", collection_id=None, image_sha256=_digest(photos.coffee_cup()), lease=Lease(0.1)
    )


async def _without_image(dependencies: Dependencies, base: Base) -> None:
    await dependencies.images.delete(PHOTO)


async def _image_of_purged_photo(dependencies: Dependencies, base: Base) -> None:
    _, removal = indexing_of(dependencies)
    await dependencies.images.put("cup", photos.coffee_cup().read_bytes(), "image/png")
    lease = Lease(5)
    await dependencies.metadata.begin_detection(
        "cup", collection_id=None, image_sha256=_digest(photos.coffee_cup()), lease=lease
    )
    await dependencies.metadata.release("cup", lease=lease)
    await removal.remove_photo("cup", purge=True)
    await dependencies.images.put("cup", photos.coffee_cup().read_bytes(), "image/png")


MADE_BY_HAND = {
    Kind.VECTOR_WITHOUT_FACE: _vector_without_face,
    Kind.FACE_WITHOUT_VECTOR: _face_without_vector,
    Kind.STALE_VECTOR: _stale_vector,
    Kind.HALF_INDEXED: _half_indexed,
    Kind.HALF_REMOVED: _half_removed,
    Kind.HALF_DETECTED: _half_detected,
    Kind.PHOTO_WITHOUT_IMAGE: _without_image,
    Kind.IMAGE_OF_PURGED_PHOTO: _image_of_purged_photo,
}
LEFT = {
    Kind.HALF_REMOVED: (1, 0),
    Kind.PHOTO_WITHOUT_IMAGE: (0, 0),
    Kind.HALF_DETECTED: (2, 1),
}
"""Photos and indexed faces after the repair, for kinds where it is not one photo with one indexed face."""


def test_the_tests_cover_every_kind_of_difference() -> None:
    assert set(MADE_BY_HAND) == set(Kind)


def test_for_stores_that_agree_the_exit_status_is_0(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    assert base.audit(monkeypatch) == (0, "the three stores agree on 1 photos\n")


@pytest.mark.parametrize("kind", MADE_BY_HAND, ids=lambda kind: kind.name.lower())
def test_a_difference_is_counted_shown_repaired_and_not_found_again(
    kind: Kind, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.by_hand(lambda dependencies: MADE_BY_HAND[kind](dependencies, base))
    status, said = base.audit(monkeypatch)
    assert status == 1
    shown = [line.strip() for line in said.splitlines()]
    assert shown[0] == f"1  {kind.title}"
    assert shown[1].startswith("photo ")
    assert base.audit(monkeypatch)[0] == 1, "the audit changes nothing without --fix"

    assert base.audit(monkeypatch, "--fix")[0] == 0
    assert base.audit(monkeypatch)[0] == 0

    async def count(dependencies: Dependencies) -> None:
        page = await dependencies.metadata.list_photos(limit=10, offset=0)
        vectors = [row async for batch in dependencies.vectors.scan_faces() for row in batch]
        indexed = sum(photo.faces_indexed for photo in page.items)
        assert (page.total, indexed) == LEFT.get(kind, (1, 1))
        assert len(vectors) == indexed

    base.by_hand(count)


def test_the_result_of_the_last_audit_is_stored_for_the_metrics(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stored(dependencies: Dependencies) -> None:
        audit = (await dependencies.metadata.overview()).audit
        assert audit is not None
        found.append((audit.photos, {kind: n for kind, n in audit.differences.items() if n}))
        assert audit.differences.keys() == {kind.name.lower() for kind in Kind}

    found: list[tuple[int, dict[str, int]]] = []
    base.by_hand(lambda dependencies: _face_without_vector(dependencies, base))
    for arguments in ([], ["--fix"]):
        base.audit(monkeypatch, *arguments)
        base.by_hand(stored)
    assert found == [(1, {"face_without_vector": 1}), (1, {})]


def test_with_confirm_a_request_in_progress_is_no_difference_and_what_a_crash_left_is_one(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "longest_hold_s", 0.0)
    monkeypatch.setenv("LEASE_S", "0.5")
    digest = _digest(photos.coffee_cup())

    async def two_uploads(dependencies: Dependencies) -> None:
        await dependencies.vectors.save_faces([a_vector()])
        for name in ("in-progress", "crashed"):
            await dependencies.images.put(name, photos.coffee_cup().read_bytes(), "image/png")
            await dependencies.metadata.begin_detection(
                name, collection_id=None, image_sha256=digest, lease=upload
            )

    async def finish(dependencies: Dependencies, snapshot: Snapshot) -> None:
        await read(dependencies, snapshot)
        if not reads:
            await dependencies.metadata.finish_detection(
                "in-progress", width=600, height=400, faces=[], lease=upload
            )
        reads.append(snapshot)

    reads: list[Snapshot] = []
    upload = Lease(30)
    read = audit.read_stores
    base.by_hand(two_uploads)
    monkeypatch.setattr(audit, "read_stores", finish)
    status, said = base.audit(monkeypatch, "--confirm")
    assert (status, len(reads)) == (1, 2)
    assert "1  vectors without a face" in said
    assert "1  unfinished detections" in said
    assert "photo crashed" in said
    assert "in-progress" not in said


def test_with_confirm_stores_that_agree_are_read_once(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    assert base.audit(monkeypatch, "--confirm") == (0, "the three stores agree on 1 photos\n")


def test_a_face_whose_vector_was_lost_is_found_again_by_a_selfie(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.by_hand(lambda dependencies: _face_without_vector(dependencies, base))
    assert base.audit(monkeypatch, "--fix")[0] == 0

    async def search(dependencies: Dependencies) -> None:
        box = BoundingBox(178.6, 63.4, 269.1, 173.9)
        seen: FacesInImage = await dependencies.finder.detect_and_embed(
            photos.selfie_of(photos.astronaut(), box)
        )
        embedding = seen.faces[0].embedding
        assert embedding is not None
        found = await dependencies.vectors.nearest(
            embedding, photos=1, score_threshold=0.5, collection_ids=["space"]
        )
        assert [match.photo_id for match in found] == [PHOTO]

    base.by_hand(search)


def test_few_examples_are_printed_but_all_differences_are_counted(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.by_hand(lambda dependencies: dependencies.vectors.save_faces([a_vector() for _ in range(20)]))
    status, said = base.audit(monkeypatch, "--examples", "2")
    assert (status, said.count("photo stranger")) == (1, 2)
    assert "20  vectors without a face" in said


def test_a_bucket_without_half_of_the_images_is_treated_as_a_wrong_bucket(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def photos_without_images(dependencies: Dependencies) -> None:
        for number in range(12):
            lease = Lease(5)
            await dependencies.metadata.begin_detection(
                f"photo-{number}", collection_id=None, image_sha256="5f" * 32, lease=lease
            )
            await dependencies.metadata.finish_detection(
                f"photo-{number}", width=1, height=1, faces=[], lease=lease
            )

    base.by_hand(photos_without_images)
    status, said = base.audit(monkeypatch, "--fix")
    assert status == 2
    assert "S3_BUCKET" in said
    assert "12  photos without an image" in base.audit(monkeypatch)[1], "nothing was repaired"


def test_vectors_without_any_photo_are_treated_as_those_of_another_database(
    base: Base, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base.by_hand(lambda dependencies: dependencies.vectors.save_faces([a_vector() for _ in range(20)]))
    monkeypatch.setenv("POSTGREST_URL", f"sqlite:///{tmp_path / 'another.db'}")
    status, said = base.audit(monkeypatch, "--fix")
    assert status == 2
    assert "POSTGREST_URL" in said


def test_images_that_were_never_detected_are_counted_and_kept(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two_images(dependencies: Dependencies) -> None:
        for name in ("never-seen", "nor-this-one"):
            await dependencies.images.put(name, b"image", "image/png")

    base.by_hand(two_images)
    status, said = base.audit(monkeypatch, "--fix")
    assert status == 0
    assert "2  images were never sent to /detect_faces/" in said

    async def are_still_there(dependencies: Dependencies) -> None:
        assert await dependencies.images.exists("never-seen")
        assert await dependencies.images.exists("nor-this-one")

    base.by_hand(are_still_there)


def test_the_image_of_a_purged_photo_is_removed_and_that_of_a_photo_detected_again_stays(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.by_hand(lambda dependencies: _image_of_purged_photo(dependencies, base))
    assert base.audit(monkeypatch, "--fix")[0] == 0

    async def is_gone_then_back(dependencies: Dependencies) -> None:
        assert not await dependencies.images.exists("cup")
        lease = Lease(5)
        digest = _digest(photos.coffee_cup())
        await dependencies.images.put("cup", photos.coffee_cup().read_bytes(), "image/png")
        await dependencies.metadata.begin_detection(
            "cup", collection_id=None, image_sha256=digest, lease=lease
        )
        await dependencies.metadata.finish_detection("cup", width=600, height=400, faces=[], lease=lease)
        _, removal = indexing_of(dependencies)
        await removal.remove_purged_image("cup")
        assert await dependencies.images.exists("cup")

    base.by_hand(is_gone_then_back)


def test_an_upload_during_the_repair_is_not_treated_as_a_photo_without_an_image(
    base: Base,
) -> None:
    async def race(dependencies: Dependencies) -> None:
        _, removal = indexing_of(dependencies)
        upload = Lease(5)
        digest = _digest(photos.coffee_cup())
        await dependencies.metadata.begin_detection(
            "cup", collection_id=None, image_sha256=digest, lease=upload
        )
        mending = asyncio.create_task(removal.forget_without_image("cup"))
        await asyncio.sleep(0.3)  # the audit has found no image, and waits for the photo's lease
        await dependencies.images.put("cup", photos.coffee_cup().read_bytes(), "image/png")
        await dependencies.metadata.finish_detection("cup", width=600, height=400, faces=[], lease=upload)
        assert await mending == 0
        assert await dependencies.metadata.photo("cup") is not None
        assert await dependencies.images.exists("cup")

    base.by_hand(race)


def test_a_missing_setting_is_reported_and_the_exit_status_is_2(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGREST_URL", "")
    status, said = base.audit(monkeypatch)
    assert status == 2
    assert "POSTGREST_URL" in said


def test_the_snapshot_keeps_its_data_in_a_file_and_not_in_memory(tmp_path: Path) -> None:
    def batch(start: int) -> list[str]:
        return [f"photo-{number:08}" for number in range(start, start + 1000)]

    with Snapshot(tmp_path / "snapshot.db") as snapshot:
        tracemalloc.start()
        for start in range(0, 20_000, 1000):
            names = batch(start)
            snapshot.add_images(names)
            snapshot.add_photos([PhotoRecord(name, None, "5f" * 32, 1, 1) for name in names])
            snapshot.add_vectors([StoredVector(str(uuid.uuid4()), name, None) for name in names])
        assert snapshot.count(Kind.VECTOR_WITHOUT_FACE) == 20_000
        assert sum(1 for _ in snapshot.findings(Kind.VECTOR_WITHOUT_FACE)) == 20_000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5_000_000


def _digest(path: Path) -> str:
    from bentos.domain.ids import image_digest

    return image_digest(path.read_bytes())
