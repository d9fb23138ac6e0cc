"""Tests the change of a few photos to another face pack under traffic; `make swap-check` uses a thousand photos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.demo.servers.postgres import authenticator_dsn, postgres_server
from bentos.demo.servers.postgrest import PostgrestServer
from tests.swap.scenario import Swap
from tests.swap.traffic import Rates
from tests.system.real.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.slow]

PHOTOS = 24


@pytest.fixture
def swap(stack: Stack) -> Iterator[Swap]:
    """Separate stores, because otherwise the photos of other tests would be embedded too."""
    with (
        tempfile.TemporaryDirectory(prefix="swap-") as name,
        postgres_server(Path(name)) as dsn,
        PostgrestServer(authenticator_dsn(dsn), pool=20).running() as postgrest,
    ):
        environment = {
            **stack.servers.environment(),
            "POSTGREST_URL": postgrest.url,
            "S3_PREFIX": "swap",
            **{f"{name}_TIMEOUT_S": "4" for name in ("MILVUS", "POSTGREST", "S3")},
            "LEASE_S": "17",
        }
        yield Swap(
            environment,
            Path(name),
            photos=PHOTOS,
            rates=Rates(searches=3, additions=1, removals=1),
            linger_s=3,
            back=False,
            say=print,
        )


async def test_a_change_to_another_pack_under_traffic_causes_no_failed_and_no_wrong_answer(
    swap: Swap,
) -> None:
    outcome = await swap.run()
    assert outcome.counts.failed == []
    assert outcome.counts.wrong == []
    assert outcome.audit.startswith("the three stores agree")
    for asked in ("old search", "old add", "old remove", "new search"):
        assert outcome.counts.sent[asked] > 0
