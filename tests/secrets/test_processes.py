"""Tests a real service with a marker in every secret, on stores that echo their requests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import pytest

from bentos.demo import photos
from bentos.demo.embedded import SERVICE, embedded_environment
from bentos.demo.process import launched
from tests.secrets.hostile_servers import Answer, answering, grpc_echo, postgrest_error, s3_error

pytestmark = [pytest.mark.system, pytest.mark.slow]

MARKER = "m4rk3rOfEverySecret"
SECRETS = ("API_KEY", "MILVUS_TOKEN", "POSTGREST_TOKEN", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")
PATIENCE_S = 60


def opens_and_then(fails: Answer, first: dict[str, str]) -> Answer:
    """A store that can be opened: requests that begin with these texts succeed, with this JSON."""

    def answer(head: str, body: bytes) -> bytes:
        for beginning, content in first.items():
            if head.startswith(beginning):
                status = (
                    f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nContent-Type: application/json"
                )
                return f"{status}\r\n\r\n{content}".encode()
        return fails(head, body)

    return answer


def secrets(folder: Path) -> dict[str, str]:
    """Files that end with a line break, as usual."""
    for name in SECRETS:
        (folder / name).write_text(f"{MARKER}-{name}\n")
    return {f"{name}_FILE": str(folder / name) for name in SECRETS}


def environment(folder: Path, **more: str) -> dict[str, str]:
    embedded = embedded_environment(folder)
    del embedded["API_KEY"]
    return {**embedded, **secrets(folder), "S3_BUCKET": "photos", "S3_ADDRESSING": "path", **more}


def everything_said(url: str, key: str) -> str:
    """The responses of every endpoint, of the probes and of the metrics."""
    image = photos.astronaut().read_bytes()
    with httpx.Client(base_url=url, timeout=60) as client:
        answers = [client.get(path) for path in ("/readyz", "/livez", "/metrics", "/ping")]
        client.headers["X-Api-Key"] = key
        answers += [
            client.get("/ping"),
            client.get("/embed_status/"),
            client.get("/embed_status/photo"),
            client.post("/detect_faces/", files={"file": image}),
            client.post("/detect_faces/", data={"photo_id": "photo"}),
            client.post("/search/", files={"file": image}, data={"include_url": "true"}),
            client.put("/add_face/", data={"photo_id": "photo", "bbox": "[0,0,9,9]"}),
            client.delete("/remove/photo", params={"purge": True}),
            client.delete("/remove_all/"),
            client.get("/readyz"),
            client.get("/metrics"),
        ]
        assert [answer.status_code for answer in answers].count(503) >= 5, [a.text for a in answers]
        assert answers[4].status_code == 200, "the key works"
        return "\n".join(f"{answer.headers} {answer.text}" for answer in answers)


@pytest.mark.parametrize("milvus", ["embedded", "hostile"])
def test_no_response_and_no_log_line_contains_a_secret_while_stores_fail(tmp_path: Path, milvus: str) -> None:
    postgrest = opens_and_then(
        postgrest_error("500 Internal Server Error", "XX000"),
        {
            "POST /rpc/overview": '{"photos": {}, "audit": null}',
            "POST /rpc/photo_details": "null",
            "POST /rpc/clock": '"2026-11-26T12:00:00+00:00"',
        },
    )
    s3 = opens_and_then(
        s3_error("500 Internal Server Error", None), {"HEAD /photos HTTP": "[]", "HEAD /photos/ HTTP": "[]"}
    )
    log = tmp_path / "service.log"
    with (
        answering(postgrest) as postgrest_url,
        answering(s3) as s3_url,
        grpc_echo(grpc.StatusCode.INTERNAL) as milvus_url,
    ):
        given = environment(tmp_path, POSTGREST_URL=postgrest_url, S3_ENDPOINT_URL=s3_url)
        if milvus == "hostile":
            given["MILVUS_URI"] = milvus_url
        with launched(SERVICE, given, log=log) as service:
            _wait_until_alive(service.url, ready=milvus == "embedded")
            said = everything_said(service.url, f"{MARKER}-API_KEY")
    assert "postgrest is not available" in said
    assert MARKER not in said
    assert MARKER not in log.read_text(errors="replace")


def _wait_until_alive(url: str, *, ready: bool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{url}/readyz")
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code == httpx.codes.OK or (not ready and "milvus: not available" in answer.text):
            return
        time.sleep(0.2)
    pytest.fail(f"not alive after {PATIENCE_S} s")


@pytest.mark.parametrize("name", SECRETS)
def test_a_malformed_secret_stops_the_start_with_one_sentence_and_is_not_printed(
    tmp_path: Path, name: str
) -> None:
    given = environment(tmp_path)
    (tmp_path / name).write_text(f"{MARKER}-{name}\n{MARKER}")
    code = "from bentos.config.startup import settings_or_exit as s; import sys; sys.argv[1:]=['serve'];"
    ended = subprocess.run(
        [sys.executable, "-c", f"{code} s('face-search')"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout + ended.stderr == (
        f"{name} holds a line break, a control character or a character that is not ASCII.\n"
    )
