"""A real Milvus 2.3.5 server on this machine: the standalone binary of the PyPI package `milvus`."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import milvus

_PORTS = (
    "root_coord_port",
    "proxy_port",
    "proxy_internal_port",
    "query_coord_port",
    "query_node_port",
    "index_coord_port",
    "index_node_port",
    "data_coord_port",
    "data_node_port",
    "etcd_port",
    "etcd_peer_port",
    "metrics_port",
)
_READY_WITHIN_S = 120
_STOPPED_WITHIN_S = 10


class MilvusServer:
    """The server's process: it can be stopped, frozen and started again on the same port, with its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._ports['proxy_port']}"

    def start(self) -> None:
        """Start and wait until it says that it is healthy."""
        milvus._initialize_data_files(str(self._folder))
        self._write_config()
        binaries = self._folder / "bin"
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._ports["metrics_port"]),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
            "LD_LIBRARY_PATH": f"{binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}",
            # Without a file of its own the embedded etcd takes 2379 and 2380, whatever the ports above.
            "ETCD_CONFIG_PATH": str(self._folder / "configs" / "etcd.yaml"),
        }
        with (self._folder / "logs" / "milvus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binaries / "milvus", "run", "standalone"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.stop)
        self._wait_until_ready()

    def stop(self) -> None:
        """End the process and whatever it started, as a crash would. Safe to call twice."""
        atexit.unregister(self.stop)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_STOPPED_WITHIN_S)
            self._process = None

    def freeze(self) -> None:
        """From now on connections are accepted, by the kernel, and nothing is answered."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def _write_config(self) -> None:
        for name in ("configs", "logs", "data", "run"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        config = milvus.MilvusServerConfig(data_dir=str(self._folder))
        config.resolve_storage()
        for name, port in self._ports.items():
            config.set(name, port)
        config.write_config()
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd_port", "etcd_peer_port"))
        (self._folder / "configs" / "etcd.yaml").write_text(
            f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
            f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not self._healthy():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                log = (self._folder / "logs" / "milvus.log").read_text(errors="replace")
                message = f"Milvus did not start:\n{log[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.2)

    def _healthy(self) -> bool:
        address = f"http://127.0.0.1:{self._ports['metrics_port']}/healthz"
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                return b"OK" in answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@contextlib.contextmanager
def milvus_server_process(folder: Path) -> Iterator[MilvusServer]:
    """A running server that the test may stop, freeze and start again."""
    server = MilvusServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """The URI of a running server."""
    with milvus_server_process(folder) as server:
        yield server.uri


def _free_ports(count: int) -> list[int]:
    """Ports that are free just now, all different, because all are held until the last is known."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
