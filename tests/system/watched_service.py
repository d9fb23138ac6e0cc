"""The all-in-one with a runner that records each decoded image, and that some images kill.

`DECODED_LOG`: a file that gets one byte for each image that is decoded. An image that contains POISON ends the process
that decodes it, as a bug in a native library would.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from bentos.pipeline import finding
from tests.system.marked_images import POISON, SLOW

_decode = finding.decode


def decode(image: bytes, **options: Any) -> Any:
    with open(os.environ["DECODED_LOG"], "ab", buffering=0) as log:  # noqa: PTH123 - one write, appended
        log.write(b".")
    if SLOW in image:
        time.sleep(1)
    if POISON in image:
        time.sleep(0.3)  # other images wait in the queue meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
    return _decode(image, **options)


finding.decode = decode

from bentos.all_in_one import FaceSearch  # noqa: E402 - its runner decodes with the function above

__all__ = ["FaceSearch"]
