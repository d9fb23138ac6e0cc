"""The client of the runner when connections break; the runner itself is tested over real processes."""

from __future__ import annotations

from types import SimpleNamespace

import aiohttp
import pytest

from bentos.common.errors import DependencyUnavailable
from bentos.common.faces import FacesInImage
from bentos.runner.client import RunnerClient
from bentos.runner.wire import encode_faces

NOBODY = FacesInImage(width=4, height=3, faces=())


def client_of(*outcomes: Exception | bytes) -> tuple[RunnerClient, list[Exception | bytes]]:
    """A client whose calls have these outcomes, one after another; and those that are left."""
    left = list(outcomes)

    async def detect(images: list[bytes]) -> list[bytes]:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return [outcome]

    runner = SimpleNamespace(to_async=SimpleNamespace(detect=detect))
    return RunnerClient(runner, queue=4, timeout_s=5), left


@pytest.mark.parametrize(
    "broken", [aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(104, "Connection reset by peer")]
)
async def test_a_call_whose_connection_breaks_is_made_again(broken: Exception) -> None:
    client, left = client_of(broken, broken, encode_faces(NOBODY))
    assert await client.detect(b"image") == NOBODY
    assert left == []


async def test_a_runner_that_never_answers_is_unavailable() -> None:
    client, _ = client_of(*[aiohttp.ServerDisconnectedError()] * 9)
    with pytest.raises(DependencyUnavailable) as raised:
        await client.detect(b"image")
    assert raised.value.details["dependency"] == "runner"


async def test_what_the_client_library_cannot_do_is_no_bug_of_ours() -> None:
    client, _ = client_of(aiohttp.ClientPayloadError("cut short"))
    with pytest.raises(DependencyUnavailable):
        await client.detect(b"image")
