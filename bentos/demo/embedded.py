"""Settings that run the all-in-one service on embedded stores, with all data in one folder."""

from __future__ import annotations

import secrets
from pathlib import Path

SERVICE = "bentos.all_in_one:FaceSearch"


def embedded_environment(folder: Path, api_key: str | None = None) -> dict[str, str]:
    """Settings for Milvus Lite, SQLite and an image folder in `folder`; without `api_key`, a new random key."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "API_KEY": api_key or secrets.token_hex(24),
        "MILVUS_URI": str(folder / "vectors.db"),
        "POSTGREST_URL": f"sqlite:///{folder / 'metadata.db'}",
        "S3_ENDPOINT_URL": f"file://{folder / 'images'}",
    }
