"""What the browser tests and the measurement share: where Chromium is, settings of a bucket, waiting."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from bentos.demo.servers import s3

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".venv" / "chromium"
PATIENCE_S = 60
"""How long anything may take: many tests run at the same time on few CPUs."""


def chromium() -> str | None:
    """The browser of the system, or the one that install_chromium.sh has unpacked."""
    unpacked = UNPACKED / "usr/lib/chromium/chromium"
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    return next(filter(None, [*found, str(unpacked) if unpacked.exists() else None]), None)


def s3_settings(endpoint: str) -> dict[str, str]:
    """Settings for the bucket of `bentos.demo.servers.s3`."""
    return {
        "S3_ENDPOINT_URL": endpoint,
        "S3_REGION": s3.REGION,
        "S3_BUCKET": s3.BUCKET,
        "S3_PREFIX": "page/",
        "S3_ACCESS_KEY_ID": s3.ACCESS_KEY_ID,
        "S3_SECRET_ACCESS_KEY": s3.SECRET_ACCESS_KEY,
    }


def until(page: Page, condition: str, argument: Any = None, seconds: float = PATIENCE_S) -> None:
    """Wait until `condition`, a function, is true. Playwright's waiting needs eval, which the policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition, argument):
        assert time.monotonic() < deadline, f"not true within {seconds:g} s: {condition}"
        page.wait_for_timeout(50)
