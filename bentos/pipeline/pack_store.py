"""Face packs in the BentoML model store: where one lies, and the check that a service makes of it at start."""

from __future__ import annotations

from pathlib import Path

import bentoml

from bentos.config.settings import Settings
from bentos.config.startup import is_serving
from bentos.pipeline.pack_info import BadPackInfo, PackInfo


def pack_or_exit(settings: Settings) -> None:
    """See that the face pack is there and has the dimension that is set. Exits the process with one sentence."""
    if not is_serving():
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
