"""Runs of `python -m bentos.bulk` over photos in the bucket of a real stack, and what they leave in the stores."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bentos.composition import Dependencies
from bentos.demo.servers.s3 import BUCKET
from tests.system.real.stack import KEY, Stack

ROOT = Path(__file__).parents[2]
PATIENCE_S = 900

SPOILED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "invalid_image_format"),
    "text": (b"<html>not a photo</html>", "invalid_image_format"),
    "zeros": (bytes(5000), "invalid_image_format"),
    "head": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "invalid_image_format"),
    "large": (b"\xff\xd8" + bytes(21 * 2**20), "image_too_large"),
}
"""Bytes that are no photo, and the reason that the report has to give."""


@dataclass
class Bulk:
    """A started run: its report, how many lines earlier runs wrote into it, and what it printed."""

    process: subprocess.Popen[str]
    report: Path
    printed: Path
    lines_before: int = 0

    @property
    def lines(self) -> list[dict[str, Any]]:
        if not self.report.exists():
            return []
        complete = self.report.read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in complete]

    def wait_for(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert self.process.poll() is None, f"ended before {what}:\n{self.printed.read_text()}"
            assert time.monotonic() < deadline, f"still not {what}:\n{self.printed.read_text()}"
            time.sleep(0.02)

    def wait_for_line(self, text: str) -> None:
        self.wait_for(lambda: text in self.printed.read_text(), f"it prints {text!r}")

    def kill_after(self, lines: int) -> None:
        """Kill the run once it has written this number of lines itself."""
        self.wait_for(lambda: len(self.lines) - self.lines_before >= lines, f"{lines} photos are reported")
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        status = self.process.wait(PATIENCE_S)
        print(self.printed.read_text())
        return status


class BulkRuns:
    """The bucket, the settings and the reports of several runs."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack, self._folder = stack, folder

    def put(self, photos: Mapping[str, bytes]) -> None:
        """Store objects as another program does, not through the service."""
        client = self._stack.servers.s3.client()

        def put(name: str) -> None:
            client.put_object(Bucket=BUCKET, Key=name, Body=photos[name])

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, photos))
        client.close()

    def start(self, prefix: str, *arguments: str, through_service: bool = False) -> Bulk:
        """Start a run over the photos whose ids begin with `prefix`, in the collection named as the prefix."""
        name = prefix.rstrip("-")
        report = self._folder / f"{name}.jsonl"
        lines_before = report.read_text().count("\n") if report.exists() else 0
        bulk = [f"s3://{BUCKET}/{prefix}", "--collection", name, "--report", str(report)]
        if through_service:
            bulk += ["--url", self._stack.vectorizer.url]
        printed = self._folder / f"{name}.log"
        with printed.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bentos.bulk", *bulk, *arguments],
                cwd=ROOT,
                env={**os.environ, **self._stack.environment, "FACE_SEARCH_API_KEY": KEY},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        atexit.register(process.kill)  # a check that fails must not leave a run that waits for its stores
        return Bulk(process, report, printed, lines_before)


async def contents(dependencies: Dependencies, prefix: str) -> dict[str, list[tuple[list[float], str]]]:
    """The boxes and states of the faces of every recorded photo, by what follows the prefix in its id."""
    found = {}
    async for batch in dependencies.metadata.scan_photos():
        for photo in batch:
            if photo.photo_id.startswith(prefix):
                faces = sorted((face.bbox.as_list(), face.state) for face in photo.faces)
                found[photo.photo_id.removeprefix(prefix)] = faces
    return found


def reasons(lines: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, str]:
    """The error of each photo that failed, by what follows the prefix in its id; of several lines the last counts."""
    last = {line["source"].rpartition(f"/{prefix}")[2]: line for line in lines}
    return {name: line["error"] for name, line in last.items() if line["status"] == "failed"}


def interrupted(run: Bulk, server: Any, name: str, *, after: int, seconds: float, stop: bool) -> None:
    """Take a server away once `after` photos are reported, until the run says that it waits and `seconds` are over."""
    run.wait_for(lambda: len(run.lines) >= after, f"{after} photos are reported")
    (server.stop if stop else server.freeze)()
    away = time.monotonic()
    try:
        run.wait_for_line(f"waiting: {name}")
        time.sleep(max(0.0, seconds - (time.monotonic() - away)))
    finally:
        (server.start if stop else server.thaw)()
