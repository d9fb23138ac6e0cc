"""Tests the reading of the process table with real processes."""

from __future__ import annotations

import os
import subprocess
import sys

from bentos.serving.processes import is_alive, process, workers_of

SLEEP = "import time; time.sleep(60)"


def test_a_child_is_seen_with_its_parent_and_its_service() -> None:
    child = subprocess.Popen([sys.executable, "-c", SLEEP, "--service-name", "face-runner"])
    other = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        found = process(child.pid)
        assert found is not None
        assert (found.parent, found.is_alive) == (os.getpid(), True)
        assert [w.pid for w in workers_of(os.getpid()) if w.service == "face-runner"] == [child.pid]
    finally:
        for each in (child, other):
            each.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid)  # dead, and not yet reaped
    assert workers_of(os.getpid()) == []
    child.wait()
    other.wait()
    assert process(child.pid) is None
