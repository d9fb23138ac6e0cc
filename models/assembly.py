"""Assembles a face pack from published models: conditions, compares with the originals, describes, saves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto

from bentos.pipeline.pack_info import (
    DETECTOR_FILE,
    LANDMARKS_FILE,
    RECOGNISER_FILE,
    PackFile,
    PackInfo,
    file_sha256,
    fingerprint,
)
from models import equivalence, onet, store
from models.catalog import find_pack
from models.conditioning import fix_weights, flush_vanishing, fold_constants, free_batch
from models.errors import PackError
from models.prelu import rewrite_prelu
from models.pruning import drop_dead_channels
from models.published import Choice, Published, fingerprint_of, opened
from models.torch_pickle import read_tensors
from models.yunet import is_yunet, to_scrfd

Say = Callable[[str], None]


def condition_recogniser(model: ModelProto) -> ModelProto:
    """Apply every transform for recognisers; (batch, 3, 112, 112) in, (batch, dimension) out."""
    plain = flush_vanishing(fold_constants(fix_weights(model)))
    return free_batch(rewrite_prelu(drop_dead_channels(plain)))


def condition_detector(model: ModelProto) -> ModelProto:
    """Apply every transform for detectors: YuNet becomes an SCRFD, an SCRFD keeps its inputs and outputs."""
    scrfd = to_scrfd(model) if is_yunet(model) else model
    return rewrite_prelu(flush_vanishing(fold_constants(fix_weights(scrfd))))


def ensure(pack_name: str) -> Path:
    """The folder of this pack of the catalogue, which is assembled if necessary. Raises `PackError`."""
    pack = find_pack(pack_name)
    folder = find(pack)
    if folder is not None:
        return folder
    with opened(pack) as published:
        return assemble(published, replace=False, say=lambda _: None)


def find(choice: Choice) -> Path | None:
    """The folder of the pack if it is assembled and complete; it then becomes the latest of its name.

    Raises `PackError`.
    """
    tag = store.tag_for(choice.name, fingerprint_of(choice))
    folder = store.find(tag)
    if folder is not None:
        store.make_latest(tag)
    return folder


def assemble(published: Published, *, replace: bool, say: Say) -> Path:
    """Assemble the pack and save it into the store, with `replace` also over an existing one. Returns its folder.

    Raises `PackError`.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="face-pack-") as scratch:
            info = _make(published, Path(scratch), say)
            saved = store.save(Path(scratch), info, replace=replace)
    except PackError:
        raise
    except OSError as error:
        raise PackError(f"{published.name} could not be written: {error}.") from error
    except Exception as error:  # the exceptions of ONNX, ONNX Runtime and OpenCV have no common base class
        reason = (str(error).splitlines() or [""])[0]
        raise PackError(
            f"{published.name} cannot be conditioned ({type(error).__name__}: {reason}): "
            "InsightFace could not open its graphs either."
        ) from error
    say(f"{store.tag_of(info)} is assembled: {info.dimension} dimensions. Licence: {info.licence}.")
    return saved


def _make(published: Published, folder: Path, say: Say) -> PackInfo:
    say("conditioning the detector and comparing it with the published detector")
    _condition_detector(published, folder / DETECTOR_FILE)
    say("conditioning the recogniser and comparing it with the published recogniser")
    dimension = _condition_recogniser(published, folder / DETECTOR_FILE, folder / RECOGNISER_FILE)
    say("writing the landmark model and comparing it with the published layers")
    _condition_landmarks(published, folder / LANDMARKS_FILE)
    info = _described(published, folder, dimension)
    info.write(folder)
    return info


def _condition_detector(published: Published, target: Path) -> None:
    model = _loaded(published.detector)
    onnx.save(condition_detector(model), str(target))
    check = equivalence.check_yunet if is_yunet(model) else equivalence.check_scrfd
    check(published.detector, target)


def _condition_recogniser(published: Published, detector: Path, target: Path) -> int:
    """The dimension of the recogniser's embeddings."""
    model = condition_recogniser(_loaded(published.recogniser))
    onnx.save(model, str(target))
    equivalence.check_recogniser(published.recogniser, target, equivalence.faces_of_the_group(detector))
    session = equivalence.session(target)
    nobody = np.zeros((1, 3, 112, 112), np.float32)
    dimension = int(session.run(None, {session.get_inputs()[0].name: nobody})[0].shape[1])
    if published.dimension not in (None, dimension):
        raise PackError(
            f"The recogniser of {published.name} gives {dimension} dimensions where the catalogue says "
            f"{published.dimension}: correct models/catalog.py."
        )
    return dimension


def _condition_landmarks(published: Published, target: Path) -> None:
    tensors = read_tensors(published.landmarks)
    onnx.save(rewrite_prelu(flush_vanishing(onet.to_onnx(tensors))), str(target))
    equivalence.check_landmarks(tensors, target)


def _loaded(path: Path) -> ModelProto:
    model: ModelProto = onnx.load(str(path))
    return model


def _described(published: Published, folder: Path, dimension: int) -> PackInfo:
    detector = PackFile(
        published.detector_source, file_sha256(published.detector), file_sha256(folder / DETECTOR_FILE)
    )
    recogniser = PackFile(
        published.recogniser_source, file_sha256(published.recogniser), file_sha256(folder / RECOGNISER_FILE)
    )
    landmarks = PackFile(
        published.landmarks_source, file_sha256(published.landmarks), file_sha256(folder / LANDMARKS_FILE)
    )
    sources = (detector.source_sha256, recogniser.source_sha256, landmarks.source_sha256)
    return PackInfo(
        name=published.name,
        dimension=dimension,
        licence=published.licence,
        commercial_use=published.commercial_use,
        detector=detector,
        recogniser=recogniser,
        landmarks=landmarks,
        fingerprint=fingerprint(*sources),
    )
