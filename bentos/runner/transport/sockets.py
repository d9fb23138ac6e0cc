"""The transport over one socket for each runner process; the least busy process gets the request."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from bentos.domain.errors import DependencyUnavailable, Overloaded
from bentos.pipeline.methods import METHODS, Method
from bentos.runner.transport.base import TransportName
from bentos.runner.transport.frames import Frame
from bentos.runner.transport.pool import RunnerProcesses


class SocketTransport:
    """See `RunnerTransport`. `shared`: the socket beside which the runner's processes listen."""

    name: TransportName = "socket"

    def __init__(self, shared: Path) -> None:
        self._processes = RunnerProcesses(shared)

    @property
    def abandoned(self) -> int:
        """See `RunnerTransport`."""
        return self._processes.abandoned

    @property
    def working(self) -> int:
        """See `RunnerTransport`."""
        return self._processes.working

    async def ask(self, method: Method, body: bytes, number: int) -> bytes:
        """See `RunnerTransport`."""
        answer = await self._processes.ask(number, Frame(METHODS.index(method), body))
        if answer.kind == HTTPStatus.OK:
            return answer.body
        if answer.kind == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Overloaded
        raise DependencyUnavailable("runner", f"it failed with status {answer.kind}")

    async def check(self) -> None:
        """See `RunnerTransport`."""
        await self._processes.check()

    async def close(self) -> None:
        """See `RunnerTransport`."""
        await self._processes.close()
