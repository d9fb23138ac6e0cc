"""`python -m models.quality`: how alike the embeddings of one face are, whatever the photo is like, as tables.

It measures the pipeline as the services run it, on the eight people of the photos that ship with the installed
packages. They are too few to say how many strangers are taken for each other: `models.evaluate` measures that on
photos of one's own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.faces import BoundingBox, Embedding, Face, FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.local import extraction_of
from models.altered import TURNS, Picture, kinds, opened, people_free, saved, scenes, selfie, small, turned

_SIDES = (16, 20, 24, 32, 40, 48, 64)
"""Widths of small faces, pixels."""

_MATCH = 0.5
"""Lowest cosine of a match, as `SCORE_THRESHOLD` is shipped."""


@dataclass(frozen=True, slots=True)
class Person:
    """One face of a photo and the embedding under which it is indexed."""

    picture: Picture
    file: bytes
    face: Face
    embedding: Embedding


class Quality:
    """Indexes the shipped people with `extraction` and searches for them."""

    def __init__(self, extraction: Extraction) -> None:
        self._extraction = extraction
        self.people = [
            person
            for path in (photos.group_photo(), photos.astronaut(), photos.portrait())
            for person in self._indexed(opened(path), path.read_bytes())
        ]

    def same_file(self) -> list[float]:
        """Of each person the cosine when the very file that was indexed is searched."""
        return [self._best(person, self._searched(person.file, person.face.bbox)) for person in self.people]

    def same_pixels(self) -> list[float]:
        """The same with the photo saved as PNG and as JPEG of quality 95."""
        return [
            self._best(person, self._searched(saved(person.picture, kind, quality=95), person.face.bbox))
            for kind in ("PNG", "JPEG")
            for person in self.people
        ]

    @cached_property
    def altered(self) -> dict[str, list[float]]:
        """By kind of alteration the cosines of altered selfies to their person; 0 for a face that is not found."""
        return {
            kind.name: [
                self._best(person, self._searched(alteration(selfie(person.picture, person.face.bbox))))
                for alteration in kind.alterations
                for person in self.people
            ]
            for kind in kinds()
        }

    def small(self) -> dict[int, list[float]]:
        """The cosines of faces that are so many pixels wide, by width."""
        return {
            side: [
                self._best(person, self._searched(small(person.picture, person.face.bbox, side)))
                for person in self.people
            ]
            for side in _SIDES
        }

    def found_turned(self, degrees: int) -> tuple[int, int]:
        """How many people are the best match of an upright selfie when their photos were indexed turned, and of a
        turned selfie when they were indexed upright.
        """
        indexed = [
            person.embedding
            for picture in _once_each(person.picture for person in self.people)
            for person in self._indexed(*_as_file(turned(picture, degrees)))
        ]
        selfies = [selfie(person.picture, person.face.bbox, margin=0.35) for person in self.people]
        upright = [self._searched(saved(picture)) for picture in selfies]
        sideways = [self._searched(saved(turned(picture, degrees))) for picture in selfies]
        return self._first(indexed, upright), self._first([p.embedding for p in self.people], sideways)

    def faces_of_nobody(self) -> int:
        """Faces in the photos without people, at all turns, as photos and as selfies."""
        files = [
            saved(turned(picture, degrees), "PNG") for picture in people_free().values() for degrees in TURNS
        ]
        return sum(len(self._detected(file)) + len(self._searched(file)) for file in files)

    def scenes(self) -> Iterable[str]:
        """A row for each scene: faces found, faces where there are none, milliseconds of the processor."""
        # Two of the eight are in profile or at the border of their photo: small ones of the others serve.
        faces = [selfie(person.picture, person.face.bbox) for person in self.people[:7]]
        for scene in scenes(faces):
            started = time.thread_time()
            found = self._detected(scene.jpeg)
            spent = 1000 * (time.thread_time() - started)
            centres = [((f.bbox.x1 + f.bbox.x2) / 2, (f.bbox.y1 + f.bbox.y2) / 2) for f in found]
            hits = [sum(p.x1 <= x <= p.x2 and p.y1 <= y <= p.y2 for x, y in centres) for p in scene.places]
            yield f"| {scene.name} | {sum(map(bool, hits))} | {len(found) - sum(map(bool, hits))} | {spent:.0f} |"

    def _indexed(self, picture: Picture, file: bytes) -> list[Person]:
        """As image-vectorizer does: detect, then embed each face from its stored landmarks."""
        faces = self._detected(file)
        embedded = self._embedded(file, faces)
        return [
            Person(picture, file, face, again.embedding)
            for face, again in zip(faces, embedded, strict=True)
            if again.embedding is not None
        ]

    def _detected(self, file: bytes) -> Sequence[Face]:
        return _faces(self._extraction.detect([file])[0])

    def _searched(self, file: bytes, box: BoundingBox | None = None) -> list[Embedding]:
        """As image-search does. It refuses several faces: here each is embedded, or the one that is in `box`, which is
        detected from near.
        """
        faces = _faces(self._extraction.embed_only_face([file])[0])
        if len(faces) > 1:
            if box is not None:
                faces = _faces(self._extraction.detect_in_region([(file, box)])[0])
            faces = self._embedded(file, faces)
        return [face.embedding for face in faces if face.embedding is not None]

    def _embedded(self, file: bytes, faces: Sequence[Face]) -> Sequence[Face]:
        return _faces(self._extraction.embed([(file, [face.landmarks for face in faces])])[0])

    @staticmethod
    def _best(person: Person, found: Sequence[Embedding]) -> float:
        return max((float(person.embedding @ embedding) for embedding in found), default=0.0)

    def _first(self, indexed: Sequence[Embedding], searched: Sequence[Sequence[Embedding]]) -> int:
        """For how many people the best match in `indexed` is that person, and no weak one."""
        if not indexed:
            return 0
        own = np.array([person.embedding for person in self.people])
        right = 0
        for number, found in enumerate(searched):
            # A selfie may show a neighbour too: the face meant is the one that is most like its person.
            face = max(found, key=lambda embedding: float(own[number] @ embedding), default=None)
            if face is not None:
                best = max(indexed, key=lambda embedding: float(face @ embedding))
                right += bool(best @ face >= _MATCH and int(np.argmax(own @ best)) == number)
        return right


def report(quality: Quality) -> Iterable[str]:
    """The tables, as Markdown."""
    yield "| | mean | 5th percentile | least | not found |\n| --- | --- | --- | --- | --- |"
    yield _row("the same file", quality.same_file())
    yield _row("the same pixels as PNG and JPEG", quality.same_pixels())
    altered = quality.altered
    for name, cosines in altered.items():
        yield _row(name, cosines)
    yield _row("all alterations", [cosine for cosines in altered.values() for cosine in cosines])
    for side, cosines in quality.small().items():
        yield _row(f"face of {side} px", cosines)
    yield ""
    total = len(quality.people)
    yield f"| turned by | photo turned, of {total} | selfie turned, of {total} |\n| --- | --- | --- |"
    for degrees in TURNS:
        photo, searched = quality.found_turned(degrees)
        yield f"| {degrees}° | {photo} | {searched} |"
    yield f"\nFaces in photos without people, at all turns: {quality.faces_of_nobody()}\n"
    yield "| scene | found | false | ms |\n| --- | --- | --- | --- |"
    yield from quality.scenes()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0."""
    parser = argparse.ArgumentParser(prog="python -m models.quality", description=__doc__)
    parser.parse_args(arguments)
    settings = Settings()
    for line in report(Quality(extraction_of(face_pack_folder(settings.face_pack), settings))):
        print(line, flush=True)
    return 0


def _row(name: str, cosines: Sequence[float]) -> str:
    found: NDArray[np.float64] = np.array([cosine for cosine in cosines if cosine > 0])
    missing = len(cosines) - len(found)
    return f"| {name} | {found.mean():.3f} | {np.percentile(found, 5):.3f} | {found.min():.3f} | {missing} |"


def _as_file(picture: Picture) -> tuple[Picture, bytes]:
    return picture, saved(picture, "PNG")


def _once_each(pictures: Iterable[Picture]) -> list[Picture]:
    return list({id(picture): picture for picture in pictures}.values())


def _faces(found: object) -> Sequence[Face]:
    if not isinstance(found, FacesInImage):
        raise TypeError(f"a photo made here cannot be read: {found}")
    return found.faces


if __name__ == "__main__":
    sys.exit(main())
