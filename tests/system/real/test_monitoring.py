"""Tests deploy/monitoring with a real Prometheus that scrapes both services under load; see tests/monitoring."""

from __future__ import annotations

import pytest

from tests.monitoring.programs import NotAvailable, program
from tests.monitoring.scenario import observe
from tests.system.real.stack import Stack, eventually

pytestmark = pytest.mark.system


def test_no_expression_is_empty_under_load_and_alerts_fire_on_real_failures(stack: Stack) -> None:
    try:
        program("prometheus")
    except NotAvailable as reason:
        pytest.skip(str(reason))
    seen = observe(stack, seconds=5)
    assert seen.empty() == []
    not_here = [each.title for each in seen.values if each.not_here]
    assert len(seen.values) - len(not_here) >= 25
    assert all(seen.values[each] == [] for each in seen.values if each.not_here), "listed, and it exists"
    assert seen.alerts["FaceSearchAuditDifferences"]["kind"] == "face_without_vector"
    assert seen.alerts["FaceSearchQueueFull"]["service"] == "image-search"
    assert seen.alerts["FaceSearchDependencyDown"]["dependency"] == "milvus"
    assert seen.alerts["FaceSearchErrorRatio"]["severity"] == "critical"
    eventually(lambda: stack.audit("--fix").returncode == 0, "the lost vectors are restored")
