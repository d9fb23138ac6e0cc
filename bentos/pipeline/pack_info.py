"""Reads and writes `pack.json`, the description of an assembled face pack. Needs only the standard library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

PACK_FILE = "pack.json"
DETECTOR_FILE = "detector.onnx"
RECOGNISER_FILE = "recogniser.onnx"
LANDMARKS_FILE = "landmarks.onnx"

CONDITIONING_VERSION = 2
"""Part of every fingerprint. Incremented when conditioning or alignment starts to give different vectors.

2: landmarks of O-Net, area-averaged shrinking before the crop.
"""


class BadPackInfo(Exception):
    """`pack.json` is missing or is not what `PackInfo.write` writes; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PackFile:
    """One graph of the pack: its source, and the SHA-256 (hex) of the source file and of the assembled file."""

    source: str
    source_sha256: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PackInfo:
    """The facts of one assembled pack.

    `dimension`: of the embeddings. `fingerprint` is the same on every machine for the same source
    files, and differs for any other: vectors are comparable exactly when their fingerprints are equal.
    """

    name: str
    dimension: int
    licence: str
    commercial_use: bool
    detector: PackFile
    recogniser: PackFile
    landmarks: PackFile
    fingerprint: str

    @classmethod
    def read(cls, folder: str | Path) -> PackInfo:
        """The facts of the pack in `folder`. Raises `BadPackInfo`."""
        path = Path(folder) / PACK_FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                name=str(found["name"]),
                dimension=int(found["dimension"]),
                licence=str(found["licence"]),
                commercial_use=bool(found["commercial_use"]),
                detector=_file_from(found["detector"]),
                recogniser=_file_from(found["recogniser"]),
                landmarks=_file_from(found["landmarks"]),
                fingerprint=str(found["fingerprint"]),
            )
        except OSError as error:
            raise BadPackInfo(
                f"{path} cannot be read: assemble the pack with `python -m models.assemble`."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadPackInfo(
                f"{path} is damaged or was made by an older version: assemble the pack again with "
                "`python -m models.assemble --force`."
            ) from error

    def write(self, folder: str | Path) -> None:
        """Write `pack.json` into `folder`."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        (Path(folder) / PACK_FILE).write_text(text, encoding="utf-8")


def fingerprint(*source_sha256: str) -> str:
    """Sixteen hex characters that identify the pack made of these files by this version of conditioning and alignment.

    `source_sha256`: of the detector, the recogniser and the landmark model as published, in this order.
    """
    identity = "\n".join([f"face-pack {CONDITIONING_VERSION}", *source_sha256, ""])
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hex; reads block by block, so that memory stays small."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()


def _file_from(found: Mapping[str, object]) -> PackFile:
    return PackFile(
        source=str(found["source"]),
        source_sha256=str(found["source_sha256"]),
        sha256=str(found["sha256"]),
    )
