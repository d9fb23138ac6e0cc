"""Finds face packs in the BentoML model store, and checks the service's pack at start."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml

from bentos.config.settings import Settings, SettingsError
from bentos.config.startup import is_serving
from bentos.pipeline.pack_info import BadPackInfo, PackInfo


def pack_or_exit(settings: Settings) -> None:
    """Check that the face pack exists and has the configured dimension; exit the process with one sentence if not."""
    if not is_serving():
        return
    try:
        checked_pack(settings)
    except SettingsError as error:
        raise SystemExit(str(error)) from None


def checked_pack(settings: Settings) -> PackInfo:
    """The face pack of the settings. Raises `SettingsError` when it is missing or has another dimension."""
    try:
        pack = PackInfo.read(face_pack_folder(settings.face_pack))
    except bentoml.exceptions.BentoMLException:
        command = f"python -m models.assemble --pack {settings.face_pack}"
        raise SettingsError(
            f"FACE_PACK: {settings.face_pack!r} is not in the model store; run `{command}`."
        ) from None
    except BadPackInfo as error:
        raise SettingsError(f"FACE_PACK: {error}") from None
    if pack.dimension != settings.embedding_dim:
        raise SettingsError(
            f"EMBEDDING_DIM is {settings.embedding_dim}, but the face pack {pack.name!r} makes embeddings of "
            f"{pack.dimension} dimensions."
        )
    return pack


def face_pack_folder(name: str) -> Path:
    """The folder of the assembled pack: in the bento that is running, else in the model store."""
    if in_the_image := _folder_in_the_image(name):
        return in_the_image
    return Path(bentoml.models.BentoModel(f"{name}:latest").resolve().path)


def _folder_in_the_image(name: str) -> Path | None:
    """BentoML finds the models of a bento only while it serves that bento; a tool in the same image needs them too."""
    models = Path(os.environ.get("BENTO_PATH", "")) / "models" / name
    try:
        return models / (models / "latest").read_text(encoding="utf-8").strip()
    except OSError:
        return None
