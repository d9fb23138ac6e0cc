"""Tests of a stopped, frozen or restarted dependency: only calls that need it fail, and recovery is automatic."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from bentos.demo.process import free_port, launched
from bentos.demo.real import SEARCH
from tests.system.real.mortal import TwoFaces
from tests.system.real.stack import TIMEOUT_S, Api, Stack, disagreements, eventually

pytestmark = pytest.mark.system

MARGIN_S = 3
"""Allowance beyond the dependency's timeout, for other work on a busy machine."""

NEEDED_BY = {
    "milvus": {"search", "add", "remove"},
    "postgrest": {"detect", "add", "remove", "status"},
    "object_store": {"detect", "add"},
}


@pytest.fixture(params=NEEDED_BY)
def dependency(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class Calls:
    """One call of each endpoint, which succeeds while every dependency works."""

    api: Api
    astronaut: bytes
    selfie: bytes
    collection_id: str
    face_id: str = field(init=False)
    indexed: str = field(init=False)

    def __post_init__(self) -> None:
        self.indexed = self.api.indexed(self.astronaut, collection_id=f"{self.collection_id}-a")["photo_id"]
        waiting = self.api.detected(self.astronaut, collection_id=f"{self.collection_id}-b")
        self.face_id = waiting["faces"][0]["face_id"]

    def by_name(self) -> dict[str, Callable[[], httpx.Response]]:
        return {
            "search": lambda: self.api.search(self.selfie),
            "add": lambda: self.api.add(self.face_id),
            "remove": lambda: self.api.remove(self.indexed),
            "detect": lambda: self.api.detect(self.astronaut, collection_id=f"{self.collection_id}-c"),
            "status": self.api.status,
            "ping of image-vectorizer": lambda: self.api.vectorizer.get("/ping"),
            "ping of image-search": lambda: self.api.searcher.get("/ping"),
            "readiness of image-vectorizer": lambda: self.api.vectorizer.get("/readyz"),
            "readiness of image-search": lambda: self.api.searcher.get("/readyz"),
        }

    def all_at_once(self) -> dict[str, tuple[httpx.Response, float]]:
        """The response to each call and its duration, s."""

        def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
            started = time.monotonic()
            return call(), time.monotonic() - started

        with ThreadPoolExecutor(9) as clients:
            answers = {name: clients.submit(timed, call) for name, call in self.by_name().items()}
            return {name: answer.result() for name, answer in answers.items()}

    def all_work(self) -> bool:
        return {answer.status_code for answer, _ in self.all_at_once().values()} == {200}


@pytest.fixture
def calls(api: Api, astronaut: bytes, selfie: bytes) -> Calls:
    return Calls(api, astronaut, selfie, f"out-{uuid.uuid4().hex[:8]}")


@pytest.fixture(autouse=True)
async def _the_stores_agree_afterwards(stack: Stack):
    yield
    async with stack.dependencies(TwoFaces()) as dependencies:
        assert await disagreements(dependencies) == {}


def test_a_restart_of_a_dependency_affects_only_calls_that_need_it_and_recovery_is_automatic(
    stack: Stack, dependency: str, calls: Calls
) -> None:
    """Also tests a service that starts without Milvus: it is not ready, and says why, until Milvus is back."""
    server = _server(stack, dependency)
    with _traffic(calls) as seen, ExitStack() as services:
        late: Api | None = None
        server.stop()
        try:
            down = calls.all_at_once()
            if dependency == "milvus":
                late = services.enter_context(_started_without_milvus(stack, calls.selfie))
        finally:
            server.start()
        _says_what_is_missing(down, dependency)
        eventually(calls.all_work, f"{dependency} is back, and so is the service")
        eventually(lambda: _measured_up(calls.api, dependency) == {1.0}, "the metrics say that it is back")
        seen.clear()
        time.sleep(1)
        assert {answer.status_code for _, answer in seen} == {200}
        if late is not None:
            eventually(lambda: _status_of(late, "/readyz") == 200, "the late service is ready")
            assert late.search(calls.selfie).status_code == 200


def test_calls_to_a_dependency_that_never_answers_fail_within_its_timeout(
    stack: Stack, dependency: str, calls: Calls
) -> None:
    server = _server(stack, dependency)
    with server.frozen():
        silent = calls.all_at_once()
        eventually(lambda: _measured_up(calls.api, dependency) == {0.0}, "the metrics say that it is away")
    _says_what_is_missing(silent, dependency)
    eventually(calls.all_work, f"{dependency} answers again, and so does the service")
    eventually(lambda: _measured_up(calls.api, dependency) == {1.0}, "the metrics say that it is back")
    for line in (f"{dependency} does not answer: ", f"{dependency} answers again after "):
        assert line in (stack.folder / "image-vectorizer.log").read_text()


@contextmanager
def _started_without_milvus(stack: Stack, selfie: bytes) -> Iterator[Api]:
    """A service that is running but not ready."""
    with launched(SEARCH, stack.environment, log=stack.folder / "late.log", port=free_port()) as service:
        api = Api(service.url, service.url)
        eventually(lambda: _status_of(api, "/livez") == 200, "the service is up without Milvus")
        not_ready = api.searcher.get("/readyz")
        assert (not_ready.status_code, not_ready.text) == (503, "milvus: not available\n")
        assert api.searcher.get("/ping").status_code == 200
        _is_refused("search", api.search(selfie), "milvus")
        yield api
        api.close()


def _server(stack: Stack, dependency: str) -> Any:
    servers = stack.servers
    return {"milvus": servers.milvus, "postgrest": servers.postgrest, "object_store": servers.s3}[dependency]


def _says_what_is_missing(answers: Mapping[str, tuple[httpx.Response, float]], dependency: str) -> None:
    for name, (answer, seconds) in answers.items():
        if name in NEEDED_BY[dependency]:
            _is_refused(name, answer, dependency)
            assert seconds < TIMEOUT_S + MARGIN_S, name
        else:
            assert answer.status_code == 200, f"{name}: {answer.text}"


def _is_refused(name: str, answer: httpx.Response, dependency: str) -> None:
    assert answer.status_code == 503, f"{name}: {answer.text}"
    body = answer.json()
    assert (body["error"], body["details"]["dependency"]) == ("dependency_unavailable", dependency), name
    assert int(answer.headers["Retry-After"]) > 0


@contextmanager
def _traffic(calls: Calls) -> Iterator[list[tuple[str, httpx.Response]]]:
    """Sends searches and listings during the block; checks that each was right or an error with a reason."""
    seen: list[tuple[str, httpx.Response]] = []
    everything: list[tuple[str, httpx.Response]] = []
    over = threading.Event()

    def call_and_record(name: str, call: Callable[[], httpx.Response]) -> None:
        while not over.wait(0.1):
            answered = (name, call())
            seen.append(answered)
            everything.append(answered)

    with ThreadPoolExecutor(2) as callers:
        both = [callers.submit(call_and_record, name, calls.by_name()[name]) for name in ("search", "status")]
        try:
            yield seen
        finally:
            over.set()
        for caller in both:
            caller.result()
    for name, answer in everything:
        assert answer.status_code in {200, 503}, f"{name}: {answer.text}"
        if answer.status_code == 503:
            dependency = answer.json()["details"]["dependency"]
            assert name in NEEDED_BY[dependency]


def _measured_up(api: Api, dependency: str) -> set[float]:
    """The dependency's metric in the services that use it."""
    series = re.compile(rf'face_search_dependency_up{{dependency="{dependency}",.*}} (\S+)')
    answers = [client.get("/metrics").text for client in (api.vectorizer, api.searcher)]
    return {float(value) for answer in answers for value in series.findall(answer)}


def _status_of(api: Api, path: str) -> int:
    try:
        return api.searcher.get(path).status_code
    except httpx.TransportError:
        return 0
