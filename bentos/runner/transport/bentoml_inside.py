"""The private parts of BentoML that the socket transport uses.

Private interface of bentoml 1.4.39:
- the environment variable BENTOML_RUNNER_MAP of its workers, a JSON object of service names and addresses: the folder
  of the socket that the runner's processes share, beside which each opens one of its own;
- `ServiceAppFactory.batch_infer`, reached through the endpoints of the app behind `to_async`: the next batch of the
  dispatcher, without HTTP and pydantic models around each item. Needed only with batches larger than one.

What it buys: a search costs a tenth less processor time (1.8 ms), and each image goes to the least busy process, which
gives up to twice the answers a second (docs/performance.md). `problem` is the self-check at start; the documented
alternative is the transport in `bentoml_client.py`, which RUNNER_TRANSPORT=auto uses with a warning.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette

from bentos.runner.transport.base import SERVICE

BatchInfer = Callable[..., Awaitable[list[bytes]]]

_RUNNER_MAP = "BENTOML_RUNNER_MAP"


def problem(*, batched: bool, in_worker: bool = True) -> str | None:
    """Why the socket transport cannot be used with the installed BentoML, or None.

    `in_worker`: BentoML has started this process for a service; otherwise only the library is checked.
    """
    if found := _problem_of_library(batched=batched):
        return found
    if not in_worker:
        return None
    try:
        shared = shared_socket()
    except (KeyError, TypeError, ValueError):
        return f"{_RUNNER_MAP} holds no address of {SERVICE}"
    return None if shared.is_socket() else f"{_RUNNER_MAP} names no Unix socket of {SERVICE}"


def shared_socket() -> Path:
    """The socket that the runner's processes share. Raises `KeyError` where BentoML started no runner."""
    address: str = json.loads(os.environ[_RUNNER_MAP])[SERVICE]
    return Path(unquote(urlsplit(address).path))


def own_socket() -> Path:
    """The socket of this process only."""
    shared = shared_socket()
    return shared.with_name(f"{shared.name}.{os.getpid()}")


def batching_of(app: Starlette) -> BatchInfer:
    """The function that puts an item into BentoML's next batch. Raises `RuntimeError` when BentoML has none."""
    for route in app.routes:
        endpoint = getattr(route, "endpoint", None)
        batching: BatchInfer | None = getattr(
            getattr(getattr(endpoint, "func", None), "__self__", None), "batch_infer", None
        )
        if batching is not None:
            return batching
    raise RuntimeError("this version of BentoML keeps its batching somewhere else")


def _problem_of_library(*, batched: bool) -> str | None:
    try:
        from _bentoml_impl.server.app import ServiceAppFactory  # noqa: PLC0415 - another version may not have it
        from _bentoml_impl.worker.service import main  # noqa: PLC0415
    except ImportError as error:
        return f"BentoML has no {error.name}"
    options: dict[str | None, Any] = {option.name: option for option in main.params}
    if getattr(options.get("runner_map"), "envvar", None) != _RUNNER_MAP:
        return f"BentoML's workers do not read {_RUNNER_MAP}"
    batch_infer = getattr(ServiceAppFactory, "batch_infer", None)
    if batched and (
        batch_infer is None
        or list(inspect.signature(batch_infer).parameters) != ["self", "name", "input_args", "input_kwargs"]
    ):
        return "BentoML's batch_infer takes other arguments"
    return None
