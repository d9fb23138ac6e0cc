"""O-Net's graph against its layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from bentos.pipeline.pack_info import LANDMARKS_FILE
from models import onet
from models.catalog import LANDMARK_MODEL, PACKS
from models.equivalence import check_landmarks, session
from models.errors import PackError
from models.prelu import rewrite_prelu
from models.published import Published
from models.torch_pickle import Tensors, read_tensors
from tests.unit.models.small_graphs import operators

OUTPUTS = ["probability", "box", "landmarks"]


@pytest.fixture(scope="module")
def tensors(published: Published) -> Tensors:
    return read_tensors(published.landmarks)


def _faces(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 48, 48, 3)).astype(np.uint8)


def test_the_graph_gives_what_the_layers_give(tensors: Tensors) -> None:
    faces = _faces(5)
    expected = onet.reference(tensors, faces)
    for model in (onet.to_onnx(tensors), rewrite_prelu(onet.to_onnx(tensors))):
        found = session(model.SerializeToString()).run(OUTPUTS, {"faces": faces})
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-6)


def test_the_pack_holds_it_without_a_prelu_and_the_hash_of_the_published_file(
    pack_folder: Path, published: Published
) -> None:
    assert "PRelu" not in operators(onnx.load(str(pack_folder / LANDMARKS_FILE)))
    assert published.landmarks_source == str(LANDMARK_MODEL.source)
    assert "MIT" in LANDMARK_MODEL.licence
    assert all(pack.detector != LANDMARK_MODEL.source for pack in PACKS)


def test_a_batch_gives_what_single_faces_give(pack_folder: Path) -> None:
    opened, faces = session(pack_folder / LANDMARKS_FILE), _faces(4)
    together = opened.run(OUTPUTS, {"faces": faces})
    alone = [opened.run(OUTPUTS, {"faces": face[None]}) for face in faces]
    for number, output in enumerate(together):
        np.testing.assert_allclose(output, np.concatenate([each[number] for each in alone]), atol=1e-6)


@pytest.mark.parametrize("change", ["missing", "shape", "nan"])
def test_weights_of_another_model_are_refused(change: str, tensors: Tensors) -> None:
    others = dict(tensors)
    if change == "missing":
        del others["prelu3.weight"]
    elif change == "shape":
        others["dense5.weight"] = others["dense5.weight"].T
    else:
        others["conv2.bias"] = np.full_like(others["conv2.bias"], np.nan)
    with pytest.raises(PackError, match=r"not O-Net's: (prelu3|dense5|conv2)"):
        onet.to_onnx(others)


def test_a_graph_that_computes_something_else_is_refused(tensors: Tensors, tmp_path: Path) -> None:
    others = {**tensors, "dense6_3.bias": tensors["dense6_3.bias"] + np.float32(1e-3)}
    onnx.save(onet.to_onnx(others), str(tmp_path / LANDMARKS_FILE))
    with pytest.raises(PackError, match="differs from the published layers"):
        check_landmarks(tensors, tmp_path / LANDMARKS_FILE)
