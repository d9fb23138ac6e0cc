"""Tests every route of the running processes, including those of BentoML and FastAPI, with and without a key."""

from __future__ import annotations

import re
import socket

import httpx
import pytest

from tests.system.conftest import KEY, Live, Service
from tests.system.served_routes import HIDDEN, served_routes

pytestmark = pytest.mark.system

OPEN = {"/livez", "/readyz", "/healthz"}
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
OF_BENTOML = {"/livez", "/readyz", "/healthz", "/schema.json", "/docs.json", "/", HIDDEN}
OF_THE_API = {
    "image-search": {"/search/", "/search", "/ping", "/ping/"},
    "image-vectorizer": {
        "/detect_faces/",
        "/detect_faces",
        "/add_face/",
        "/add_face",
        "/embed_status/",
        "/embed_status",
        "/embed_status/{photo_id}",
        "/embed_status/{photo_id}/",
        "/remove/{photo_id}",
        "/remove/{photo_id}/",
        "/remove_all/",
        "/remove_all",
        "/ping",
        "/ping/",
    },
}
OF_THE_API["face-search"] = OF_THE_API["image-search"] | OF_THE_API["image-vectorizer"]


def concrete(path: str) -> str:
    return path.replace("{photo_id}", "no-such-photo").replace("{path:path}", "nowhere")


def test_every_route_except_the_probes_needs_a_key(each_service: Service) -> None:
    routes = served_routes(each_service.target)
    paths = {path for _, path in routes}
    assert paths >= OF_BENTOML | OF_THE_API[each_service.name] | {"/docs", "/openapi.json"}
    lines = [f"| {each_service.name}: route | without a key | with one |", "| --- | --- | --- |"]
    with httpx.Client(base_url=each_service.live.url, timeout=60) as client:
        for method, path in [*routes, ("GET", "/metrics")]:
            without, with_key = (
                client.request(method, concrete(path), headers=headers)
                for headers in ({}, {"X-Api-Key": KEY})
            )
            lines.append(f"| `{method} {path}` | {without.status_code} | {with_key.status_code} |")
            if path in OPEN | {"/metrics"}:
                assert without.status_code == 200, lines[-1]
            else:
                assert without.status_code == 401, lines[-1]
                assert method == "HEAD" or without.json()["error"] == "invalid_api_key"
            assert with_key.status_code not in {401, 403}, lines[-1]
            assert with_key.status_code < 500, lines[-1]
            for response in (without, with_key):
                assert SECURITY_HEADERS.items() <= dict(response.headers).items(), lines[-1]
                assert "content-security-policy" in response.headers
                assert not {"server", "x-powered-by", "x-bentoml-request-id"} & set(response.headers)
                assert not re.search(
                    r"uvicorn|bentoml|fastapi|starlette", str(response.headers), re.IGNORECASE
                )
    print("\n" + "\n".join(lines))


@pytest.mark.parametrize(
    "path",
    [
        "//livez/../docs.json",
        "/livez/x",
        "/livez%2f..%2fping",
        "/ping?/livez",
        "/%6civez/../ping",
        "/metrics/x",
    ],
)
def test_no_spelling_of_a_probe_gives_access_to_another_path(live: Live, path: str) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(live.url).port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_requests_from_other_sites_get_no_cors_headers(live: Live) -> None:
    asking = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for headers in (asking, {**asking, "X-Api-Key": KEY}):
        for method, path in (("OPTIONS", "/search/"), ("GET", "/ping"), ("OPTIONS", "/livez")):
            response = httpx.request(method, live.url + path, headers=headers)
            assert not [name for name in response.headers if name.startswith("access-control-")]


def test_the_docs_page_needs_no_other_host_and_may_run_its_own_scripts(live: Live) -> None:
    import base64
    import hashlib

    with live.client() as client:
        response = client.get("/docs")
    page, policy = response.text, response.headers["content-security-policy"]
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe-inline'" not in policy.split("style-src")[0]
    assert '"/search/"' in scripts[1]


def test_bytes_that_are_no_http_are_refused_without_a_server_banner(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(live.url).port), timeout=10) as connection:
        connection.sendall(b"HELLO\r\n\r\n")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not re.search(rb"server:|uvicorn|bentoml", answer, re.IGNORECASE)


def test_a_websocket_is_refused(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(live.url).port), timeout=10) as connection:
        connection.sendall(
            b"GET /ping HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert connection.recv(4096).split()[1] in {b"401", b"403"}
