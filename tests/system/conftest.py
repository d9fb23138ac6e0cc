"""Fixtures: the services as real processes on embedded stores, each started once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bentos.demo.embedded import SERVICE, embedded_environment
from bentos.demo.process import serving

KEY = "0123456789abcdef-key-of-the-tests"


@dataclass(frozen=True)
class Live:
    """A running service, the folder of its data and its log."""

    url: str
    folder: Path
    log: Path
    pid: int

    def client(self, timeout: float = 60) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-Api-Key": KEY}, timeout=timeout)


@dataclass(frozen=True)
class Service:
    """A running service: the all-in-one or one of the two."""

    name: str
    target: str
    live: Live


TARGETS = {
    "face-search": SERVICE,
    "image-vectorizer": "bentos.vectorizer.service:ImageVectorizer",
    "image-search": "bentos.search.service:ImageSearch",
}


@pytest.fixture(scope="session", params=TARGETS)
def each_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The all-in-one, then image-vectorizer, then image-search; each on its own stores."""
    name: str = request.param
    if name == "face-search":
        yield Service(name, TARGETS[name], request.getfixturevalue("live"))
        return
    with running(TARGETS[name], tmp_path_factory.mktemp(name)) as live:
        yield Service(name, TARGETS[name], live)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(SERVICE, tmp_path_factory.mktemp("all-in-one")) as service:
        yield service


@contextmanager
def running(target: str, folder: Path, **settings: str) -> Iterator[Live]:
    environment = {**embedded_environment(folder, KEY), "DOCS_ENABLED": "true", **settings}
    with serving(target, environment, log=folder / "service.log") as service:
        yield Live(service.url, folder, service.log, service.process.pid)
