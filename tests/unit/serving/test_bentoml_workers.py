"""Tests how BentoML's processes are recognised, and what happens with an incompatible BentoML."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.serving import bentoml_workers
from bentos.serving.bentoml_workers import problem, replacing_dead_workers, service_of
from bentos.serving.command import serve_command

ROOT = Path(__file__).parents[3]
SUPERVISED = """
import sys
from _bentoml_impl.worker.service import main
main.params = [option for option in main.params if option.name != "service_name"]
from bentos.serving.supervisor import Supervisor
sys.exit(Supervisor([sys.executable, "-c", "import time; time.sleep(60)"], leave_within_s=1).run())
"""


def test_the_installed_bentoml_is_recognised() -> None:
    assert problem() is None
    assert service_of(["python", "--service-name", "face-runner"]) == "face-runner"
    assert service_of(["python", "--service-name"]) is None
    assert replacing_dead_workers({"BENTOML_CONTAINERIZED": "true", "A": "b"}) == {"A": "b"}


def test_idle_connections_are_kept_longer_than_a_proxy_keeps_them() -> None:
    command = serve_command("target", host="127.0.0.1", port=3000)
    assert command[-2:] == ["--timeout-keep-alive", "75"]


def test_a_bentoml_without_the_option_is_started_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bentoml_workers, "_options", set)
    assert "--timeout-keep-alive" not in serve_command("target", host="127.0.0.1", port=3000)


def test_workers_that_cannot_be_recognised_are_a_warning_and_the_service_runs_and_stops() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISED],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        line = supervisor.stdout.readline()
        assert '"level": "warning"' in line
        assert "a service without workers will not be noticed" in line
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 0
