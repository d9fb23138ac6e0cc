"""Tests of `docker stop` under load, and of workers that are killed."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.containers.conftest import Start
from tests.containers.engine import Container, docker
from tests.rollout.callers import SELFIE, Callers


def test_docker_stop_under_load_fails_no_accepted_request(start: Start) -> None:
    container = start("image-search")
    container.wait_until_ready()
    callers = Callers(container.url)
    time.sleep(3)
    begun = time.monotonic()
    docker("stop", "--time=10", container.id)
    seconds = time.monotonic() - begun
    callers.join()
    print(
        f"\ndocker stop: {seconds:.1f} s, {callers.answered} requests answered, {len(callers.failures)} failed"
    )
    assert callers.failures == []
    assert callers.answered > 10
    assert seconds < 10
    assert container.state()["ExitCode"] == 0
    container.remove()


def test_after_sigterm_it_is_not_ready_before_it_refuses_connections(start: Start) -> None:
    container = start("image-search")
    container.wait_until_ready()
    docker("kill", "--signal=TERM", container.id)
    seen = set()
    while True:
        try:
            answer = httpx.get(f"{container.url}/readyz", timeout=5)
        except httpx.HTTPError:
            break
        seen.add((answer.status_code, answer.headers.get("connection")))
        time.sleep(0.05)
    assert (503, "close") in seen
    assert int(docker("wait", container.id).stdout) == 0
    container.remove()


@pytest.mark.parametrize("killed", [1, 2])
def test_while_killed_runners_are_replaced_the_others_serve(search: Container, killed: int) -> None:
    dead = search.workers("face-runner")[:killed]
    search.run(f"kill -9 {' '.join(map(str, dead))}")
    answers = set()
    replaced = False
    while not replaced:
        replaced = len(set(search.workers("face-runner")) - set(dead)) == 2
        if httpx.get(f"{search.url}/readyz", timeout=30).status_code == 200:
            answers.add(search.search(SELFIE).status_code)
    assert answers <= {200}
    search.wait_until_ready()
    assert [search.search(SELFIE).status_code for _ in range(8)] == [200] * 8


def test_a_container_whose_first_process_loses_bentoml_ends(start: Start) -> None:
    container = start("image-search")
    container.wait_until_ready()
    container.run("kill -9 $(cat /proc/1/task/1/children | cut -d' ' -f1)")
    assert int(docker("wait", container.id).stdout) != 0
    container.remove()
