"""Tests of every endpoint of both containers, with real photos and real stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bentos.client import FaceSearch
from bentos.demo import photos
from bentos.demo.scenario import box_of
from bentos.domain.faces import BoundingBox
from tests.containers.engine import Container
from tests.rollout.stores import KEY


@pytest.fixture(scope="module")
def client(search: Container, vectorizer: Container) -> Iterator[FaceSearch]:
    client = FaceSearch(vectorizer.url, KEY, search_url=search.url)
    yield client
    client.close()


def test_a_photo_from_detection_to_removal(client: FaceSearch) -> None:
    assert client.ping().service == "image-search"
    photo = client.detect_faces(photos.group_photo().read_bytes(), collection_id="containers")
    assert len(photo.faces) == 6
    for face in photo.faces:
        assert client.add_face(face.face_id).status == "indexed"
    (recorded,) = [p for p in client.embed_status().items if p.photo_id == photo.photo_id]
    assert (recorded.status, recorded.faces_indexed) == ("indexed", 6)
    face = photo.faces[0]
    selfie = photos.selfie_of(photos.group_photo(), box_of(face))
    (found,) = client.search(selfie, collection_id="containers", include_url=True).results
    assert (found.photo_id, found.face_id) == (photo.photo_id, face.face_id)
    assert (found.url or "").startswith("http")
    assert client.remove(photo.photo_id, purge=True).faces_removed == 6
    assert client.search(selfie, collection_id="containers").results == ()


def test_remove_all(client: FaceSearch) -> None:
    photo = client.detect_faces(photos.astronaut().read_bytes(), collection_id="all")
    client.add_face(photo.faces[0].face_id)
    assert client.remove_all().faces_removed >= 1
    box = BoundingBox(*photo.faces[0].bbox)
    assert client.search(photos.selfie_of(photos.astronaut(), box)).results == ()
