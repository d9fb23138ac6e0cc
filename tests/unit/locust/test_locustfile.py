"""Tests of the load test's command line: its rate, its reports, its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seed.face_images import selfie
from tests.unit.locust.conftest import KEY, MATCH, RIGHT

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def selfies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("selfies")
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(selfie(number, size=(240, 320)).jpeg)
    return folder


@pytest.fixture
def load(tmp_path, selfies, stand_in):
    def run(*arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("locust")
        command = [program, "-f", ROOT / "locust" / "locustfile.py", "--headless", "-u", "1", "-t", "3s"]
        command += ["--host", stand_in.url, "--selfies", selfies, "--csv", tmp_path / "load"]
        command += ["--html", tmp_path / "load.html", "--collections", "a,b", "--rps", "40"]
        command += ["--p95-ms", "30000", "--p99-ms", "30000", "--min-answered", "0.1", *arguments]
        environment = {**os.environ, "API_KEY": key, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [str(part) for part in command], env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_a_run_within_its_thresholds_exits_with_0_and_writes_its_reports(load, stand_in, tmp_path):
    done = load("--arrivals", "steady")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all thresholds are met" in done.stdout
    report = json.loads((tmp_path / "load.json").read_text())
    tasks = {row["task"] for row in report["rows"]}
    assert {"top_k 10, a", "top_k 50, b", "top_k 10, a+b", "top_k 50, whole base"} <= tasks
    assert report["rows"][-1]["requests"] == stand_in.seen["requests"] == stand_in.seen["with key"]
    assert len(stand_in.bodies) == stand_in.seen["requests"], "two requests were the same"
    assert (tmp_path / "load.html").stat().st_size > 1000
    assert (tmp_path / "load_stats.csv").exists()


def test_the_rate_does_not_depend_on_the_number_of_users(load, stand_in):
    load("--arrivals", "steady", "-u", "7", "-r", "7")
    assert 40 < stand_in.seen["requests"] <= 3.5 * 40


def test_missed_thresholds_are_named_and_exit_status_1(load, stand_in):
    stand_in.fails_every = 3
    done = load("--max-errors", "0.05", "--p95-ms", "0.001", "--min-answered", "1.5")
    assert done.returncode == 1
    missed = [line for line in done.stdout.splitlines() if line.startswith("MISSED")]
    for reason in ("errors", "p95", "answers per second"):
        assert any(reason in line for line in missed), reason


def test_errors_within_the_threshold_do_not_fail_the_run(load, stand_in):
    stand_in.fails_every = 3
    assert load("--max-errors", "0.5").returncode == 0


def test_an_answer_that_is_wrong_counts_as_an_error(load, stand_in, tmp_path):
    stand_in.answer = {**RIGHT, "results": [{**MATCH, "collection_id": "elsewhere"}] * 60}
    assert load().returncode == 1
    assert json.loads((tmp_path / "load.json").read_text())["rows"][-1]["errors"] > 0


def test_without_a_key_the_run_does_not_start(load, stand_in):
    done = load(key="")
    assert done.returncode == 1
    assert "API_KEY" in done.stderr
    assert not stand_in.seen
