"""Work for a process of a pool: an image that begins with `kill` ends the process."""

from __future__ import annotations

import os

from bentos.domain.faces import FacesInImage


def work(image: bytes) -> FacesInImage:
    if image.startswith(b"kill"):
        os._exit(1)
    return FacesInImage(len(image), 1, ())
