"""Runs schemathesis against running services: cases from their OpenAPI documents, every check, no failure ignored.

FUZZ_EXAMPLES sets the number of cases per endpoint and phase, FUZZ_SEED the seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.conftest import KEY, Service
from tests.system.process_memory import memory_of
from tests.system.served_routes import ROOT

pytestmark = pytest.mark.system

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "40")
SEED = os.environ.get("FUZZ_SEED", "20261122")
GROWTH_MB = 96
"""By how much the processes may grow in a run: buffers that Python and ONNX Runtime keep, and rows."""


def fuzzed(url: str, folder: Path, *, seed: str, examples: str) -> tuple[dict[str, object], str]:
    """The report of one run and its output."""
    report = folder / f"fuzz-{seed}.json"
    command = [
        Path(sys.executable).parent / "schemathesis", "run", f"{url}/openapi.json", "-H", f"X-Api-Key: {KEY}",
        "--checks", "all", "--max-examples", examples, "--seed", seed, "--continue-on-failure",
        "--generation-database", "none", "--report", "json", "--report-json-path", report, "--no-color",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.system.fuzz_inputs"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text()), done.stdout


def test_no_request_valid_or_invalid_by_the_document_causes_a_failure(
    each_service: Service, tmp_path: Path
) -> None:
    live = each_service.live
    fuzzed(live.url, tmp_path, seed="1", examples="2")  # the first run has allocated the buffers
    before, logged = memory_of(live.pid), len(live.log.read_text())
    report, output = fuzzed(live.url, tmp_path, seed=SEED, examples=EXAMPLES)
    after = memory_of(live.pid)
    cases = report["test_cases"]
    log = live.log.read_text()[logged:]
    server_errors = log.count('"status": 5')
    print(
        f"\n{each_service.name}: {cases['generated']} cases, {cases['unique_failures']} failures, "
        f"{server_errors} answers of 5xx, {len(before.keys() - after.keys())} crashes, "
        f"memory {sum(before.values())} -> {sum(after.values())} MiB"
    )
    assert report["complete"] is True
    assert cases["generated"] > 20 * report["operations"]["tested"]
    assert (cases["unique_failures"], cases["errored"], report["exit_code"]) == (0, 0, 0), output
    assert server_errors == 0
    assert "Traceback" not in log
    assert before.keys() == after.keys(), "a process ended"
    assert sum(after.values()) <= sum(before.values()) + GROWTH_MB
