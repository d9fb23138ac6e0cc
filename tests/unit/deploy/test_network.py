"""Tests of the network rules: the Ingress exposes only the API, and the pods reach only the stores."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bentos.config.settings import MEGABYTE, Settings
from bentos.http.middleware.body_limits import FORM_OVERHEAD
from bentos.http.middleware.probes import OPEN_PATHS
from bentos.http.ping import ping_router
from bentos.search.api import router as search_router
from bentos.vectorizer.api import router as vectorizer_router
from tests.unit.deploy.manifests import FOLDER, SERVICES, labels_of_pods, of_kind, the

ROUTES = sorted(
    (route.path.rstrip("/"), service)
    for service, routers in {
        "image-search": [search_router, ping_router("image-search")],
        "image-vectorizer": [vectorizer_router],
    }.items()
    for router in routers
    for route in router.routes
    if route.include_in_schema
)


TIMEOUT_S = round(Settings().request_timeout_s) + 15
"""Longer than REQUEST_TIMEOUT_S and the calls of stores that end after it."""


def body_limit_mib() -> int:
    """The smallest limit, in whole MiB, that allows the largest image and the other fields of its form."""
    settings = Settings()
    largest = max(settings.vectorize_max_image_bytes, settings.search_max_image_bytes)
    return math.ceil((largest + FORM_OVERHEAD) / MEGABYTE)


def service_behind(path: str) -> str | None:
    """Kubernetes' rules: an exact path wins, then the longest prefix of whole elements."""
    (rule,) = the("Ingress")["spec"]["rules"]
    best: tuple[int, str] | None = None
    for entry in rule["http"]["paths"]:
        service = entry["backend"]["service"]["name"]
        if entry["pathType"] == "Exact" and entry["path"] == path:
            return service
        prefix = entry["path"].rstrip("/")
        if entry["pathType"] == "Prefix" and (path + "/").startswith(prefix + "/"):
            best = max(best or (0, ""), (len(prefix), service))
    return best[1] if best else None


def test_there_are_eight_routes() -> None:
    assert len(ROUTES) == 8


@pytest.mark.parametrize(("path", "service"), ROUTES)
def test_the_ingress_sends_the_route_to_its_service_with_and_without_a_slash(path: str, service: str) -> None:
    concrete = path.replace("{photo_id}", "some-photo.jpg")
    assert service_behind(concrete) == service
    assert service_behind(concrete + "/") == service


@pytest.mark.parametrize(
    "path",
    [
        *sorted(OPEN_PATHS),
        "/",
        "/docs",
        "/openapi.json",
        "/docs.json",
        "/schema.json",
        "/search/x",
        "/searches",
    ],
)
def test_the_ingress_does_not_expose_the_path(path: str) -> None:
    assert service_behind(path) is None


def test_every_path_of_the_ingress_belongs_to_a_route() -> None:
    (rule,) = the("Ingress")["spec"]["rules"]
    known = {path.replace("/{photo_id}", "") for path, _ in ROUTES}
    assert {entry["path"].rstrip("/") for entry in rule["http"]["paths"]} == known


def test_the_backends_are_services_with_that_port() -> None:
    (rule,) = the("Ingress")["spec"]["rules"]
    for entry in rule["http"]["paths"]:
        backend = entry["backend"]["service"]
        assert backend["port"]["name"] in [
            p["name"] for p in the("Service", backend["name"])["spec"]["ports"]
        ]


def test_every_host_has_tls_and_http_is_redirected() -> None:
    spec = the("Ingress")["spec"]
    assert {host for entry in spec["tls"] for host in entry["hosts"]} == {
        rule["host"] for rule in spec["rules"]
    }
    assert all(entry["secretName"] for entry in spec["tls"])
    for prefix in CONTROLLERS:
        assert annotations()[f"{prefix}/ssl-redirect"] == "true"


def annotations() -> dict[str, str]:
    return the("Ingress")["metadata"]["annotations"]


CONTROLLERS = {  # prefix of the annotations: their names for the body limit and for the response timeout
    "nginx.org": ("client-max-body-size", "proxy-read-timeout"),
    "haproxy-ingress.github.io": ("proxy-body-size", "timeout-server"),
}


@pytest.mark.parametrize("prefix", CONTROLLERS)
def test_the_body_limit_is_the_smallest_that_allows_the_largest_image(prefix: str) -> None:
    assert annotations()[f"{prefix}/{CONTROLLERS[prefix][0]}"] == f"{body_limit_mib()}m"


@pytest.mark.parametrize("prefix", CONTROLLERS)
def test_a_controllers_timeout_is_longer_than_that_of_a_service(prefix: str) -> None:
    assert annotations()[f"{prefix}/{CONTROLLERS[prefix][1]}"] == f"{TIMEOUT_S}s"


def test_the_readme_lists_the_annotations_of_each_controller_with_their_values() -> None:
    readme = (FOLDER.parent / "README.md").read_text()
    for prefix, names in CONTROLLERS.items():
        (row,) = [line for line in readme.splitlines() if f"`{prefix}/" in line]
        assert all(f"`{prefix}/{name}`" in row for name in (*names, "ssl-redirect"))
    assert f"a body limit of {body_limit_mib()} MiB" in readme
    assert f"has to wait for {TIMEOUT_S} s" in readme


def test_no_annotation_is_for_the_retired_controller() -> None:
    assert {name.partition("/")[0] for name in annotations()} == set(CONTROLLERS)


def policies_for(service: str, direction: str) -> list[dict[str, Any]]:
    labels = labels_of_pods(service).items()
    return [
        policy["spec"]
        for policy in of_kind("NetworkPolicy")
        if direction in policy["spec"]["policyTypes"]
        and policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels
    ]


def test_traffic_that_no_policy_allows_is_denied() -> None:
    spec = the("NetworkPolicy", "default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("service", SERVICES)
def test_requests_are_allowed_from_the_named_namespaces_to_one_port(service: str) -> None:
    rules = [rule for spec in policies_for(service, "Ingress") for rule in spec.get("ingress", [])]
    assert rules
    for rule in rules:
        assert all(peer["namespaceSelector"]["matchLabels"] for peer in rule["from"])
        assert [port["port"] for port in rule["ports"]] == [3000]


@pytest.mark.parametrize(
    ("service", "ports"), [("image-search", {53, 19530}), ("image-vectorizer", {53, 19530, 3000, 443})]
)
def test_a_pod_reaches_its_stores_and_the_dns_of_the_cluster(service: str, ports: set[int]) -> None:
    rules = [rule for spec in policies_for(service, "Egress") for rule in spec.get("egress", [])]
    assert {port["port"] for rule in rules for port in rule["ports"]} == ports
