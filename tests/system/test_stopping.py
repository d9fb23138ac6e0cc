"""Tests of `bentos.serving` with real processes: SIGTERM under load, and workers that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import pytest

from bentos.demo.embedded import SERVICE, embedded_environment
from bentos.demo.process import free_port
from bentos.serving.processes import Process, is_alive, workers_of
from tests.crowds import crowd
from tests.rollout.callers import SELFIE, Callers
from tests.rollout.stores import KEY

pytestmark = [pytest.mark.system, pytest.mark.slow]

PATIENCE_S = 120


class Contained:
    """The command of a container's first process, run without a container."""

    def __init__(self, folder: Path, fixed_shapes: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "service.log"
        command = [
            sys.executable,
            "-m",
            "bentos.serving",
            SERVICE,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        settings = {"RUNNER_WORKERS": "1", "RUNNER_FIXED_SHAPES": fixed_shapes}
        settings |= dict.fromkeys(
            ("RUNNER_TIMEOUT_S", "REQUEST_TIMEOUT_S", "SHUTDOWN_TIMEOUT_S"), str(PATIENCE_S)
        )
        environment = {**os.environ, **embedded_environment(folder, KEY), **settings}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.url}/readyz", timeout=6).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise AssertionError(self.log.read_text())

    def search(self) -> httpx.Response:
        return httpx.post(
            f"{self.url}/search/", files={"file": SELFIE}, headers={"X-Api-Key": KEY}, timeout=60
        )

    def detect(self, photo: bytes) -> httpx.Response:
        return httpx.post(
            f"{self.url}/detect_faces/", files={"file": photo}, headers={"X-Api-Key": KEY}, timeout=PATIENCE_S
        )

    def arbiter(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def runners(self) -> list[Process]:
        return [worker for worker in workers_of(self.arbiter()) if worker.service == "face-runner"]


@pytest.fixture
def contained(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Contained]:
    """The parameter, if there is one: whether the networks run over batches of fixed shapes, as on a GPU."""
    service = Contained(tmp_path, getattr(request, "param", "off"))
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.process.terminate()
        service.process.wait(60)


def test_sigterm_under_load_fails_no_request_and_the_exit_status_is_0(contained: Contained) -> None:
    callers = Callers(contained.url)
    time.sleep(2)
    contained.process.send_signal(signal.SIGTERM)
    assert contained.process.wait(60) == 0
    callers.join()
    assert callers.failures == []
    assert callers.answered > 0
    for line in contained.log.read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize("contained", ["on"], indirect=True)
def test_sigterm_during_a_batch_answers_all_its_images_and_the_exit_status_is_0(contained: Contained) -> None:
    photos = [crowd(6, 6, cell=100, quality=80 + number) for number in range(6)]
    with ThreadPoolExecutor(len(photos)) as pool:
        calls = [pool.submit(contained.detect, photo) for photo in photos]
        wait(calls, return_when=FIRST_COMPLETED)
        contained.process.send_signal(signal.SIGTERM)
        assert not all(call.done() for call in calls)
        assert [call.result().status_code for call in calls] == [200] * len(photos)
    assert contained.process.wait(60) == 0
    assert '"level": "error"' not in contained.log.read_text()


def test_a_killed_runner_is_replaced_and_no_process_is_left_when_bentoml_is_killed(
    contained: Contained,
) -> None:
    (runner,) = contained.runners()
    os.kill(runner.pid, signal.SIGKILL)
    assert contained.search().status_code == 200  # by the new process
    arbiter, workers = contained.arbiter(), workers_of(contained.arbiter())
    os.kill(arbiter, signal.SIGKILL)
    assert contained.process.wait(60) != 0
    assert not [worker for worker in workers if is_alive(worker.pid)]
