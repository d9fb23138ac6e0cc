"""What is checked before a service starts: a wrong setting stops it with one sentence instead of a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import bentoml

from bentos.common.settings import Role, Settings, SettingsError, load_settings, read_settings
from bentos.runner.pack_info import BadPackInfo, PackInfo


def settings_or_exit(role: Role | None = None) -> Settings:
    """The settings, for use while a service's module is imported.

    What a running service needs is asked for only where one is being started: a bento is built, and its OpenAPI
    document made, without a key and without stores. Exits the process with one sentence.
    """
    try:
        return load_settings(role) if role and _is_serving() else read_settings()
    except SettingsError as error:
        raise SystemExit(f"{error}") from None


def pack_or_exit(settings: Settings) -> None:
    """See that the face pack is there and has the dimension that is set. Exits the process with one sentence."""
    if not _is_serving():
        return
    try:
        pack = PackInfo.read(face_pack_folder(settings.face_pack))
    except bentoml.exceptions.BentoMLException:
        command = f"python -m models.assemble --pack {settings.face_pack}"
        raise SystemExit(
            f"FACE_PACK: {settings.face_pack!r} is not in the model store; run `{command}`."
        ) from None
    except BadPackInfo as error:
        raise SystemExit(f"FACE_PACK: {error}") from None
    if pack.dimension != settings.embedding_dim:
        raise SystemExit(
            f"EMBEDDING_DIM is {settings.embedding_dim}, but the face pack {pack.name!r} makes embeddings of "
            f"{pack.dimension} dimensions."
        )


def face_pack_folder(name: str) -> Path:
    """Where the assembled pack lies: in the bento that is running, else in the model store."""
    return Path(bentoml.models.BentoModel(f"{name}:latest").resolve().path)


def _is_serving() -> bool:
    program = Path(sys.argv[0])
    return "serve" in sys.argv[1:2] or program.parts[-2:] == ("worker", "service.py")
