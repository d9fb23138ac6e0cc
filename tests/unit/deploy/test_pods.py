"""Tests of the Deployments: rollout, probes, rights, resources and placement of their pods."""

from __future__ import annotations

import pytest

from bentos.config.settings import Settings
from bentos.serving.drain import SETTLE_S
from tests.unit.deploy.manifests import SERVICES, container_of, labels_of_pods, of_kind, pod_of, the

pytestmark = pytest.mark.parametrize("service", SERVICES)


def test_a_rollout_removes_no_pod_before_its_replacement_is_ready(service: str) -> None:
    assert the("Deployment", service)["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }


def test_only_the_autoscaler_sets_the_number_of_replicas(service: str) -> None:
    assert "replicas" not in the("Deployment", service)["spec"]


def test_selectors_match_the_labels_of_their_pods_and_of_no_others(service: str) -> None:
    pods = {name: labels_of_pods(name).items() for name in SERVICES}
    selectors = [
        the("Deployment", service)["spec"]["selector"]["matchLabels"],
        the("Service", service)["spec"]["selector"],
        the("PodDisruptionBudget", service)["spec"]["selector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod_of(service)["topologySpreadConstraints"]),
        *(
            each["podAffinityTerm"]["labelSelector"]["matchLabels"]
            for each in pod_of(service)["affinity"]["podAntiAffinity"][
                "preferredDuringSchedulingIgnoredDuringExecution"
            ]
        ),
    ]
    for selector in selectors:
        assert [name for name, labels in pods.items() if selector.items() <= labels] == [service]


def test_readiness_checks_the_dependencies_and_liveness_only_the_process(service: str) -> None:
    container = container_of(service)
    paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert paths == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe in paths:
        assert container[probe]["httpGet"]["port"] == "http"


def test_a_pod_has_a_minute_to_start_and_is_restarted_within_a_minute_of_failed_probes(service: str) -> None:
    container = container_of(service)
    startup, liveness, readiness = (container[f"{p}Probe"] for p in ("startup", "liveness", "readiness"))
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 60
    assert 20 <= liveness["periodSeconds"] * liveness["failureThreshold"] <= 60
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= 5


def test_the_grace_period_is_longer_than_all_steps_of_stopping(service: str) -> None:
    command = container_of(service)["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    settings = Settings()
    stopping = int(command[1]) + settings.shutdown_delay_s + SETTLE_S + settings.shutdown_timeout_s
    assert int(command[1]) >= 5
    assert pod_of(service)["terminationGracePeriodSeconds"] > stopping + 5


def test_the_pod_meets_the_restricted_pod_security_standard(service: str) -> None:
    pod = pod_of(service)["securityContext"]
    container = container_of(service)["securityContext"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for context in (pod, container):
        assert context["runAsNonRoot"] is True
        assert (context["runAsUser"], context["runAsGroup"]) == (1034, 1034)
    assert container["allowPrivilegeEscalation"] is False
    assert container["readOnlyRootFilesystem"] is True
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in container
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod_of(service).keys()
    assert the("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_only_tmp_is_writable_and_its_size_is_limited(service: str) -> None:
    assert [mount["mountPath"] for mount in container_of(service)["volumeMounts"]] == ["/tmp"]
    (volume,) = pod_of(service)["volumes"]
    assert volume["emptyDir"]["sizeLimit"]


def test_the_pod_has_no_service_account_token(service: str) -> None:
    assert pod_of(service)["automountServiceAccountToken"] is False
    account = the("ServiceAccount", pod_of(service)["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False
    assert pod_of(service)["enableServiceLinks"] is False


def test_cpu_and_memory_have_requests_and_limits(service: str) -> None:
    resources = container_of(service)["resources"]
    for amounts in (resources["requests"], resources["limits"]):
        assert 1 <= int(amounts["cpu"]) <= 2
        assert amounts["memory"].endswith("Gi")
    limits = resources["limits"]
    needed = 0.5 + 1.2 * int(
        limits["cpu"]
    )  # measured in tests/containers: the largest images at once in every runner
    assert float(limits["memory"].removesuffix("Gi")) >= needed


def test_pods_spread_over_zones_and_nodes_without_blocking_a_rollout(service: str) -> None:
    constraints = pod_of(service)["topologySpreadConstraints"]
    assert {each["topologyKey"]: each["whenUnsatisfiable"] for each in constraints} == {
        "topology.kubernetes.io/zone": "ScheduleAnyway",
        "kubernetes.io/hostname": "ScheduleAnyway",
    }
    anti = pod_of(service)["affinity"]["podAntiAffinity"]
    assert list(anti) == ["preferredDuringSchedulingIgnoredDuringExecution"]


def test_a_pod_is_spread_among_the_pods_of_its_own_version(service: str) -> None:
    (preferred,) = pod_of(service)["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    for term in (*pod_of(service)["topologySpreadConstraints"], preferred["podAffinityTerm"]):
        assert term["matchLabelKeys"] == ["pod-template-hash"]  # a label that every Deployment gives its pods


def test_a_pod_is_evicted_from_an_unreachable_node_after_half_a_minute(service: str) -> None:
    assert {each["key"]: each["tolerationSeconds"] for each in pod_of(service)["tolerations"]} == {
        "node.kubernetes.io/unreachable": 30,
        "node.kubernetes.io/not-ready": 30,
    }
    assert all(
        (t["operator"], t["effect"]) == ("Exists", "NoExecute") for t in pod_of(service)["tolerations"]
    )


def test_describe_shows_the_last_lines_of_a_failed_container(service: str) -> None:
    assert container_of(service)["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_autoscaler_has_a_target_that_exists_and_at_least_two_replicas(service: str) -> None:
    spec = the("HorizontalPodAutoscaler", service)["spec"]
    target = the(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])
    assert target["apiVersion"] == spec["scaleTargetRef"]["apiVersion"]
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
    assert [metric["resource"]["name"] for metric in spec["metrics"]] == ["cpu", "memory"]
    requested = container_of(service)["resources"]["requests"]
    assert {"cpu", "memory"} <= requested.keys()  # without a CPU request, utilisation is undefined


def test_it_scales_up_at_once_and_down_slowly(service: str) -> None:
    behavior = the("HorizontalPodAutoscaler", service)["spec"]["behavior"]
    up, down = behavior["scaleUp"], behavior["scaleDown"]
    assert up["stabilizationWindowSeconds"] == 0
    assert up["selectPolicy"] == "Max"
    assert max(policy["periodSeconds"] for policy in up["policies"]) <= 15
    assert down["stabilizationWindowSeconds"] >= 300
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_a_disruption_leaves_one_pod_at_the_smallest_number_of_replicas(service: str) -> None:
    budget = the("PodDisruptionBudget", service)["spec"]
    assert budget["maxUnavailable"] < the("HorizontalPodAutoscaler", service)["spec"]["minReplicas"]


def test_the_service_points_at_the_port_of_the_pod(service: str) -> None:
    (port,) = the("Service", service)["spec"]["ports"]
    (container_port,) = container_of(service)["ports"]
    assert port["targetPort"] == container_port["name"] == "http"
    assert container_port["containerPort"] == 3000


def test_the_image_has_a_tag_and_its_line_is_marked(service: str) -> None:
    image = container_of(service)["image"]
    assert image.rpartition(":")[2] not in {"", "latest"}
    assert image.rpartition(":")[0].endswith(f"/{service}")


def test_there_is_one_of_each_kind_for_the_service(service: str) -> None:
    for kind in ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"):
        assert sorted(m["metadata"]["name"] for m in of_kind(kind)) == list(SERVICES)
