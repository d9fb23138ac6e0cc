"""Fixtures: the real stack, started once for all tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.demo import photos
from bentos.domain.faces import BoundingBox
from tests.system.real.stack import Api, Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    # Not in pytest's folder: see `real_servers`.
    with tempfile.TemporaryDirectory(prefix="real-stack-") as folder, running_stack(Path(folder)) as running:
        yield running


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    api = stack.api()
    yield api
    api.close()


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """A photo of one person."""
    return photos.astronaut().read_bytes()


@pytest.fixture(scope="session")
def selfie() -> bytes:
    """A selfie of that person."""
    return photos.selfie_of(photos.astronaut(), BoundingBox(178.6, 63.4, 269.1, 173.9))
