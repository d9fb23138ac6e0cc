"""Chooses the transport to the runner: by RUNNER_TRANSPORT, and by what the installed BentoML supports.

The service and the runner choose separately, from the same environment and library, so that they choose the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bentos.runner.transport import bentoml_inside
from bentos.runner.transport.base import TransportName

RunnerTransportSetting = Literal["auto", "bentoml", "socket"]


class TransportUnavailable(Exception):
    """RUNNER_TRANSPORT=socket is not possible; the message is one sentence that says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"RUNNER_TRANSPORT=socket is not possible: {reason}; install the pinned bentoml, or set "
            "RUNNER_TRANSPORT=auto or bentoml."
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The transport in use; `reason`: why it is not the socket, which is preferred."""

    name: TransportName
    reason: str | None = None


def chosen_transport(setting: RunnerTransportSetting, *, batched: bool) -> Choice:
    """The transport of this worker. Raises `TransportUnavailable`."""
    if setting == "bentoml":
        return Choice("bentoml")
    reason = bentoml_inside.problem(batched=batched)
    if reason is None:
        return Choice("socket")
    if setting == "socket":
        raise TransportUnavailable(reason)
    return Choice("bentoml", reason)


def check_library(setting: RunnerTransportSetting, *, batched: bool) -> None:
    """Raises `TransportUnavailable`, before any worker runs, when the installed BentoML does not support the socket."""
    if setting == "socket":
        reason = bentoml_inside.problem(batched=batched, in_worker=False)
        if reason is not None:
            raise TransportUnavailable(reason)
