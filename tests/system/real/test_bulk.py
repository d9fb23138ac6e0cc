"""Tests of bulk indexing on real servers: killed, without a store for a while, and with files that are no photos."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from seed.face_images import photo
from tests.bulk.runs import SPOILED, BulkRuns, contents, reasons
from tests.system.real.mortal import TwoFaces
from tests.system.real.stack import Stack, disagreements

pytestmark = pytest.mark.system

PHOTOS = 10


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    return {f"{index:03d}": photo(index, seed=5).jpeg for index in range(PHOTOS)}


@pytest.fixture
def runs(stack: Stack, tmp_path: Path) -> BulkRuns:
    return BulkRuns(stack, tmp_path)


async def test_a_killed_run_ends_as_one_through_the_service_and_bad_files_are_reported(
    stack: Stack, runs: BulkRuns, images: dict[str, bytes]
) -> None:
    everything = images | {name: image for name, (image, _) in SPOILED.items()}
    for prefix in ("killed-", "whole-"):
        runs.put({f"{prefix}{name}": image for name, image in everything.items()})
    whole = runs.start("whole-", through_service=True)
    first = runs.start("killed-", "--processes", "1", "--in-flight", "2")
    first.kill_after(len(SPOILED) + 3)
    again = runs.start("killed-", "--processes", "1")
    assert (whole.end(), again.end()) == (1, 1)

    expected = {name: reason for name, (_, reason) in SPOILED.items()}
    assert reasons(whole.lines, "whole-") == reasons(again.lines, "killed-") == expected
    assert "indexed before" in again.printed.read_text()
    async with stack.dependencies(TwoFaces()) as dependencies:
        found = await contents(dependencies, "killed-")
        assert found == await contents(dependencies, "whole-")
        assert found.keys() == images.keys()
        assert all(state == "indexed" for faces in found.values() for _, state in faces)
        assert await disagreements(dependencies) == {}


async def test_a_run_waits_for_each_store_that_is_away_and_says_so(
    stack: Stack, runs: BulkRuns, images: dict[str, bytes]
) -> None:
    runs.put({f"away-{name}": image for name, image in images.items()})
    servers = stack.servers
    stores = {"object_store": servers.s3, "milvus": servers.milvus, "postgrest": servers.postgrest}
    with ExitStack() as away:
        # Each is away before the one before it is back, so that the run cannot end in between.
        away.enter_context(servers.s3.frozen())
        run = runs.start("away-", "--processes", "1", "--in-flight", "2")
        for name, following in zip(stores, [*list(stores.values())[1:], None], strict=True):
            run.wait_for_line(f"waiting: {name}")
            back = away.pop_all()
            if following is not None:
                away.enter_context(following.frozen())
            back.close()
    for name in stores:
        run.wait_for_line(f"going on: {name} answers again")
    assert run.end() == 0
    assert {line["status"] for line in run.lines} == {"indexed"}
    async with stack.dependencies(TwoFaces()) as dependencies:
        assert (await contents(dependencies, "away-")).keys() == images.keys()
        assert await disagreements(dependencies) == {}
