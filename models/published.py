"""Provides a pack's two published graphs, from the catalogue's archives or from a user's folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bentos.pipeline.pack_info import file_sha256, fingerprint
from models.catalog import PACKS, CataloguedPack
from models.errors import PackError
from models.fetch import fetch
from models.own_folder import OwnFolder

Choice = CataloguedPack | OwnFolder

_OWN_LICENCE = "that of the files in the user's folder, for which the user is responsible"


@dataclass(frozen=True, slots=True)
class Published:
    """The two graphs and their description. `dimension` is None if it is not known."""

    name: str
    detector: Path
    recogniser: Path
    detector_source: str
    recogniser_source: str
    licence: str
    commercial_use: bool
    dimension: int | None


def fingerprint_of(choice: Choice) -> str:
    """The fingerprint of the pack to be assembled, without fetching files. Raises `PackError`."""
    if isinstance(choice, CataloguedPack):
        return fingerprint(choice.detector.sha256, choice.recogniser.sha256)
    own = fingerprint(file_sha256(choice.detector), file_sha256(choice.recogniser))
    if any(pack.name == choice.name and fingerprint_of(pack) != own for pack in PACKS):
        raise PackError(
            f"{choice.name} is the name of a pack of the catalogue and the files in the folder are others: "
            "rename the folder."
        )
    return own


@contextmanager
def opened(choice: Choice) -> Iterator[Published]:
    """The published files, fetched into a temporary folder if necessary. Raises `PackError`."""
    if isinstance(choice, OwnFolder):
        yield Published(
            name=choice.name,
            detector=choice.detector,
            recogniser=choice.recogniser,
            detector_source=f"folder:{choice.detector.name}",
            recogniser_source=f"folder:{choice.recogniser.name}",
            licence=next((pack.licence for pack in PACKS if pack.name == choice.name), _OWN_LICENCE),
            commercial_use=any(pack.name == choice.name and pack.commercial_use for pack in PACKS),
            dimension=None,
        )
        return
    with tempfile.TemporaryDirectory(prefix="face-pack-") as scratch:
        detector, recogniser = fetch((choice.detector, choice.recogniser), Path(scratch))
        yield Published(
            name=choice.name,
            detector=detector,
            recogniser=recogniser,
            detector_source=str(choice.detector),
            recogniser_source=str(choice.recogniser),
            licence=choice.licence,
            commercial_use=choice.commercial_use,
            dimension=choice.dimension,
        )
