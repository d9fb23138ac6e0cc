"""Tests of the Jobs in deploy/jobs: valid, as restricted as the services, and with the same settings."""

from __future__ import annotations

import kubernetes_validate
import pytest

from bentos.config.loading import load_settings
from bentos.reembed.__main__ import _parser
from tests.unit.deploy.manifests import (
    FOLDER,
    SERVICES,
    Manifest,
    container_of,
    documents,
    name_of,
    pod_of,
    the,
)
from tests.unit.deploy.test_schemas import VERSIONS
from tests.unit.deploy.test_settings import config, secret

FILES = sorted((FOLDER.parent / "jobs").iterdir())
MANIFESTS = [document for path in FILES for document in documents(path)]


def job() -> Manifest:
    (found,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "Job"]
    return found


def pod() -> Manifest:
    return job()["spec"]["template"]["spec"]


def container() -> Manifest:
    (found,) = pod()["containers"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=name_of)
def test_the_manifest_is_valid_in(manifest: Manifest, version: str) -> None:
    assert kubernetes_validate.validate(manifest, version, strict=True) == version
    assert manifest["metadata"]["namespace"] == "face-search"


def test_it_is_not_part_of_the_manifests_of_the_services() -> None:
    assert not set(FILES) & set(FOLDER.rglob("*"))


def test_the_pod_is_as_restricted_as_those_of_the_services() -> None:
    service = pod_of("image-vectorizer")
    for name in (
        "securityContext",
        "serviceAccountName",
        "automountServiceAccountToken",
        "enableServiceLinks",
    ):
        assert pod()[name] == service[name], name
    for name in ("securityContext", "volumeMounts"):
        assert container()[name] == container_of("image-vectorizer")[name], name
    for amounts in ("requests", "limits"):
        assert container()["resources"][amounts].keys() == {"cpu", "memory", "ephemeral-storage"}
    assert [volume["emptyDir"].keys() for volume in pod()["volumes"]] == [{"sizeLimit"}]


def test_no_service_selects_its_pods() -> None:
    labels = job()["spec"]["template"]["metadata"]["labels"].items()
    for service in SERVICES:
        assert not the("Service", service)["spec"]["selector"].items() <= labels


def test_it_reaches_the_stores_that_image_vectorizer_reaches() -> None:
    labels = job()["spec"]["template"]["metadata"]["labels"].items()
    (policy,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "NetworkPolicy"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
    vectorizer = the("NetworkPolicy", "allow-image-vectorizer-to-stores")
    assert policy["spec"]["egress"] == vectorizer["spec"]["egress"]
    assert the("NetworkPolicy", "allow-dns")["spec"]["podSelector"]["matchLabels"].items() <= labels


def test_it_has_the_settings_of_image_vectorizer_and_a_face_pack_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = container_of("image-vectorizer")
    assert container()["envFrom"] == service["envFrom"]
    own = [variable for variable in container()["env"] if "value" in variable]
    assert [variable["name"] for variable in own] == ["FACE_PACK", "EMBEDDING_DIM"]
    assert [variable for variable in container()["env"] if "value" not in variable] == service["env"]
    for name, value in {**config(), **secret()}.items():
        monkeypatch.setenv(name, value)
    for variable in own:
        monkeypatch.setenv(variable["name"], variable["value"])
    for name in ("API_KEY", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_BUCKET"):
        monkeypatch.setenv(name, "0123456789abcdef-key-of-the-tests")
    for name in ("MILVUS_URI", "POSTGREST_URL"):
        monkeypatch.setenv(name, "http://store:3000")
    load_settings("image-vectorizer")


def test_the_program_accepts_its_command_line() -> None:
    assert container()["command"] == ["python3", "-m", "bentos.reembed"]
    _parser().parse_args(container()["args"])


def test_a_lost_pod_is_replaced_and_a_finished_one_is_not_repeated() -> None:
    spec = job()["spec"]
    assert pod()["restartPolicy"] == "Never"
    assert spec["backoffLimit"] >= 3
    actions = [rule["action"] for rule in spec["podFailurePolicy"]["rules"]]
    assert actions == ["Ignore", "FailJob"]
    failed = spec["podFailurePolicy"]["rules"][1]["onExitCodes"]
    assert (failed["containerName"], failed["values"]) == (container()["name"], [1])
