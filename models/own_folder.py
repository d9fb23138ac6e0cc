"""Finds out which ONNX file of a user's folder is the detector and which the recogniser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from models.errors import PackError
from models.yunet import is_yunet

_NAME = re.compile(r"[a-z0-9]([-._a-z0-9]{0,48}[a-z0-9])?")
_SCRFD_WITH_LANDMARKS = 9
_FACE = [3, 112, 112]


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """A detector and a recogniser found in a folder."""

    name: str
    detector: Path
    recogniser: Path


def look_into(folder: Path) -> OwnFolder:
    """Find the two graphs by their shapes, as InsightFace does. Raises `PackError`."""
    if not folder.is_dir():
        raise PackError(
            f"There is no folder {folder}: give --dir a folder that holds a detector and a recogniser."
        )
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise PackError(
            f"The folder's name {name!r} becomes the pack's: use lower case letters, digits and . _ - between them."
        )
    found: dict[str, list[Path]] = {"detector": [], "recogniser": []}
    for path in sorted(folder.glob("*.onnx")):
        role = _role_of(path)
        if role is not None:
            found[role].append(path)
    for role, paths in found.items():
        if len(paths) != 1:
            names = ", ".join(path.name for path in paths) or "none"
            raise PackError(
                f"{folder} must hold exactly one {role} "
                f"({'an SCRFD with landmarks' if role == 'detector' else 'with a 112×112 input'}); it holds {names}."
            )
    return OwnFolder(name, found["detector"][0], found["recogniser"][0])


def _role_of(path: Path) -> str | None:
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise PackError(f"{path} cannot be read as ONNX: take it out of the folder or replace it.") from error
    if is_yunet(model) or len(model.graph.output) == _SCRFD_WITH_LANDMARKS:
        return "detector"
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) == 1 and len(model.graph.output) == 1:
        shape = [dimension.dim_value for dimension in inputs[0].type.tensor_type.shape.dim]
        if shape[1:] == _FACE:
            return "recogniser"
    return None
