"""`docker stop` under load, and workers that die."""

from __future__ import annotations

import time

import httpx

from tests.containers.conftest import Start
from tests.containers.engine import Container, docker
from tests.rollout.callers import SELFIE, Callers
from tests.rollout.stores import KEY


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
    assert container.state()["ExitCode"] == 0
    container.remove()


def test_told_to_stop_it_says_that_it_is_not_ready_before_it_refuses(start: Start) -> None:
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


def test_a_dead_runner_is_replaced_and_the_service_serves_on(search: Container) -> None:
    for pid in search.workers("face-runner"):
        search.run(f"kill -9 {pid}")
    time.sleep(0.5)
    search.wait_until_ready()
    answer = httpx.post(
        f"{search.url}/search/", files={"file": SELFIE}, headers={"X-Api-Key": KEY}, timeout=30
    )
    assert answer.status_code == 200


def test_a_container_whose_first_process_loses_bentoml_ends(start: Start) -> None:
    container = start("image-search")
    container.wait_until_ready()
    container.run("kill -9 $(cat /proc/1/task/1/children | cut -d' ' -f1)")
    assert int(docker("wait", container.id).stdout) != 0
    container.remove()
