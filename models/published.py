"""Provides a pack's published models, from the catalogue's archives or from a user's folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bentos.pipeline.pack_info import file_sha256, fingerprint
from models.catalog import LANDMARK_MODEL, PACKS, CataloguedPack
from models.errors import PackError
from models.fetch import fetch
from models.own_folder import OwnFolder

Choice = CataloguedPack | OwnFolder

_OWN_LICENCE = "that of the files in the user's folder, for which the user is responsible"


@dataclass(frozen=True, slots=True)
class Published:
    """Two graphs and the weights of the landmark model, and their description.

    `dimension` is None if it is not known.
    """

    name: str
    detector: Path
    recogniser: Path
    landmarks: Path
    detector_source: str
    recogniser_source: str
    landmarks_source: str
    licence: str
    commercial_use: bool
    dimension: int | None


def fingerprint_of(choice: Choice) -> str:
    """The fingerprint of the pack to be assembled, without fetching files. Raises `PackError`."""
    if isinstance(choice, CataloguedPack):
        return fingerprint(choice.detector.sha256, choice.recogniser.sha256, LANDMARK_MODEL.source.sha256)
    own = fingerprint(
        file_sha256(choice.detector), file_sha256(choice.recogniser), LANDMARK_MODEL.source.sha256
    )
    if any(pack.name == choice.name and fingerprint_of(pack) != own for pack in PACKS):
        raise PackError(
            f"{choice.name} is the name of a pack of the catalogue and the files in the folder are others: "
            "rename the folder."
        )
    return own


@contextmanager
def opened(choice: Choice) -> Iterator[Published]:
    """The published files, fetched into a temporary folder if necessary. Raises `PackError`."""
    with tempfile.TemporaryDirectory(prefix="face-pack-") as scratch:
        folder = Path(scratch)
        if isinstance(choice, OwnFolder):
            yield _of_own_folder(choice, fetch([LANDMARK_MODEL.source], folder)[0])
        else:
            sources = (choice.detector, choice.recogniser, LANDMARK_MODEL.source)
            yield _of_catalogue(choice, *fetch(sources, folder))


def _of_own_folder(own: OwnFolder, landmarks: Path) -> Published:
    return Published(
        name=own.name,
        detector=own.detector,
        recogniser=own.recogniser,
        landmarks=landmarks,
        detector_source=f"folder:{own.detector.name}",
        recogniser_source=f"folder:{own.recogniser.name}",
        landmarks_source=str(LANDMARK_MODEL.source),
        licence=next((pack.licence for pack in PACKS if pack.name == own.name), _OWN_LICENCE),
        commercial_use=any(pack.name == own.name and pack.commercial_use for pack in PACKS),
        dimension=None,
    )


def _of_catalogue(pack: CataloguedPack, detector: Path, recogniser: Path, landmarks: Path) -> Published:
    return Published(
        name=pack.name,
        detector=detector,
        recogniser=recogniser,
        landmarks=landmarks,
        detector_source=str(pack.detector),
        recogniser_source=str(pack.recogniser),
        landmarks_source=str(LANDMARK_MODEL.source),
        licence=pack.licence,
        commercial_use=pack.commercial_use,
        dimension=pack.dimension,
    )
