"""Tests of the Gateway API manifests: valid by their schemas, with exactly the paths of the Ingress."""

from __future__ import annotations

import copy
import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.unit.deploy.gateway_schemas import SCHEMAS
from tests.unit.deploy.manifests import FOLDER, Manifest, documents, name_of, the
from tests.unit.deploy.test_network import ROUTES, TIMEOUT_S, body_limit_mib
from tests.unit.deploy.test_schemas import VERSIONS

GATEWAY = FOLDER.parent / "gateway"
MANIFESTS = [document for path in sorted(GATEWAY.glob("*.yaml")) for document in documents(path)]
OF_THE_API = [manifest for manifest in MANIFESTS if manifest["kind"] in SCHEMAS]
_UNITS_MS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def one(kind: str, name: str = "face-search") -> Manifest:
    (found,) = [m for m in MANIFESTS if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def validate(manifest: Manifest) -> None:
    jsonschema.validate(manifest, SCHEMAS[manifest["kind"]])


def milliseconds(duration: str) -> int:
    return sum(int(n) * _UNITS_MS[unit] for n, unit in re.findall(r"([0-9]+)(ms|h|m|s)", duration))


def service_behind(path: str) -> str | None:
    """The rules of the Gateway API: an exact path wins, then the longest prefix of whole elements."""
    best: tuple[int, str] | None = None
    for rule in one("HTTPRoute")["spec"]["rules"]:
        for match in rule["matches"]:
            service, value = rule["backendRefs"][0]["name"], match["path"]["value"]
            if match["path"]["type"] == "Exact" and value == path:
                return str(service)
            if match["path"]["type"] == "PathPrefix" and (path + "/").startswith(value.rstrip("/") + "/"):
                best = max(best or (0, ""), (len(value), service))
    return best[1] if best else None


def test_every_object_is_defined() -> None:
    assert [name_of(manifest) for manifest in MANIFESTS] == [
        "Namespace/face-search-gateway",
        "Gateway/face-search",
        "HTTPRoute/face-search",
        "HTTPRoute/face-search-to-https",
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_namespace_is_valid_in(version: str) -> None:
    kubernetes_validate.validate(one("Namespace", "face-search-gateway"), version, strict=True)


@pytest.mark.parametrize("manifest", OF_THE_API, ids=name_of)
def test_the_manifest_is_valid(manifest: Manifest) -> None:
    validate(manifest)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("spec", "rules", 0, "timeout"), {"request": "65s"}),
        (("spec", "rules", 0, "timeouts", "request"), "65"),
        (("spec", "rules", 0, "matches", 0, "path", "type"), "Prefix"),
        (("spec", "rules", 0, "backendRefs", 0, "port"), "http"),
        (("spec", "hostnames"), "faces.example.com"),
        (("apiVersion",), "gateway.networking.k8s.io/v1alpha2"),
    ],
)
def test_the_schemas_find_a_mistake(where: tuple[str | int, ...], value: object) -> None:
    wrong: Any = copy.deepcopy(one("HTTPRoute"))
    place = wrong
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(wrong)


@pytest.mark.parametrize(("path", "service"), ROUTES)
def test_each_of_the_seven_routes_reaches_its_service_with_and_without_a_slash(
    path: str, service: str
) -> None:
    concrete = path.replace("{photo_id}", "some-photo.jpg")
    assert service_behind(concrete) == service
    assert service_behind(concrete + "/") == service


def test_its_paths_are_those_of_the_ingress() -> None:
    (rule,) = the("Ingress")["spec"]["rules"]
    types = {"Exact": "Exact", "Prefix": "PathPrefix"}
    ingress = {
        (types[e["pathType"]], e["path"], e["backend"]["service"]["name"]) for e in rule["http"]["paths"]
    }
    routes = {
        (match["path"]["type"], match["path"]["value"], each["backendRefs"][0]["name"])
        for each in one("HTTPRoute")["spec"]["rules"]
        for match in each["matches"]
    }
    assert routes == ingress


def test_every_rule_has_the_timeout_of_the_ingress_and_no_attempt_exceeds_the_request_timeout() -> None:
    for rule in one("HTTPRoute")["spec"]["rules"]:
        assert milliseconds(rule["timeouts"]["request"]) == TIMEOUT_S * 1000
        assert milliseconds(rule["timeouts"]["backendRequest"]) <= milliseconds(rule["timeouts"]["request"])


def test_the_backends_are_ports_of_the_services() -> None:
    for rule in one("HTTPRoute")["spec"]["rules"]:
        (backend,) = rule["backendRefs"]
        assert backend["port"] in [port["port"] for port in the("Service", backend["name"])["spec"]["ports"]]


def test_each_route_attaches_to_a_listener_that_allows_it() -> None:
    gateway = one("Gateway")
    for route in (one("HTTPRoute"), one("HTTPRoute", "face-search-to-https")):
        (parent,) = route["spec"]["parentRefs"]
        assert {k: parent[k] for k in ("name", "namespace")} == {
            k: gateway["metadata"][k] for k in ("name", "namespace")
        }
        (listener,) = [each for each in gateway["spec"]["listeners"] if each["name"] == parent["sectionName"]]
        assert route["spec"]["hostnames"] == [listener["hostname"]]
        assert listener["allowedRoutes"]["namespaces"] == {
            "from": "Selector",
            "selector": {"matchLabels": {"kubernetes.io/metadata.name": route["metadata"]["namespace"]}},
        }


def test_https_has_a_certificate_and_http_only_redirects() -> None:
    listeners = {each["protocol"]: each for each in one("Gateway")["spec"]["listeners"]}
    assert listeners["HTTPS"]["tls"]["certificateRefs"]
    assert "tls" not in listeners["HTTP"]
    (rule,) = one("HTTPRoute", "face-search-to-https")["spec"]["rules"]
    assert "backendRefs" not in rule
    assert rule["filters"][0]["requestRedirect"]["scheme"] == "https"


def test_the_body_limits_apply_to_the_route_and_allow_the_largest_image() -> None:
    (nginx,) = documents(GATEWAY / "body-limit" / "nginx-gateway-fabric.yaml")
    (envoy,) = documents(GATEWAY / "body-limit" / "envoy-gateway.yaml")
    assert nginx["spec"]["body"]["maxSize"] == f"{body_limit_mib()}m"
    assert envoy["spec"]["requestBuffer"]["limit"] == f"{body_limit_mib()}Mi"
    for policy, target in ((nginx, nginx["spec"]["targetRef"]), (envoy, envoy["spec"]["targetRefs"][0])):
        route = one("HTTPRoute", target["name"])
        assert target["kind"] == route["kind"]
        assert policy["metadata"]["namespace"] == route["metadata"]["namespace"]
