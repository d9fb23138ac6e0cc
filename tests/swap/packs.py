"""Makes two face packs with incomparable embeddings: the default pack, and the same with rotated outputs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bentos.pipeline.pack_info import DETECTOR_FILE, RECOGNISER_FILE, PackInfo
from bentos.pipeline.pack_store import face_pack_folder

OLD, NEW = "yunet-mbf", "rotated"
ROOT = Path(__file__).parents[2]


def model_home(folder: Path) -> Path:
    """A BentoML home in `folder` with both packs in its model store."""
    home = folder / "bentoml"
    default = face_pack_folder(OLD)
    shutil.copytree(default.parent, home / "models" / OLD)
    own = folder / NEW
    own.mkdir()
    shutil.copyfile(default / DETECTOR_FILE, own / DETECTOR_FILE)
    onnx.save(_rotated(onnx.load(str(default / RECOGNISER_FILE))), str(own / RECOGNISER_FILE))
    subprocess.run(
        [sys.executable, "-m", "models.assemble", "--dir", str(own)],
        cwd=ROOT,
        env={**os.environ, "BENTOML_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    return home


def pack_in(home: Path, name: str) -> PackInfo:
    models = home / "models" / name
    return PackInfo.read(models / (models / "latest").read_text().strip())


def _rotated(model: onnx.ModelProto) -> onnx.ModelProto:
    """The recogniser followed by an orthogonal matrix: cosines within the pack stay, those between packs are near 0."""
    (output,) = model.graph.output
    dim = output.type.tensor_type.shape.dim[1].dim_value
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(dim, dim)))[0].astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(rotation, "rotation"))
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == output.name:
                node.output[index] = "before_rotation"
    model.graph.node.append(helper.make_node("MatMul", ["before_rotation", "rotation"], [output.name]))
    return model
