"""Strict JSON schemas of the Gateway API v1: an unknown field is an error.

Written from the reference of the Gateway API (standard channel, v1.2 and newer) for the fields that deploy/gateway may
use, because no package index that the tests install from has the CRDs. A field that is missing here has to be added
from the reference before it can be used.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


def _text(pattern: str, longest: int = 253) -> Schema:
    return {"type": "string", "pattern": pattern, "minLength": 1, "maxLength": longest}


def _one_of(*values: str | int) -> Schema:
    return {"enum": list(values)}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: Schema, most: int, least: int = 0) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


NAME = _text(_NAME)
NAMESPACE = _text(_LABEL, 63)
HOSTNAME = _text(r"^(\*\.)?" + _NAME[1:])
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = _object(("name",), name=NAME, namespace=NAMESPACE, labels=LABELS, annotations=LABELS)
GROUP = {"type": "string", "maxLength": 253}
KIND = _text(r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", 63)

_LISTENER = _object(
    ("name", "port", "protocol"),
    name=NAME,
    hostname=HOSTNAME,
    port=PORT,
    protocol=_one_of("HTTP", "HTTPS", "TLS", "TCP", "UDP"),
    tls=_object(
        mode=_one_of("Terminate", "Passthrough"),
        certificateRefs=_list(_object(("name",), group=GROUP, kind=KIND, name=NAME, namespace=NAMESPACE), 64),
    ),
    allowedRoutes=_object(
        namespaces=_object(
            **{"from": _one_of("All", "Selector", "Same")}, selector=_object(matchLabels=LABELS)
        ),
        kinds=_list(_object(("kind",), group=GROUP, kind=KIND), 8),
    ),
)

_REDIRECT = _object(
    scheme=_one_of("http", "https"),
    hostname=NAME,
    port=PORT,
    statusCode=_one_of(301, 302, 303, 307, 308),
)

_RULE = _object(
    matches=_list(
        _object(
            path=_object(
                type=_one_of("Exact", "PathPrefix", "RegularExpression"),
                value={"type": "string", "pattern": "^/", "maxLength": 1024},
            ),
            method=_one_of("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"),
        ),
        64,
    ),
    filters=_list(
        _object(("type", "requestRedirect"), type=_one_of("RequestRedirect"), requestRedirect=_REDIRECT), 16
    ),
    backendRefs=_list(
        _object(("name", "port"), name=NAME, namespace=NAMESPACE, port=PORT, weight={"type": "integer"}), 16
    ),
    timeouts=_object(request=DURATION, backendRequest=DURATION),
)

_PARENT = _object(
    ("name",), group=GROUP, kind=KIND, name=NAME, namespace=NAMESPACE, sectionName=NAME, port=PORT
)


def _resource(kind: str, spec: Schema) -> Schema:
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion=_one_of("gateway.networking.k8s.io/v1"),
        kind=_one_of(kind),
        metadata=METADATA,
        spec=spec,
    )


SCHEMAS: dict[str, Schema] = {
    "Gateway": _resource(
        "Gateway",
        _object(("gatewayClassName", "listeners"), gatewayClassName=NAME, listeners=_list(_LISTENER, 64, 1)),
    ),
    "HTTPRoute": _resource(
        "HTTPRoute",
        _object(
            ("parentRefs", "rules"),
            parentRefs=_list(_PARENT, 32),
            hostnames=_list(HOSTNAME, 16),
            rules=_list(_RULE, 16, 1),
        ),
    ),
}
