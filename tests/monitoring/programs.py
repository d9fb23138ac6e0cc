"""Finds `prometheus` and `promtool`: on the PATH, or in Debian's package, unpacked into a cache folder without root."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

_PATIENCE_S = 90
_QUICKLY = ["-oAcquire::http::Timeout=10", "-oAcquire::Retries=1"]


class NotAvailable(Exception):
    """The programs are neither installed nor to be had; the message says why."""


def program(name: str) -> Path:
    """The path of `prometheus` or `promtool`. Raises `NotAvailable`."""
    if installed := shutil.which(name):
        return Path(installed)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "face-search" / "prometheus"
    found = cache / "unpacked" / "usr" / "bin" / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may start at once
        if not found.exists():
            _unpack(cache)
    return found


def _unpack(cache: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise NotAvailable(
                f"prometheus is not installed, and there is no {tool} to fetch Debian's package"
            )
    if not _download(cache, []):
        # This machine has no package lists: read them into the cache folder, which needs no root.
        state = [f"-oDir::State={cache / 'state'}", f"-oDir::Cache={cache / 'apt'}"]
        for folder in ("state/lists/partial", "apt/archives/partial"):
            (cache / folder).mkdir(parents=True, exist_ok=True)
        _run(["apt-get", *_QUICKLY, *state, "update"], cache)
        if not _download(cache, state):
            raise NotAvailable("prometheus is not installed, and apt-get could not fetch Debian's package")
    (package,) = cache.glob("prometheus_*.deb")
    fresh = cache / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    if not _run(["dpkg", "-x", str(package), str(fresh)], cache):
        raise NotAvailable(f"{package} could not be unpacked")
    fresh.rename(cache / "unpacked")


def _download(cache: Path, options: list[str]) -> bool:
    for old in cache.glob("prometheus_*.deb"):
        old.unlink()
    return _run(["apt-get", *_QUICKLY, *options, "download", "prometheus"], cache) and any(
        cache.glob("prometheus_*.deb")
    )


def _run(command: list[str], folder: Path) -> bool:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
