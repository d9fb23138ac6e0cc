"""The all-in-one on libraries that look different from the pinned ones: LOOKS_DIFFERENT names in what, with commas.

Every change leaves the library working and makes one self-check of the product fail.
"""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from typing import Any


def _no_runner_map() -> None:
    os.environ.pop("BENTOML_RUNNER_MAP", None)  # BentoML's worker has read it by now


def _other_batch_infer() -> None:
    from _bentoml_impl.server.app import ServiceAppFactory

    original = ServiceAppFactory.batch_infer

    async def batch_infer(self: Any, *given: Any) -> Any:
        return await original(self, *given)

    ServiceAppFactory.batch_infer = batch_infer


def _other_pymilvus() -> None:
    importlib.import_module("bentos.stores.milvus.client")  # imports pymilvus with a guard
    from pymilvus.client.async_grpc_handler import AsyncGrpcHandler

    original = AsyncGrpcHandler.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)

    AsyncGrpcHandler.__init__ = __init__


def _other_milvus_lite() -> None:
    importlib.import_module("bentos.stores.milvus.client")
    from milvus_lite.server_manager import ServerManager

    del ServerManager.release_server


def _other_http_protocol() -> None:
    from uvicorn.protocols.http import auto

    auto.AutoHTTPProtocol = type("Other", (auto.AutoHTTPProtocol,), {})


def _other_signal_handler() -> None:
    import uvicorn

    original = uvicorn.Server.handle_exit
    uvicorn.Server.handle_exit = property(lambda self: functools.partial(original, self))


def _no_swagger_ui() -> None:
    from bentos.serving import swagger_ui

    swagger_ui._ASSETS = Path("/nowhere")


CHANGES = {
    "runner map": _no_runner_map,
    "batch_infer": _other_batch_infer,
    "pymilvus": _other_pymilvus,
    "milvus lite": _other_milvus_lite,
    "http protocol": _other_http_protocol,
    "signal handler": _other_signal_handler,
    "swagger ui": _no_swagger_ui,
}

if "LOOKS_DIFFERENT" in os.environ:
    for name in os.environ["LOOKS_DIFFERENT"].split(","):
        CHANGES[name]()

    from bentos.all_in_one import FaceSearch

    __all__ = ["FaceSearch"]
