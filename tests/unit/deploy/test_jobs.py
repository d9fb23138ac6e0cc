"""Tests of the Jobs in deploy/jobs: valid, as restricted as the services, and with the same settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest

from bentos.audit import __main__ as audit
from bentos.bulk import __main__ as bulk
from bentos.config.loading import load_settings
from bentos.reembed import __main__ as reembed
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

FILES = {path.stem: path for path in sorted((FOLDER.parent / "jobs").iterdir())}
MANIFESTS = [document for path in FILES.values() for document in documents(path)]
PARSERS: dict[str, Callable[[], Any]] = {
    "audit": audit.parser,
    "bulk": bulk._parser,
    "reembed": reembed._parser,
}
PROGRAMS = {"audit": "audit", "index-photos": "bulk", "reembed": "reembed"}
OWN_SETTINGS = {"audit": [], "index-photos": [], "reembed": ["FACE_PACK", "EMBEDDING_DIM"]}

each_job = pytest.mark.parametrize("name", FILES)


def spec_of(name: str) -> Manifest:
    """The spec of the Job, or of the Jobs that a CronJob creates."""
    (found,) = [manifest for manifest in documents(FILES[name]) if manifest["kind"] in {"Job", "CronJob"}]
    spec: Manifest = found["spec"]
    return spec["jobTemplate"]["spec"] if found["kind"] == "CronJob" else spec


def pod(name: str) -> Manifest:
    return spec_of(name)["template"]["spec"]


def labels(name: str) -> dict[str, str]:
    return spec_of(name)["template"]["metadata"]["labels"]


def container(name: str) -> Manifest:
    (found,) = pod(name)["containers"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=name_of)
def test_the_manifest_is_valid_in(manifest: Manifest, version: str) -> None:
    assert kubernetes_validate.validate(manifest, version, strict=True) == version
    assert manifest["metadata"]["namespace"] == "face-search"


def test_they_are_not_part_of_the_manifests_of_the_services() -> None:
    assert not set(FILES.values()) & set(FOLDER.rglob("*"))


@each_job
def test_the_pod_is_as_restricted_as_those_of_the_services(name: str) -> None:
    service = pod_of("image-vectorizer")
    for field in (
        "securityContext",
        "serviceAccountName",
        "automountServiceAccountToken",
        "enableServiceLinks",
    ):
        assert pod(name)[field] == service[field], field
    for field in ("securityContext", "volumeMounts"):
        assert container(name)[field] == container_of("image-vectorizer")[field], field
    for amounts in ("requests", "limits"):
        assert container(name)["resources"][amounts].keys() == {"cpu", "memory", "ephemeral-storage"}
    assert [volume["emptyDir"].keys() for volume in pod(name)["volumes"]] == [{"sizeLimit"}]


@each_job
def test_no_service_selects_its_pods(name: str) -> None:
    for service in SERVICES:
        assert not the("Service", service)["spec"]["selector"].items() <= labels(name).items()


@each_job
def test_it_reaches_the_stores_that_image_vectorizer_reaches(name: str) -> None:
    (policy,) = [manifest for manifest in documents(FILES[name]) if manifest["kind"] == "NetworkPolicy"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels(name).items()
    vectorizer = the("NetworkPolicy", "allow-image-vectorizer-to-stores")
    assert policy["spec"]["egress"] == vectorizer["spec"]["egress"]
    dns = the("NetworkPolicy", "allow-dns")["spec"]["podSelector"]["matchLabels"]
    assert dns.items() <= labels(name).items()


@each_job
def test_it_has_the_settings_of_image_vectorizer_and_its_own(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    service = container_of("image-vectorizer")
    assert container(name)["envFrom"] == service["envFrom"]
    own = [variable for variable in container(name)["env"] if "value" in variable]
    assert [variable["name"] for variable in own] == OWN_SETTINGS[name]
    assert [variable for variable in container(name)["env"] if "value" not in variable] == service["env"]
    for setting, value in {**config(), **secret()}.items():
        monkeypatch.setenv(setting, value)
    for variable in own:
        monkeypatch.setenv(variable["name"], variable["value"])
    for setting in ("API_KEY", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_BUCKET"):
        monkeypatch.setenv(setting, "0123456789abcdef-key-of-the-tests")
    for setting in ("MILVUS_URI", "POSTGREST_URL"):
        monkeypatch.setenv(setting, "http://store:3000")
    load_settings("image-vectorizer")


@each_job
def test_the_program_accepts_its_command_line(name: str) -> None:
    assert container(name)["command"] == ["python3", "-m", f"bentos.{PROGRAMS[name]}"]
    PARSERS[PROGRAMS[name]]().parse_args(container(name)["args"])


@each_job
def test_a_lost_pod_is_replaced_and_a_finished_one_is_not_repeated(name: str) -> None:
    spec = spec_of(name)
    assert pod(name)["restartPolicy"] == "Never"
    assert spec["backoffLimit"] >= 3
    actions = [rule["action"] for rule in spec["podFailurePolicy"]["rules"]]
    assert actions == ["Ignore", "FailJob"]
    failed = spec["podFailurePolicy"]["rules"][1]["onExitCodes"]
    assert (failed["containerName"], failed["values"]) == (container(name)["name"], [1])


def test_the_audit_runs_once_a_night_one_at_a_time_and_changes_nothing() -> None:
    (cron,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "CronJob"]
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert cron["spec"]["schedule"].split()[2:] == ["*", "*", "*"]
    assert cron["spec"]["failedJobsHistoryLimit"] >= 1
    assert "--fix" not in container("audit")["args"]


def test_the_audit_has_the_image_of_image_vectorizer() -> None:
    assert container("audit")["image"] == container_of("image-vectorizer")["image"]


def test_index_photos_names_the_bucket_and_the_prefix_of_the_settings() -> None:
    """Kubernetes replaces $(NAME) by the variable of the container."""
    source, collection = container("index-photos")["args"]
    assert source == "s3://$(S3_BUCKET)/$(S3_PREFIX)"
    assert set(re.findall(r"\$\((\w+)\)", source)) <= config().keys()
    assert collection.startswith("--collection=")
