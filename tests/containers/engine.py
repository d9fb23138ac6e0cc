"""Runs a container of one service on a Docker engine without any right that it does not need."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bentos.demo.process import free_port
from tests.rollout.stores import KEY

PATIENCE_S = 120


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments[:2])}: {done.stderr}")
    return done


def image(service: str) -> str:
    registry = os.environ.get("CONTAINER_REGISTRY", "")
    return f"{registry}/" * bool(registry) + f"{service}:{os.environ['CONTAINER_TAG']}"


def restricted(folder: Path, name: str, settings: dict[str, str], *, cpus: float, memory: str) -> list[str]:
    """The options of `docker run` for a container as restricted as the pods, on the host's network."""
    file = folder / f"{name}.env"
    file.write_text("".join(f"{setting}={value}\n" for setting, value in settings.items()))
    limits = [f"--cpus={cpus}", f"--memory={memory}", f"--memory-swap={memory}", "--pids-limit=256"]
    rights = ["--user=1034:1034", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    files = ["--read-only", "--tmpfs=/tmp:rw,noexec,nosuid,size=512m,mode=1777"]
    return ["--network=host", f"--env-file={file}", *limits, *rights, *files]


class Container:
    """A container on the host's network, where the stores of the tests are; removed by `remove`."""

    def __init__(
        self, service: str, folder: Path, settings: dict[str, str], *, cpus: float, memory: str
    ) -> None:
        self.service, self.port = service, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        options = restricted(folder, f"{service}-{self.port}", settings, cpus=cpus, memory=memory)
        command = ["run", "-d", *options, image(service)]
        self.id = docker(*command, "--host", "127.0.0.1", "--port", str(self.port)).stdout.strip()

    def wait_until_ready(self) -> float:
        """Returns the seconds since the first process started, without the engine's own preparation."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if not self.state()["Running"]:
                raise RuntimeError(f"{self.service} ended:\n{self.logs()[-3000:]}")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    started = datetime.fromisoformat(self.state()["StartedAt"])
                    return (datetime.now(UTC) - started).total_seconds()
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{self.service} is not ready:\n{self.logs()[-3000:]}")

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(docker("inspect", "-f", "{{json .State}}", self.id).stdout)
        return state

    def logs(self) -> str:
        done = docker("logs", self.id)
        return done.stdout + done.stderr

    def run(self, program: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the container."""
        return docker("exec", self.id, "sh", "-c", program, check=False)

    def workers(self, service: str) -> list[int]:
        """The ids, inside the container, of the processes of a BentoML service."""
        code = (
            "from bentos.serving.processes import process; import os\n"
            "found = [process(int(n)) for n in os.listdir('/proc') if n.isdigit()]\n"
            f"print(*[p.pid for p in found if p and p.is_alive and p.service == {service!r}])"
        )
        return [int(pid) for pid in docker("exec", self.id, "python3", "-c", code).stdout.split()]

    def threads(self, pid: int) -> int:
        """How many threads a process in the container has."""
        return len(self.run(f"ls /proc/{pid}/task").stdout.split())

    def resident_bytes(self) -> int:
        """The memory of all processes in the container; shared memory is counted once per process."""
        pages = self.run("cat /proc/[0-9]*/statm").stdout.splitlines()
        return sum(int(line.split()[1]) for line in pages) * resource.getpagesize()

    def search(self, image: bytes) -> httpx.Response:
        """Search with a selfie."""
        headers = {"X-Api-Key": KEY}
        return httpx.post(f"{self.url}/search/", files={"file": image}, headers=headers, timeout=120)

    def remove(self) -> None:
        docker("rm", "-f", self.id, check=False)
