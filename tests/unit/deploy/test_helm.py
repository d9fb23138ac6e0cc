"""Tests of the Helm chart, rendered by Helm's engine: the objects of deploy/k8s, and the effect of its values."""

from __future__ import annotations

import copy
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from bentos.config.settings import Settings
from tests.unit.deploy.manifests import FOLDER, SERVICES, Manifest, manifests, name_of
from tests.unit.deploy.test_schemas import VERSIONS

CHART = FOLDER.parent / "helm" / "face-search"
CHECKSUMS = {"checksum/settings", "checksum/secrets"}


def rendered(values: dict[str, Any] | None = None, namespace: str = "face-search") -> dict[str, Manifest]:
    """The objects by their kind and name, as `helm template` renders them."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="face-search", namespace=namespace)
    objects = [
        document
        for name, text in files.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document is not None
    ]
    assert len({name_of(each) for each in objects}) == len(objects)
    return {name_of(each): each for each in objects}


def deployments(values: dict[str, Any] | None = None) -> list[Manifest]:
    return [rendered(values)[f"Deployment/{service}"] for service in SERVICES]


def annotations(deployment: Manifest) -> dict[str, str]:
    return deployment["spec"]["template"]["metadata"]["annotations"]


def without_checksums(manifest: Manifest) -> Manifest:
    manifest = copy.deepcopy(manifest)
    if manifest["kind"] == "Deployment":
        for checksum in CHECKSUMS:
            del annotations(manifest)[checksum]
        if not annotations(manifest):
            del manifest["spec"]["template"]["metadata"]["annotations"]
    return manifest


def test_it_renders_the_objects_of_the_plain_manifests_except_the_namespace() -> None:
    plain = {name_of(each): each for each in manifests() if each["kind"] != "Namespace"}
    chart = {name: without_checksums(each) for name, each in rendered().items()}
    assert chart.keys() == plain.keys()
    for name, manifest in plain.items():
        assert chart[name] == manifest, name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_in(version: str) -> None:
    for manifest in rendered().values():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_lint_reports_only_a_missing_icon() -> None:
    findings = helm.lint(CHART)
    assert findings["errors"] == []
    assert [message["error"] for message in findings["messages"]] == ["icon is recommended"]


def test_every_object_is_in_the_namespace_of_the_release() -> None:
    assert {each["metadata"]["namespace"] for each in rendered(namespace="faces").values()} == {"faces"}


def test_a_setting_replaces_its_default_and_the_others_stay() -> None:
    data = rendered({"settings": {"TOP_K_MAX": 20, "DOCS_ENABLED": True}})["ConfigMap/face-search-settings"][
        "data"
    ]
    assert (data["TOP_K_MAX"], data["DOCS_ENABLED"]) == ("20", "true")
    assert data.keys() == rendered()["ConfigMap/face-search-settings"]["data"].keys()
    assert {name.lower() for name in data} <= Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": {"MILVUS_URL": "http://milvus:19530"}}, "settings.MILVUS_URL is not a setting"),
        ({"secret": {"API_KEY": "x"}}, "secret"),
        ({"secrets": {"API_KEYS": "x"}}, "API_KEYS"),
        ({"services": {"image-search": {"minReplicas": "two"}}}, "minReplicas"),
    ],
)
def test_an_unknown_value_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm.HelmError, match=said):
        rendered(values)


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({"settings": {"LOG_LEVEL": "debug"}}, {"checksum/settings"}),
        ({"secrets": {"API_KEY": "0123456789abcdef-key-of-the-tests"}}, {"checksum/secrets"}),
        ({"ingress": {"host": "other.example.org"}}, set()),
    ],
)
def test_pods_are_replaced_when_and_only_when_settings_or_secrets_change(
    values: dict[str, Any], changed: set[str]
) -> None:
    for before, after in zip(deployments(), deployments(values), strict=True):
        differing = {key for key, value in annotations(before).items() if annotations(after)[key] != value}
        assert differing == changed


def test_the_ports_of_the_policies_follow_from_the_addresses() -> None:
    objects = rendered(
        {
            "settings": {
                "MILVUS_URI": "https://milvus.internal",
                "POSTGREST_URL": "http://postgrest.internal/rest",
                "S3_ENDPOINT_URL": "http://minio.internal:9000",
            }
        }
    )

    def ports(service: str) -> list[int]:
        (rule,) = objects[f"NetworkPolicy/allow-{service}-to-stores"]["spec"]["egress"]
        return [port["port"] for port in rule["ports"]]

    assert ports("image-search") == [443]
    assert ports("image-vectorizer") == [443, 80, 9000]


def test_an_existing_secret_is_used_and_none_is_created() -> None:
    objects = rendered({"existingSecret": "from-the-vault"})
    assert "Secret/face-search-secrets" not in objects
    for service in SERVICES:
        (container,) = objects[f"Deployment/{service}"]["spec"]["template"]["spec"]["containers"]
        assert {each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"]} == {"from-the-vault"}
        assert "checksum/secrets" not in annotations(objects[f"Deployment/{service}"])


def test_ingress_and_policies_can_be_left_out() -> None:
    kinds = {
        each["kind"]
        for each in rendered({"ingress": {"enabled": False}, "networkPolicy": {"enabled": False}}).values()
    }
    assert not kinds & {"Ingress", "NetworkPolicy"}


def test_images_registry_password_and_placement_come_from_the_values() -> None:
    values = {
        "image": {"registry": "ghcr.io/acme", "tag": "1.2.3", "pullSecrets": ["registry"]},
        "nodeSelector": {"disk": "ssd"},
        "podAnnotations": {"team": "faces"},
    }
    objects = rendered(values)
    assert objects["ServiceAccount/face-search"]["imagePullSecrets"] == [{"name": "registry"}]
    for service in SERVICES:
        template = objects[f"Deployment/{service}"]["spec"]["template"]
        assert template["spec"]["containers"][0]["image"] == f"ghcr.io/acme/{service}:1.2.3"
        assert template["spec"]["nodeSelector"] == {"disk": "ssd"}
        assert template["metadata"]["annotations"]["team"] == "faces"
