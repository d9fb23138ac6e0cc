"""Runs the services under load in front of a real Prometheus, then breaks them, and watches expressions and alerts."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from bentos.config.settings import Settings
from tests.monitoring.expressions import Expression, expressions
from tests.monitoring.load import COLLECTION, Callers, calling
from tests.monitoring.prometheus import Prometheus, scraping
from tests.system.real.stack import Stack, eventually

ROOT = Path(__file__).parents[2]
WINDOW = "30s"


@dataclass
class Seen:
    """What Prometheus had under load: for each expression its series, and the labels of each alert that fired."""

    values: dict[Expression, list[dict[str, Any]]] = field(default_factory=dict)
    alerts: dict[str, dict[str, str]] = field(default_factory=dict)

    def empty(self) -> list[str]:
        """The expressions without a number, except for those whose metrics only a cluster has."""
        return [
            each.title
            for each, series in self.values.items()
            if each.not_here is None and not any(math.isfinite(float(one["value"][1])) for one in series)
        ]


def observe(
    stack: Stack, *, seconds: float, before_the_outage: Callable[[Prometheus], None] = lambda _: None
) -> Seen:
    """Load for `seconds`, a burst, an audit with a difference, then an outage of Milvus."""
    seen = Seen()
    services = {"image-search": stack.search.url, "image-vectorizer": stack.vectorizer.url}
    with (
        tempfile.TemporaryDirectory(prefix="prometheus-") as folder,
        scraping(services, Path(folder), window=WINDOW) as prometheus,
        calling(stack) as callers,
    ):
        time.sleep(seconds)
        eventually(lambda: bool(_indexed(stack)), "a photo of the load is indexed")
        _lose_vectors(stack)
        eventually(lambda: stack.audit("--confirm").returncode == 1, "the audit finds the lost vectors")
        seen.alerts["FaceSearchAuditDifferences"] = prometheus.wait_for_alert("FaceSearchAuditDifferences")
        eventually(lambda: _refused(prometheus, callers), "searches were refused as overloaded")
        seen.alerts["FaceSearchQueueFull"] = prometheus.wait_for_alert("FaceSearchQueueFull")
        seen.values = {each: prometheus.value(each.for_tests(WINDOW)) for each in expressions()}
        before_the_outage(prometheus)
        stack.servers.milvus.stop()
        try:
            for name in ("FaceSearchDependencyDown", "FaceSearchErrorRatio"):
                seen.alerts[name] = prometheus.wait_for_alert(name)
        finally:
            stack.servers.milvus.start()
    return seen


def _indexed(stack: Stack) -> list[str]:
    """Indexed photos of the load."""
    with contextlib.closing(stack.api()) as api:
        listed = api.status(status="indexed", limit=50).json()["items"]
    return [photo["photo_id"] for photo in listed if (photo["collection_id"] or "").startswith(COLLECTION)]


def _refused(prometheus: Prometheus, callers: Callers) -> bool:
    """Send a burst; whether Prometheus has seen refusals, which takes two scrapes."""
    callers.burst()
    return bool(prometheus.value(f'rate(face_search_errors_total{{code="overloaded"}}[{WINDOW}]) > 0'))


def _lose_vectors(stack: Stack) -> None:
    """Remove the vectors of indexed photos from Milvus only, as no request does."""
    # Not the store of the services, whose timeouts are short in these tests.
    with contextlib.closing(MilvusClient(stack.servers.milvus.uri, timeout=60)) as client:
        client.delete(
            Settings().milvus_collection, filter=f"photo_id in {json.dumps(_indexed(stack))}", timeout=60
        )
