"""Reads the manifests of deploy/k8s as `kubectl apply -f` does: file by file, in alphabetical order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "deploy" / "k8s"
SERVICES = ("image-search", "image-vectorizer")

Manifest = dict[str, Any]


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.yaml"))


def documents(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def manifests() -> list[Manifest]:
    return [document for path in files() for document in documents(path)]


def of_kind(kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests() if manifest["kind"] == kind]


def the(kind: str, name: str | None = None) -> Manifest:
    """The only manifest of the kind, or the manifest with this name."""
    found = [m for m in of_kind(kind) if name is None or m["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_of(service: str) -> Manifest:
    """The pod's spec."""
    return the("Deployment", service)["spec"]["template"]["spec"]


def container_of(service: str) -> Manifest:
    containers = pod_of(service)["containers"]
    assert len(containers) == 1
    return containers[0]


def labels_of_pods(service: str) -> dict[str, str]:
    return the("Deployment", service)["spec"]["template"]["metadata"]["labels"]


def environment(service: str) -> dict[str, str]:
    """The environment of the processes of a pod."""
    container = container_of(service)
    config, secret = the("ConfigMap"), the("Secret")
    assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    given: dict[str, str] = dict(config["data"])
    for variable in container["env"]:
        source = variable["valueFrom"]["secretKeyRef"]
        assert source["name"] == secret["metadata"]["name"]
        given[variable["name"]] = secret["stringData"][source["key"]]
    return given
