"""The transport over BentoML's own client, `bentoml.depends(FaceRunner)`, which is the documented interface.

All runner processes share one socket. A connection stays with the process that accepted it, and the client cannot tell
which process has a request. Therefore a stopped process is noticed only when its requests time out, and when a process
ends, all of its requests are sent once more.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import aiohttp
from bentoml.exceptions import BentoMLException

from bentos.domain.errors import DependencyUnavailable, Overloaded
from bentos.pipeline.methods import Method
from bentos.runner.transport.base import ProcessFailed, TransportName

_CHECK_WITHIN_S = 2


class BentoMLTransport:
    """See `RunnerTransport`. `runner`: what `bentoml.depends(FaceRunner)` gives; `processes`: how many it has."""

    name: TransportName = "bentoml"

    def __init__(self, runner: Any, *, processes: int) -> None:
        self._runner = runner
        self._processes = processes
        self._calls: set[asyncio.Future[Any]] = set()
        self.abandoned = 0

    @property
    def working(self) -> int:
        """See `RunnerTransport`."""
        return min(len(self._calls), self._processes)

    async def ask(self, method: Method, body: bytes, number: int) -> bytes:  # noqa: ARG002 - the runner reads the ticket
        """See `RunnerTransport`.

        When its caller is cancelled, the call continues, because the runner does not notice the cancellation; until the
        call ends, the request counts as abandoned. The runner drops it when the deadline of its ticket has passed.
        """
        call = asyncio.ensure_future(getattr(self._runner.to_async, method)([body]))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            [payload] = await asyncio.shield(call)
        except asyncio.CancelledError:
            self._abandon(call)
            raise
        except BentoMLException as error:
            raise _as_domain_error(error) from error
        except TimeoutError:
            raise
        except aiohttp.ClientError as error:
            raise ProcessFailed(worked_on_it=None) from error
        return bytes(payload)

    async def check(self) -> None:
        """See `RunnerTransport`."""
        try:
            ready = await self._runner.to_async.is_ready(timeout=_CHECK_WITHIN_S)
        except aiohttp.ClientError as error:
            raise DependencyUnavailable("runner", f"the call failed ({type(error).__name__})") from error
        if not ready:
            raise DependencyUnavailable("runner", "no process of it answers")

    async def close(self) -> None:
        """Do nothing: BentoML closes its client itself."""
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _abandon(self, call: asyncio.Future[Any]) -> None:
        def ended(call: asyncio.Future[Any]) -> None:
            self.abandoned -= 1
            if not call.cancelled():
                call.exception()  # retrieved, so that asyncio does not log it

        self.abandoned += 1
        call.add_done_callback(ended)


def _as_domain_error(error: BentoMLException) -> Overloaded | DependencyUnavailable:
    if error.error_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return Overloaded()
    if error.error_code == HTTPStatus.GATEWAY_TIMEOUT:
        return DependencyUnavailable("runner", "it did not answer in time")
    return DependencyUnavailable("runner", f"it failed with status {int(error.error_code)}")
