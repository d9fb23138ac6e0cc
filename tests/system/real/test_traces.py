"""One trace leads from the caller's `traceparent` through a service, the runner and every store, on the real stack.

With `-s` the first test prints the trace that docs/operations.md quotes.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from bentos.demo.process import RunningService, serving
from bentos.demo.real import SEARCH, VECTORIZER
from tests.system.real.stack import KEY, Stack, eventually
from tests.trace_receiver import Collector, Received, collecting, drawn, tree

pytestmark = pytest.mark.system

PARENT = "00f067aa0ba902b7"
RUNNER_STAGES = ["to_runner", "decode", "detect", "align", "embed"]
ALLOWED = {"http.request.method", "http.route", "http.response.status_code", "error.type", "peer.service"}


@dataclass(frozen=True)
class Traced:
    """Both services with traces on, beside those of `stack` and on the same stores."""

    vectorizer: RunningService
    search: RunningService
    collector: Collector


@pytest.fixture(scope="module", params=["socket", "bentoml"])
def traced(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Traced]:
    """Over each transport to the runner."""
    with contextlib.ExitStack() as running:
        collector = running.enter_context(collecting())
        environment = {
            **stack.environment,
            "RUNNER_TRANSPORT": request.param,
            "RUNNER_WORKERS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20token-of-the-collector",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        services = [
            running.enter_context(
                serving(target, environment, log=stack.folder / f"traced-{request.param}-{number}.log")
            )
            for number, target in enumerate((VECTORIZER, SEARCH))
        ]
        yield Traced(services[0], services[1], collector)


def called(service: RunningService, method: str, path: str, **request: Any) -> tuple[str, httpx.Response]:
    """The trace id that was sent, and the response."""
    trace_id = secrets.token_hex(16)
    headers = {
        "X-Api-Key": KEY,
        "traceparent": f"00-{trace_id}-{PARENT}-01",
        "User-Agent": "agent-of-the-caller",
    }
    return trace_id, httpx.request(method, service.url + path, headers=headers, timeout=60, **request)


def complete(spans: list[Received]) -> bool:
    """The span of the request is the last to end, but a batch may leave some of its children for the next one."""
    ids = {span.span_id for span in spans} | {PARENT}
    return any(span.kind == "server" for span in spans) and all(span.parent_id in ids for span in spans)


def log_lines(service: RunningService, trace_id: str) -> list[dict[str, Any]]:
    lines = [line for line in service.log.read_text().splitlines() if trace_id in line]
    return [json.loads(line) for line in lines]


def test_a_photo_and_a_search_are_traced_through_the_runner_and_every_store(
    traced: Traced, stack: Stack, astronaut: bytes, selfie: bytes
) -> None:
    spans: list[Received] = []
    collection = f"traced-{secrets.token_hex(4)}"

    def one(service: RunningService, method: str, path: str, **request: Any) -> tuple[list[Any], Any]:
        """The tree of the spans below the request's, and the body of the response."""
        trace_id, answer = called(service, method, path, **request)
        assert answer.status_code == 200, answer.text
        found = traced.collector.trace_when(trace_id, complete)
        [name] = (span.name for span in found if span.parent_id == PARENT)
        assert [(line["message"], line["route"]) for line in log_lines(service, trace_id)] == [
            ("request", name.split()[1])
        ]
        spans.extend(found)
        print("\n".join(drawn(found)))
        return tree(found, PARENT), answer.json()

    below, photo = one(
        traced.vectorizer,
        "POST",
        "/detect_faces/",
        files={"file": astronaut},
        data={"collection_id": collection},
    )
    assert below == [
        (
            "POST /detect_faces/",
            [
                ("runner detect", RUNNER_STAGES[:3]),
                "postgrest begin_detection",
                "object_store put",
                "postgrest finish_detection",
            ],
        )
    ]
    face_id = photo["faces"][0]["face_id"]
    below, _ = one(traced.vectorizer, "PUT", "/add_face/", data={"face_id": face_id})
    assert below == [
        (
            "PUT /add_face/",
            [
                "postgrest photo_of_face",
                "object_store get",
                ("runner embed", RUNNER_STAGES),
                "postgrest begin_indexing",
                "milvus save_faces",
                "postgrest finish_indexing",
            ],
        )
    ]
    below, result = one(
        traced.search, "POST", "/search/", files={"file": selfie}, data={"include_url": "true"}
    )
    assert photo["photo_id"] in [match["photo_id"] for match in result["results"]]
    assert below == [
        (
            "POST /search/",
            [("runner embed_only_face", RUNNER_STAGES), "milvus nearest", "object_store presigned_urls"],
        )
    ]
    below, _ = one(traced.vectorizer, "DELETE", f"/remove/{photo['photo_id']}", params={"purge": "true"})
    assert below == [
        (
            "DELETE /remove/{photo_id}",
            [
                "postgrest begin_removal",
                "milvus remove_photos",
                "object_store delete",
                "postgrest finish_removals",
            ],
        )
    ]
    assert {span.resource["service.name"] for span in spans} == {"image-vectorizer", "image-search"}
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        assert span.error is None
        assert span.attributes.keys() <= ALLOWED
        parent = by_id.get(span.parent_id)
        assert parent is None or parent.began - 0.01 <= span.began <= span.ended <= parent.ended + 0.01
    told = " ".join(str(span) for span in spans)
    for private in (
        photo["photo_id"],
        face_id,
        collection,
        KEY,
        "127.0.0.1",
        "agent-of-the-caller",
        *secrets_of(stack),
    ):
        assert private not in told
    assert all("token-of-the-collector" in each["authorization"] for each in traced.collector.requests)
    for service in (traced.vectorizer, traced.search):
        assert "token-of-the-collector" not in service.log.read_text()


