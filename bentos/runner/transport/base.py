"""The interface of a transport between the client and the runner: one request out, one answer back."""

from __future__ import annotations

from typing import Literal, Protocol

from bentos.pipeline.methods import Method

SERVICE = "face-runner"

TransportName = Literal["socket", "bentoml"]


class ProcessFailed(Exception):
    """A process ended, closed the connection or stopped answering before it answered a request.

    `worked_on_it`: whether the process was working on this request; None when the transport cannot tell.
    """

    def __init__(self, *, worked_on_it: bool | None) -> None:
        super().__init__("the runner process failed")
        self.worked_on_it = worked_on_it


class RunnerTransport(Protocol):
    """Carries requests to the processes of the runner. Safe for concurrent use by the tasks of one event loop."""

    @property
    def name(self) -> TransportName:
        """Which transport this is."""

    @property
    def abandoned(self) -> int:
        """Requests whose caller was cancelled and that the runner may still work on."""

    @property
    def working(self) -> int:
        """How many processes have a request, as far as the transport can tell."""

    async def ask(self, method: Method, body: bytes, number: int) -> bytes:
        """The answer to one encoded request; `number` is the number in its ticket.

        Waits until a process answers; the caller limits the time. Raises `ProcessFailed`; `Overloaded`;
        `DependencyUnavailable` when the runner answers with an error; `OSError`.
        """

    async def check(self) -> None:
        """Return once a process that can take the next request answers. Raises `DependencyUnavailable`, `OSError`."""

    async def close(self) -> None:
        """Close all connections."""
