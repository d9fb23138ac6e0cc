"""The demo's scenario: indexes photos, searches with selfies, removes a photo, and checks each answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bentos.client import FaceSearch
from bentos.client.answers import Face, Photo
from bentos.client.errors import ApiError
from bentos.demo import photos
from bentos.domain.faces import BoundingBox

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Row:
    query: str
    found: str
    score: str
    ms: float
    right: bool


class Scenario:
    """Runs once against an empty database; `say` receives each line of output."""

    def __init__(self, client: FaceSearch, say: Say) -> None:
        self._client, self._say = client, say
        self._names: dict[str, str] = {}
        self._rows: list[_Row] = []
        self._right = True

    def run(self) -> bool:
        """Index, search and remove photos. Returns whether every answer was right."""
        group = self._index("group photo", photos.group_photo())
        astronaut = self._index("astronaut", photos.astronaut())
        portrait = self._detect("portrait", photos.portrait())
        self._say("")
        for number, face in enumerate(group.faces, start=1):
            selfie = photos.selfie_of(photos.group_photo(), box_of(face), degrees=(-1) ** number * 6.0)
            self._search(f"selfie of person {number}", selfie, expect=(group.photo_id, face.face_id))
        face = astronaut.faces[0]
        selfie = photos.selfie_of(photos.astronaut(), box_of(face), light=0.85)
        self._search("selfie of the astronaut", selfie, expect=(astronaut.photo_id, face.face_id))
        face = portrait.faces[0]
        selfie = photos.selfie_of(photos.portrait(), box_of(face), scale=2.5)
        self._search("portrait, never indexed", selfie, expect=None)
        self._client.add_face(face.face_id)
        self._search("portrait, indexed now", selfie, expect=(portrait.photo_id, face.face_id))
        self._client.remove(portrait.photo_id)
        self._search("portrait, removed again", selfie, expect=None)
        self._refused("the whole group as one selfie", photos.group_photo(), "too_many_faces")
        self._refused("a cup of coffee", photos.coffee_cup(), "no_faces_detected")
        self._table()
        return self._right

    def _detect(self, name: str, path: Path) -> Photo:
        photo = self._client.detect_faces(path.read_bytes())
        self._names[photo.photo_id] = name
        self._say(f"{name}: {len(photo.faces)} face(s) found in {photo.width}x{photo.height}")
        return photo

    def _index(self, name: str, path: Path) -> Photo:
        photo = self._detect(name, path)
        for face in photo.faces:
            self._client.add_face(face.face_id)
        self._say(f"{name}: indexed")
        return photo

    def _search(self, query: str, selfie: bytes, *, expect: tuple[str, str] | None) -> None:
        started = time.perf_counter()
        results = self._client.search(selfie).results
        ms = (time.perf_counter() - started) * 1000
        found = [(match.photo_id, match.face_id) for match in results]
        right = found == ([expect] if expect else [])
        name = ", ".join(self._names[photo_id] for photo_id, _ in found) or "nothing"
        score = f"{results[0].score:.3f}" if results else "-"
        self._note(_Row(query, name, score, ms, right))

    def _refused(self, query: str, path: Path, code: str) -> None:
        started = time.perf_counter()
        try:
            self._client.search(path.read_bytes())
            answer = "an answer"
        except ApiError as error:
            answer = error.error
        ms = (time.perf_counter() - started) * 1000
        self._note(_Row(query, answer, "-", ms, answer == code))

    def _note(self, row: _Row) -> None:
        self._rows.append(row)
        self._right = self._right and row.right

    def _table(self) -> None:
        self._say(f"{'query':<32}{'found':<20}{'score':>7}{'ms':>8}  ")
        for row in self._rows:
            verdict = "ok" if row.right else "WRONG"
            self._say(f"{row.query:<32}{row.found:<20}{row.score:>7}{row.ms:>8.0f}  {verdict}")


def box_of(face: Face) -> BoundingBox:
    """The bounding box of a face in an answer."""
    return BoundingBox(*face.bbox)