def secrets_of(stack: Stack) -> list[str]:
    names = ("POSTGREST_TOKEN", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")
    return [stack.environment[name] for name in names]


def test_milvus_writes_the_trace_of_a_search_into_its_own_log(
    traced: Traced, stack: Stack, selfie: bytes
) -> None:
    trace_id, answer = called(traced.search, "POST", "/search/", files={"file": selfie})
    assert answer.status_code == 200
    log = stack.folder / "milvus" / "logs" / "milvus.log"
    eventually(lambda: trace_id in log.read_text(errors="replace"), "the trace is in Milvus' log")


def test_an_error_of_the_caller_is_no_error_of_a_span_but_named_in_it(traced: Traced) -> None:
    trace_id, answer = called(traced.search, "POST", "/search/", files={"file": b"no image"})
    assert answer.status_code == 400
    found = traced.collector.trace_when(trace_id, complete)
    named = {span.name: span.attributes.get("error.type") for span in found if span.kind != "internal"}
    assert named == dict.fromkeys(("POST /search/", "runner embed_only_face"), "invalid_image_format")
    assert [span.error for span in found if span.error] == []


def test_an_outage_of_a_store_is_the_status_of_its_span_and_of_the_request(
    traced: Traced, stack: Stack, selfie: bytes
) -> None:
    with stack.servers.milvus.frozen():
        trace_id, answer = called(traced.search, "POST", "/search/", files={"file": selfie})
    assert answer.status_code == 503
    found = {span.name: span for span in traced.collector.trace_when(trace_id, complete)}
    assert found["milvus nearest"].error == "milvus is not available: no answer within 2 s."
    assert found["POST /search/"].error == "dependency_unavailable"
    assert found["POST /search/"].attributes["http.response.status_code"] == 503
    assert found["runner embed_only_face"].error is None


def test_the_probes_and_the_checks_of_stores_make_no_spans(traced: Traced) -> None:
    before = len(traced.collector.spans)
    for path in ("/livez", "/readyz", "/metrics"):
        httpx.get(traced.search.url + path)
    trace_id, _ = called(traced.search, "GET", "/ping")
    traced.collector.trace_when(trace_id, complete)
    assert [span.name for span in traced.collector.spans[before:]] == ["GET /ping"]
