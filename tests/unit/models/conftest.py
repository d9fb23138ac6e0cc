"""Fixtures: the default pack, assembled once, and its published files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.assembly import ensure
from models.catalog import DEFAULT_PACK, find_pack
from models.published import Published, opened


@pytest.fixture(scope="session")
def pack_folder() -> Path:
    """The default pack in the BentoML store of this run."""
    return ensure(DEFAULT_PACK)


@pytest.fixture(scope="session")
def published() -> Iterator[Published]:
    """The default pack's files as they are published."""
    with opened(find_pack(DEFAULT_PACK)) as files:
        yield files
