"""Reads the expressions of deploy/monitoring: those of the alerts and those of the dashboard's panels."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
_COMPARISON = re.compile(r"^(?P<value>.+) (?P<comparison>>=|<=|>|<) (?P<limit>[0-9.]+)$")

NOT_HERE = {
    "container_cpu_usage_seconds_total": "cAdvisor, a part of the kubelet",
    "container_memory_working_set_bytes": "cAdvisor, a part of the kubelet",
    "kube_": "kube-state-metrics, which reads the Kubernetes API",
    'code="internal_error"': "a bug of the services, of which none is known",
    "certmanager_certificate_expiration_timestamp_seconds": "cert-manager, or the blackbox exporter in front of HTTPS",
}
"""Series that cannot exist in this run, by a part of the expression, with what makes them."""


@dataclass(frozen=True)
class Expression:
    """An expression whose value is a number for each series; `title` names its alert or panel."""

    title: str
    text: str
    legend: str = ""
    alert: bool = False

    @property
    def not_here(self) -> str | None:
        """What makes its series, when that cannot be here."""
        return next((source for metric, source in NOT_HERE.items() if metric in self.text), None)

    def for_tests(self, window: str) -> str:
        """The same with the dashboard's variables filled in and every window of a rate shortened to `window`."""
        text = self.text.replace("$namespace", "face-search").replace("$__rate_interval", window)
        return re.sub(
            r"\[(?:5m|15m|1h)(:15s)?\]", lambda found: f"[{window}{':1s' if found[1] else ''}]", text
        )


def rules() -> dict[str, Any]:
    """The `spec` of the PrometheusRule: a rules file of Prometheus."""
    spec: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus-rule.yaml").read_text())["spec"]
    return spec


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in rules()["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    board: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return board


def panels() -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def limit_of(expr: str) -> re.Match[str]:
    """An alert's expression, split into `value`, `comparison` and `limit`."""
    found = _COMPARISON.match(expr)
    assert found, f"not of the form `value > number`: {expr}"
    return found


def expressions() -> list[Expression]:
    """Those of the panels, then those of the alerts without their limit."""
    shown = [
        Expression(panel["title"], target["expr"], target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]
    return shown + [
        Expression(rule["alert"], limit_of(rule["expr"])["value"], alert=True) for rule in alerts()
    ]
