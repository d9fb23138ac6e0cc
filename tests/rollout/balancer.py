"""Runs HAProxy in front of the replicas: it checks readiness, and its endpoints are updated as by a cluster."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bentos.demo.process import free_port
from tests.rollout.replica import Replica

_SLOTS = 4
_CONFIG = """
global
    stats socket {folder}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 70s
    timeout server 70s
    timeout queue 5s
    # As in an ingress: a request whose connection fails goes to another replica; a request that was sent does not.
    option redispatch 1
    retries 3
    retry-on conn-failure
    option httpchk GET /readyz
    default-server check inter 500 fall 2 rise 1
frontend ingress
    bind 127.0.0.1:{port}
    use_backend image-search if {{ path_beg /search /ping }}
    default_backend image-vectorizer
"""


class Balancer:
    """The load balancer's process and its admin socket."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._socket = folder / "admin.sock"
        self._slots: dict[str, dict[str, Replica | None]] = {
            service: {f"s{n}": None for n in range(_SLOTS)}
            for service in ("image-search", "image-vectorizer")
        }

    def add(self, replica: Replica) -> None:
        """Add a ready replica: it gets requests from now on."""
        slot = next(name for name, held in self._slots[replica.service].items() if held is None)
        self._slots[replica.service][slot] = replica
        server = f"{replica.service}/{slot}"
        self._tell(f"set server {server} addr 127.0.0.1 port {replica.port}")
        self._tell(f"set server {server} health up")
        self._tell(f"set server {server} state ready")

    def remove(self, replica: Replica) -> None:
        """Remove the endpoint: no new requests are sent to it, and requests in progress are finished."""
        self._tell(f"set server {self._server(replica)} state drain")

    def forget(self, replica: Replica) -> None:
        """Remove a replica that has ended."""
        server = self._server(replica)
        self._tell(f"set server {server} state maint")
        self._slots[replica.service][server.partition("/")[2]] = None

    def sessions_on(self, replica: Replica) -> int:
        """How many requests the replica is handling."""
        backend, slot = self._server(replica).split("/")
        header, *rows = self._tell("show stat").lstrip("# ").splitlines()
        names = header.split(",")
        for row in rows:
            stat = dict(zip(names, row.split(","), strict=False))
            if (stat["pxname"], stat["svname"]) == (backend, slot):
                return int(stat["scur"])
        raise LookupError(slot)

    def _server(self, replica: Replica) -> str:
        slot = next(name for name, held in self._slots[replica.service].items() if held is replica)
        return f"{replica.service}/{slot}"

    def _tell(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._socket))
            admin.sendall(command.encode() + b"\n")
            answer = b""
            while block := admin.recv(65536):
                answer += block
        text = answer.decode().strip()
        if text.startswith(("No such", "Unknown", "Require", "Invalid")):
            raise RuntimeError(f"{command}: {text}")
        return text


def found() -> str | None:
    """The path of HAProxy, or None."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/sbin")


@contextlib.contextmanager
def balancer(folder: Path) -> Iterator[Balancer]:
    """Run HAProxy, at first without replicas."""
    program, port = found(), free_port()
    assert program is not None
    config = _CONFIG.format(folder=folder, port=port)
    for service in ("image-search", "image-vectorizer"):
        config += f"backend {service}\n    balance roundrobin\n"
        config += "".join(f"    server s{n} 127.0.0.1:1 disabled\n" for n in range(_SLOTS))
    (folder / "haproxy.cfg").write_text(config)
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([program, "-db", "-f", folder / "haproxy.cfg"], stdout=log, stderr=log)
    try:
        while not (folder / "admin.sock").exists():
            if process.poll() is not None:
                raise RuntimeError((folder / "haproxy.log").read_text())
            time.sleep(0.05)
        yield Balancer(folder, port)
    finally:
        process.terminate()
        process.wait(10)
