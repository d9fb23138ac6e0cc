"""Fixtures: both images, running with the real stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.containers.engine import Container
from tests.rollout.stores import real_stores

Start = Callable[..., Container]

if "CONTAINER_TAG" not in os.environ:
    collect_ignore_glob = ["test_*.py"]  # `make container-test` builds the images and names them


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("stores")
    for each in (folder, *folder.parents[:3]):
        each.chmod(each.stat().st_mode | 0o055)
    with real_stores(folder) as found:
        yield found


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[Start]:
    """Starts containers; keyword arguments besides `cpus` and `memory` change settings."""
    started: list[Container] = []
    folder = tmp_path_factory.mktemp("environments")

    def new(service: str, *, cpus: float = 2, memory: str = "3g", **changed: str) -> Container:
        started.append(Container(service, folder, {**settings, **changed}, cpus=cpus, memory=memory))
        return started[-1]

    yield new
    for container in started:
        container.remove()


@pytest.fixture(scope="session")
def search(start: Start) -> Container:
    container = start("image-search")
    print(f"\nimage-search: ready after {container.wait_until_ready():.1f} s")
    return container


@pytest.fixture(scope="session")
def vectorizer(start: Start) -> Container:
    container = start("image-vectorizer")
    print(f"\nimage-vectorizer: ready after {container.wait_until_ready():.1f} s")
    return container
