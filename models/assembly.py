"""From two published graphs to one assembled pack: condition, compare with what was published, describe, save."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from bentos.runner.pack_info import (
    DETECTOR_FILE,
    RECOGNISER_FILE,
    PackFile,
    PackInfo,
    file_sha256,
    fingerprint,
)
from models import equivalence, store
from models.catalog import CataloguedPack, find_pack
from models.conditioning import condition_detector, condition_recogniser
from models.errors import PackError
from models.fetch import fetch
from models.own_folder import OwnFolder
from models.yunet import is_yunet, to_scrfd

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Published:
    """The two graphs as they were published, and what is said of them."""

    name: str
    detector: Path
    recogniser: Path
    detector_source: str
    recogniser_source: str
    licence: str
    commercial_use: bool
    dimension: int | None


def ensure(pack_name: str) -> Path:
    """The folder of that pack of the catalogue, assembled when it was not yet. Raises `PackError`."""
    return assemble_catalogued(find_pack(pack_name), force=False, say=lambda _: None)


def assemble_catalogued(pack: CataloguedPack, *, force: bool, say: Say) -> Path:
    """The folder of the assembled pack; nothing is fetched when it is there already. Raises `PackError`."""
    identity = fingerprint(pack.detector.sha256, pack.recogniser.sha256)
    there = _already_there(pack.name, identity, force=force, say=say)
    if there is not None:
        return there
    with tempfile.TemporaryDirectory(prefix="face-pack-") as scratch:
        detector, recogniser = fetch((pack.detector, pack.recogniser), Path(scratch))
        published = Published(
            name=pack.name,
            detector=detector,
            recogniser=recogniser,
            detector_source=str(pack.detector),
            recogniser_source=str(pack.recogniser),
            licence=pack.licence,
            commercial_use=pack.commercial_use,
            dimension=pack.dimension,
        )
        return _assemble(published, Path(scratch), say)


def assemble_own(own: OwnFolder, *, force: bool, say: Say) -> Path:
    """The same for a folder of one's own. Raises `PackError`."""
    detector_sha256, recogniser_sha256 = file_sha256(own.detector), file_sha256(own.recogniser)
    there = _already_there(own.name, fingerprint(detector_sha256, recogniser_sha256), force=force, say=say)
    if there is not None:
        return there
    with tempfile.TemporaryDirectory(prefix="face-pack-") as scratch:
        published = Published(
            name=own.name,
            detector=own.detector,
            recogniser=own.recogniser,
            detector_source=f"folder:{own.detector.name}",
            recogniser_source=f"folder:{own.recogniser.name}",
            licence="that of the files in the folder; whoever assembled the pack answers for it",
            commercial_use=False,
            dimension=None,
        )
        return _assemble(published, Path(scratch), say)


def _already_there(name: str, identity: str, *, force: bool, say: Say) -> Path | None:
    tag = store.tag_for(name, identity)
    folder = None if force else store.find(tag)
    if folder is not None:
        store.make_latest(tag)
        say(f"{tag} is assembled already: nothing to do.")
    return folder


def _assemble(published: Published, scratch: Path, say: Say) -> Path:
    folder = scratch / "assembled"
    folder.mkdir()
    say("conditioning the detector")
    _condition_detector(published, folder / DETECTOR_FILE)
    say("conditioning the recogniser")
    dimension = _condition_recogniser(published, folder / DETECTOR_FILE, folder / RECOGNISER_FILE)
    detector = _described(published.detector_source, published.detector, folder / DETECTOR_FILE)
    recogniser = _described(published.recogniser_source, published.recogniser, folder / RECOGNISER_FILE)
    info = PackInfo(
        name=published.name,
        dimension=dimension,
        licence=published.licence,
        commercial_use=published.commercial_use,
        detector=detector,
        recogniser=recogniser,
        fingerprint=fingerprint(detector.source_sha256, recogniser.source_sha256),
    )
    info.write(folder)
    saved = store.save(folder, info)
    say(f"{store.tag_of(info)} is assembled: {info.dimension}-d, licence: {info.licence}.")
    return saved


def _condition_detector(published: Published, target: Path) -> None:
    model = onnx.load(str(published.detector))
    if is_yunet(model):
        onnx.save(condition_detector(to_scrfd(model)), str(target))
        equivalence.check_yunet(published.detector, target)
    else:
        onnx.save(condition_detector(model), str(target))
        equivalence.check_scrfd(published.detector, target)


def _condition_recogniser(published: Published, detector: Path, target: Path) -> int:
    """The dimension of its embeddings."""
    model = condition_recogniser(onnx.load(str(published.recogniser)))
    onnx.save(model, str(target))
    equivalence.check_recogniser(published.recogniser, target, equivalence.faces_of_the_group(detector))
    found = equivalence.session(target).run(
        None, {model.graph.input[0].name: np.zeros((1, 3, 112, 112), np.float32)}
    )
    dimension = int(found[0].shape[1])
    if published.dimension not in (None, dimension):
        raise PackError(
            f"The recogniser of {published.name} gives {dimension} dimensions where the catalogue says "
            f"{published.dimension}: correct models/catalog.py."
        )
    return dimension


def _described(source: str, published: Path, conditioned: Path) -> PackFile:
    return PackFile(source, file_sha256(published), file_sha256(conditioned))
