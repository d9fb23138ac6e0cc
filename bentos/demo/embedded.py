"""The settings of the all-in-one on embedded parts: everything in one folder, nothing to install."""

from __future__ import annotations

import secrets
from pathlib import Path

SERVICE = "bentos.all_in_one:FaceSearch"


def embedded_environment(folder: Path, api_key: str | None = None) -> dict[str, str]:
    """Milvus Lite, SQLite and an image folder below `folder`, and a key that was made just now."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "API_KEY": api_key or secrets.token_hex(24),
        "MILVUS_URI": str(folder / "vectors.db"),
        "POSTGREST_URL": f"sqlite:///{folder / 'metadata.db'}",
        "S3_ENDPOINT_URL": f"file://{folder / 'images'}",
    }
