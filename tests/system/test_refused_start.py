"""Tests that a refused start gives its reason in the last line of output, which `kubectl describe pod` shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bentos.config.settings import Settings
from bentos.demo.process import free_port

pytestmark = [pytest.mark.system]

SEARCH, VECTORIZER = "bentos.search.service:ImageSearch", "bentos.vectorizer.service:ImageVectorizer"
GOOD = {
    "API_KEY": "0123456789abcdef-key-of-the-tests",
    "MILVUS_URI": "http://127.0.0.1:1",
    "POSTGREST_URL": "http://127.0.0.1:1",
    "S3_BUCKET": "photos",
    "S3_ACCESS_KEY_ID": "0123456789abcdef",
    "S3_SECRET_ACCESS_KEY": "0123456789abcdef",
}


def output_of(target: str, **changed: str) -> list[str]:
    """The lines that the service prints until it ends with status 1."""
    clean = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    command = [
        sys.executable,
        "-m",
        "bentos.serving",
        target,
        "--host",
        "127.0.0.1",
        "--port",
        str(free_port()),
    ]
    ended = subprocess.run(
        command,
        env={**clean, **GOOD, **changed},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout
    return ended.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "changed", "reason"),
    [
        (SEARCH, {"API_KEY": ""}, "API_KEY is not set; "),
        (VECTORIZER, {"S3_SECRET_ACCESS_KEY": "change-me"}, "S3_SECRET_ACCESS_KEY is still a placeholder; "),
        (SEARCH, {"MILVUS_URI": "milvus:19530"}, "MILVUS_URI has to begin with a scheme: "),
        (VECTORIZER, {"SHUTDOWN_DELAY_S": "soon"}, "SHUTDOWN_DELAY_S: "),
        (SEARCH, {"FACE_PACK": "unknown"}, "FACE_PACK: 'unknown' is not in the model store"),
        (VECTORIZER, {"FACE_PACK": "unknown"}, "FACE_PACK: 'unknown' is not in the model store"),
    ],
)
def test_the_reason_is_the_last_line(target: str, changed: dict[str, str], reason: str) -> None:
    last = json.loads(output_of(target, **changed)[-1])
    assert last["message"].startswith(reason)
    assert last["level"] == "error"


@pytest.mark.slow
def test_every_line_is_json_also_when_the_service_cannot_be_imported() -> None:
    lines = [json.loads(line) for line in output_of("bentos.unknown:Service")]
    assert all(line["message"] is not None for line in lines)
    assert lines[-1]["level"] == "error"
