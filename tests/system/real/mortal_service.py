"""An image-vectorizer that kills all its processes after the first write that DIES_AFTER names."""

from __future__ import annotations

import os

import psutil

from bentos import composition
from tests.system.real.mortal import CountedDependencies, Steps


def _die(made: list[str]) -> None:
    if made[-1] != os.environ["DIES_AFTER"]:
        return
    me = psutil.Process()
    supervisor = psutil.Process(os.getppid())
    for each in [supervisor, *(child for child in supervisor.children(recursive=True) if child != me), me]:
        each.kill()


CountedDependencies.steps = Steps(_die)
composition.Dependencies = CountedDependencies

from bentos.vectorizer.service import ImageVectorizer  # noqa: E402 - needs the classes replaced above

__all__ = ["ImageVectorizer"]
