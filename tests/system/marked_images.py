"""Bytes that mark an image for the runner of `tests.system.watched_service`.

They stand apart, because importing that module changes the pipeline of the importing process.
"""

from __future__ import annotations

POISON = b"this image ends the process"
SLOW = b"this image takes a second"
LOSES_GPU = b"after this image the networks of the process fail"
