"""The all-in-one as real processes on embedded stores, started once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bentos.demo.embedded import SERVICE, embedded_environment
from bentos.demo.process import serving

KEY = "0123456789abcdef-key-of-the-tests"


@dataclass(frozen=True)
class Live:
    """A service that answers, the folder of its data and its log."""

    url: str
    folder: Path
    log: Path
    pid: int

    def client(self, timeout: float = 60) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-Api-Key": KEY}, timeout=timeout)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("all-in-one")
    environment = {**embedded_environment(folder, KEY), "DOCS_ENABLED": "true"}
    with serving(SERVICE, environment, log=folder / "service.log") as service:
        yield Live(service.url, folder, service.log, service.process.pid)
