"""Connects a service to its runner: chooses the transport and logs the choice."""

from __future__ import annotations

import logging
from typing import Any

from bentos.config.settings import Settings
from bentos.observability.runner_metrics import RUNNER_TRANSPORT
from bentos.runner.client import RunnerClient
from bentos.runner.cpus import runner_processes
from bentos.runner.transport.base import RunnerTransport
from bentos.runner.transport.bentoml_client import BentoMLTransport
from bentos.runner.transport.bentoml_inside import shared_socket
from bentos.runner.transport.choice import check_library, chosen_transport
from bentos.runner.transport.sockets import SocketTransport

logger = logging.getLogger(__name__)


def connect(settings: Settings, runner: Any) -> RunnerClient:
    """The client of the runner that BentoML started for this service.

    `runner`: what `bentoml.depends(FaceRunner)` gives. Raises `TransportUnavailable`.
    """
    batched = settings.batch_size > 1
    choice = chosen_transport(settings.runner_transport, batched=batched)
    if choice.reason is not None:
        logger.warning("the runner is called by BentoML's client, which is slower: %s", choice.reason)
    logger.info(
        "runner transport: %s; BentoML's adaptive batching: %s", choice.name, "on" if batched else "off"
    )
    RUNNER_TRANSPORT.labels(choice.name, "on" if batched else "off").set(1)
    transport: RunnerTransport
    if choice.name == "socket":
        transport = SocketTransport(shared_socket())
    else:
        processes = runner_processes(settings)
        transport = BentoMLTransport(runner, processes=processes)
    return RunnerClient(transport, queue=settings.runner_queue, timeout_s=settings.runner_timeout_s)


def check_transport(settings: Settings) -> None:
    """Raises `TransportUnavailable` when the installed BentoML does not support what RUNNER_TRANSPORT asks for."""
    check_library(settings.runner_transport, batched=settings.batch_size > 1)
