"""A BentoML service with nothing but the runner, to measure the runner without HTTP and stores."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml

from bentos.runner.face_runner import QUIET, FaceRunner
from bentos.runner.transport.bentoml_inside import shared_socket

SOCKET_FILE = "RUNNER_ALONE_SOCKET_FILE"
"""The environment variable with the file into which the path of the runner's shared socket is written."""


@bentoml.service(name="runner-alone", workers=1, **QUIET)
class RunnerAlone:
    """Starts the runner and says where its processes listen."""

    runner = bentoml.depends(FaceRunner)

    @bentoml.on_startup
    def tell(self) -> None:
        """Write the path of the shared socket."""
        Path(os.environ[SOCKET_FILE]).write_text(str(shared_socket()), encoding="utf-8")

    @bentoml.api
    def nothing(self) -> str:
        """A service needs an endpoint."""
        return ""
