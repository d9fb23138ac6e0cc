"""A real Prometheus that scrapes the services of a test every two seconds, with alerts that do not wait."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from bentos.demo.process import free_port
from tests.monitoring.expressions import rules
from tests.monitoring.programs import program

_PATIENCE_S = 120


@dataclass(frozen=True)
class Prometheus:
    """The address of a running server."""

    url: str

    def value(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now, each with `metric` and `value`."""
        return self._result("query", {"query": expression})

    def history(self, expression: str, seconds: float, step: float) -> list[dict[str, Any]]:
        """The series of an expression over the last seconds, each with `metric` and `values`."""
        now = time.time()
        return self._result(
            "query_range", {"query": expression, "start": now - seconds, "end": now, "step": step}
        )

    def fired(self) -> dict[str, dict[str, str]]:
        """The labels of one of the series of each alert that fires or has fired, by its name."""
        found = self.value('last_over_time(ALERTS{alertstate="firing"}[30m])')
        return {each["metric"]["alertname"]: each["metric"] for each in found}

    def wait_for_alert(self, name: str) -> dict[str, str]:
        """Wait until the alert fires or has fired; its labels."""
        deadline = time.monotonic() + _PATIENCE_S
        while name not in (fired := self.fired()):
            assert time.monotonic() < deadline, f"{name} does not fire; fired have {sorted(fired)}"
            time.sleep(0.5)
        return fired[name]

    def _result(self, what: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._get(what, query)["result"]
        return result

    def _get(self, what: str, query: Mapping[str, Any]) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=dict(query), timeout=60)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        data: dict[str, Any] = answer.json()["data"]
        return data


def quick_rules(window: str) -> dict[str, Any]:
    """The alerts with every window of a rate shortened, and without waiting (`for`)."""
    spec = rules()
    for group in spec["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
            rule["expr"] = re.sub(r"\[(?:5m|15m|1h)\]", f"[{window}]", rule["expr"])
    return spec


@contextlib.contextmanager
def scraping(services: Mapping[str, str], folder: Path, *, window: str) -> Iterator[Prometheus]:
    """Run Prometheus in `folder` until the block ends; `services`: the URL of each by its name."""
    port = free_port()
    targets = [
        {
            "targets": [url.removeprefix("http://")],
            "labels": {
                "namespace": "face-search",
                "service": name,
                "pod": f"{name}-0",
                "container": name,
            },
        }
        for name, url in services.items()
    ]
    (folder / "rules.yaml").write_text(yaml.safe_dump(quick_rules(window)))
    configuration = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": "face-search", "honor_labels": True, "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'series'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, folder / "prometheus.log")
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/-/ready", timeout=5).status_code == 200:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
