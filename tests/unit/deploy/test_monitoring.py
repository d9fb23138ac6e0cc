"""Tests of deploy/monitoring: valid objects, each alert documented, each expression over metrics that exist."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.monitoring.expressions import FOLDER, Expression, alerts, dashboard, expressions, limit_of, panels
from tests.monitoring.programs import NotAvailable, program
from tests.unit.deploy.gateway_schemas import LABELS, NAME, NAMESPACE, Schema, _list, _object, _one_of
from tests.unit.deploy.manifests import SERVICES, the

OPERATIONS = FOLDER.parents[1] / "docs" / "operations.md"
CASES = Path(__file__).with_name("alerts.test.yaml")
_DURATION = {"type": "string", "pattern": r"^([0-9]+)(ms|s|m|h)$"}
_TEXT = {"type": "string", "minLength": 1}


def _resource(kind: str, spec: Schema) -> Schema:
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion=_one_of("monitoring.coreos.com/v1"),
        kind=_one_of(kind),
        metadata=_object(("name", "namespace"), name=NAME, namespace=NAMESPACE, labels=LABELS),
        spec=spec,
    )


SCHEMAS = {
    "service-monitor.yaml": _resource(
        "ServiceMonitor",
        _object(
            ("selector", "endpoints"),
            selector=_object(matchLabels=LABELS),
            namespaceSelector=_object(any={"type": "boolean"}, matchNames=_list(NAMESPACE, 16)),
            jobLabel=_TEXT,
            endpoints=_list(
                _object(
                    port=_TEXT,
                    path={"type": "string", "pattern": "^/"},
                    interval=_DURATION,
                    scrapeTimeout=_DURATION,
                    honorLabels={"type": "boolean"},
                ),
                4,
                1,
            ),
        ),
    ),
    "prometheus-rule.yaml": _resource(
        "PrometheusRule",
        _object(
            ("groups",),
            groups=_list(
                _object(
                    ("name", "rules"),
                    name=_TEXT,
                    interval=_DURATION,
                    rules=_list(
                        _object(
                            ("alert", "expr", "labels", "annotations"),
                            alert={"type": "string", "pattern": "^FaceSearch[A-Za-z]+$"},
                            expr=_TEXT,
                            **{"for": _DURATION},
                            labels=LABELS,
                            annotations=LABELS,
                        ),
                        64,
                        1,
                    ),
                ),
                16,
                1,
            ),
        ),
    ),
}
"""Written from the reference of the Prometheus Operator (monitoring.coreos.com/v1) for the fields that are used."""


def manifest(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return document


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_manifest_is_valid(name: str) -> None:
    jsonschema.validate(manifest(name), SCHEMAS[name])


def test_the_schemas_find_a_mistake() -> None:
    wrong = copy.deepcopy(manifest("service-monitor.yaml"))
    wrong["spec"]["endpoints"][0]["honor_labels"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMAS["service-monitor.yaml"])


@pytest.mark.parametrize("service", SERVICES)
def test_the_service_monitor_selects_both_services_and_their_port(service: str) -> None:
    spec, target = manifest("service-monitor.yaml")["spec"], the("Service", service)
    assert spec["selector"]["matchLabels"].items() <= target["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in [port["name"] for port in target["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"
    assert endpoint["honorLabels"] is True  # else Prometheus renames the label `service` of the metrics


def test_prometheus_may_reach_the_pods_when_it_runs_in_the_namespace_of_the_network_policy() -> None:
    (rule,) = the("NetworkPolicy", "allow-requests")["spec"]["ingress"]
    names = [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["from"]]
    assert "monitoring" in names


def test_the_job_without_the_operator_selects_the_same_and_gives_the_same_labels() -> None:
    (job,) = manifest("prometheus.yml")["scrape_configs"]
    keep, *labels = job["relabel_configs"]
    assert keep["regex"] == "face-search;http"
    assert [each["target_label"] for each in labels] == ["namespace", "service", "pod", "container"]
    assert (job["honor_labels"], job["metrics_path"]) == (True, "/metrics")


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_its_runbook_is_a_section_of_the_operations_guide(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook"}
    assert len(notes["description"]) > 60
    path, _, anchor = notes["runbook"].partition("#")
    assert path == "docs/operations.md"
    assert anchor == rule["alert"].lower()
    assert re.search(rf"^#+ {rule['alert']}$", OPERATIONS.read_text(), re.MULTILINE)


def test_the_latency_alert_has_the_target_of_the_load_test() -> None:
    (slow,) = [rule for rule in alerts() if rule["alert"] == "FaceSearchSlow"]
    target = re.search(r"--p95-ms (\d+)", (FOLDER.parents[1] / "docs" / "performance.md").read_text())
    assert target
    assert float(limit_of(slow["expr"])["limit"]) * 1000 == float(target[1])


def test_the_dashboards_ids_are_unique_and_its_panels_do_not_overlap() -> None:
    board = dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_panel_has_a_title_a_unit_and_the_chosen_data_source() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("expression", expressions(), ids=lambda each: each.title)
def test_an_expression_names_only_metrics_that_the_services_or_the_cluster_export(
    expression: Expression,
) -> None:
    documented = set(re.findall(r"`(face_search_[a-z_]+)`", OPERATIONS.read_text()))
    for metric in re.findall(r"face_search_[a-z_]+", expression.text):
        assert re.sub(r"_(bucket|sum|count)$", "", metric) in documented, metric


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return program("promtool")
    except NotAvailable as reason:
        pytest.skip(str(reason))


def test_promtool_accepts_the_rules_and_the_job(promtool: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(manifest("prometheus-rule.yaml")["spec"]))
    _check(promtool, "check", "rules", str(rules))
    job = manifest("prometheus.yml")
    job["rule_files"] = [str(rules)]
    # Debian builds Prometheus without the discovery of Kubernetes' targets; the rest of the job is checked.
    job["scrape_configs"][0].pop("kubernetes_sd_configs")
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(job))
    _check(promtool, "check", "config", str(configuration))


def test_each_alert_fires_on_its_made_condition_and_not_before(promtool: Path, tmp_path: Path) -> None:
    cases = yaml.safe_load(CASES.read_text())
    tested = [each for case in cases["tests"] for each in case["alert_rule_test"]]
    for rule in alerts():
        fires = {bool(each["exp_alerts"]) for each in tested if each["alertname"] == rule["alert"]}
        assert fires == {True, False}, rule["alert"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(manifest("prometheus-rule.yaml")["spec"]))
    (tmp_path / CASES.name).write_text(CASES.read_text())
    _check(promtool, "test", "rules", str(tmp_path / CASES.name))


def test_promtool_finds_an_alert_that_does_not_fire(promtool: Path, tmp_path: Path) -> None:
    changed = "FaceSearchErrorRatio"
    spec = manifest("prometheus-rule.yaml")["spec"]
    (ratio,) = [rule for rule in spec["groups"][0]["rules"] if rule["alert"] == changed]
    ratio["expr"] = ratio["expr"].replace("> 0.02", "> 0.2")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    cases = yaml.safe_load(CASES.read_text())
    cases["tests"] = [case for case in cases["tests"] if changed in str(case["alert_rule_test"])]
    (tmp_path / CASES.name).write_text(yaml.safe_dump(cases))
    command = [promtool, "test", "rules", str(tmp_path / CASES.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"alertname: {changed}" in done.stderr + done.stdout


def _check(promtool: Path, *arguments: str) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
