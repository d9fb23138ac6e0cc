"""The all-in-one with a runner that records each decoded image, and that some images kill.

`DECODED_LOG`: a file that gets one byte for each image that is decoded. An image that contains POISON ends the process
that decodes it, as a bug in a native library would. After the first one that contains LOSES_GPU, every run of a network
fails in the process that has decoded it, as after a fault of a GPU.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

from bentos.pipeline import finding
from bentos.pipeline.face_pack import FacePack
from tests.system.marked_images import LOSES_GPU, POISON, SLOW

_decode, _run = finding.decode, FacePack.run
_gpu_is_lost = Event()


def decode(image: bytes, **options: Any) -> Any:
    with open(os.environ["DECODED_LOG"], "ab", buffering=0) as log:  # noqa: PTH123 - one write, appended
        log.write(b".")
    if SLOW in image:
        time.sleep(1)
    if POISON in image:
        time.sleep(0.3)  # other images wait in the queue meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
    if LOSES_GPU in image:
        with suppress(FileExistsError):
            Path(os.environ["DECODED_LOG"] + ".lost").touch(exist_ok=False)
            _gpu_is_lost.set()
    return _decode(image, **options)


def run(self: FacePack, *step: Any) -> Any:
    if _gpu_is_lost.is_set():
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
    return _run(self, *step)


finding.decode = decode
FacePack.run = run  # type: ignore[method-assign]

from bentos.all_in_one import FaceSearch  # noqa: E402 - its runner uses the functions above

__all__ = ["FaceSearch"]
