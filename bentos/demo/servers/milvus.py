"""A real Milvus 2.3.5 server on this machine: the standalone binary of the PyPI package `milvus`."""

from __future__ import annotations

import contextlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import milvus

from bentos.demo.servers.process import ServerProcess, free_ports

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


class MilvusServer(ServerProcess):
    """A Milvus with its data in `folder`. With `authorization` it requires a token, initially `root:Milvus`."""

    def __init__(self, folder: Path, *, authorization: bool = False) -> None:
        self._folder = folder.resolve()
        self._authorization = authorization
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.uri = f"http://127.0.0.1:{self._ports['proxy_port']}"

    def start(self) -> None:
        """Start and wait until its health check succeeds."""
        milvus._initialize_data_files(str(self._folder))
        self._write_config()
        binaries = self._folder / "bin"
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._ports["metrics_port"]),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
            "LD_LIBRARY_PATH": f"{binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}",
            # Without its own configuration file the embedded etcd uses ports 2379 and 2380.
            "ETCD_CONFIG_PATH": str(self._folder / "configs" / "etcd.yaml"),
        }
        self._spawn(
            [binaries / "milvus", "run", "standalone"],
            self._folder / "logs" / "milvus.log",
            cwd=self._folder,
            env=environment,
        )
        self._wait_until(self._healthy, _READY_WITHIN_S)

    def _write_config(self) -> None:
        for name in ("configs", "logs", "data", "run"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        config = milvus.MilvusServerConfig(data_dir=str(self._folder))
        config.resolve_storage()
        config.set("authorization_enabled", self._authorization)
        for name, port in self._ports.items():
            config.set(name, port)
        config.write_config()
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd_port", "etcd_peer_port"))
        (self._folder / "configs" / "etcd.yaml").write_text(
            f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
            f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
        )

    def _healthy(self) -> bool:
        address = f"http://127.0.0.1:{self._ports['metrics_port']}/healthz"
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                return b"OK" in answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@contextlib.contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """The URI of a running server."""
    with MilvusServer(folder).running() as server:
        yield server.uri
