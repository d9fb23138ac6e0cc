"""The load test: sends searches at a fixed rate, without waiting for the responses to earlier ones.

`make load` runs it. On a machine that has Locust and the client's wheel: `API_KEY=... locust -f locust/locustfile.py
--headless -u 1 -t 5m --host https://... --selfies FOLDER`. Exit status 1 if a threshold is missed.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING

from bench import search_form
from bench.answer_check import reason_of_failure
from bench.arrivals import Metronome, due_times
from bench.latency_table import Latencies, as_json, percentile, rows_of, table
from bench.load_options import add_options, names, thresholds_of
from bench.search_form import SearchTask, never_the_same, search_tasks
from locust import FastHttpUser, events, task

_MOST_IN_FLIGHT = 2000
_GRACE_S = 30
_OVER = {STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED}
_THOROUGH_EVERY = 20
_MADE_SELFIES = Path(".data/selfies")

events.init_command_line_parser.add_listener(add_options)


class NotSent(Exception):
    """The request was not sent, because too many requests are unanswered; it counts as an error."""


class Run:
    """Records the outcome of each request."""

    def __init__(self, tasks: list[SearchTask]) -> None:
        self.tasks = {task.name: Latencies(task.name) for task in tasks}
        self.started = self.ended = time.perf_counter()
        self.lateness_s: list[float] = []

    def note(self, name: str, response_time: float, exception: Exception | None, **_: Any) -> None:
        """A listener of Locust's `request` event; `response_time` in milliseconds."""
        self.ended = time.perf_counter()
        if exception is None:
            self.tasks[name].ms.append(response_time)
        else:
            self.tasks[name].errors += 1


@events.init.add_listener
def _prepare(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    key = os.environ.get("API_KEY", "").split(",")[0].strip()
    if not key:
        sys.exit("API_KEY is not set: the service requires it.")
    environment.stop_timeout = _GRACE_S
    Searches.default_headers = {"X-Api-Key": key, "Content-Type": search_form.CONTENT_TYPE}
    Searches.kinds = search_tasks(names(options.collections), [int(each) for each in names(options.top_ks)])
    Searches.jpegs = _selfies(options.selfies)
    # Timers start from the event loop's last time: without this update, the imports count as part of -t.
    gevent.get_hub().loop.update_now()


@events.test_start.add_listener
def _begin(environment: Any, **_: Any) -> None:
    Searches.run_of_test = Run(Searches.kinds)
    environment.events.request.add_listener(Searches.run_of_test.note)


@events.quitting.add_listener
def _judge(environment: Any, **_: Any) -> None:
    run = getattr(Searches, "run_of_test", None)
    if run is None:
        return
    rows = rows_of(run.tasks.values(), run.ended - run.started)
    each, together = thresholds_of(environment.parsed_options)
    missed = [reason for row in rows[:-1] for reason in each.missed(row)] + together.missed(rows[-1])
    late_ms = percentile(run.lateness_s, 0.99) * 1000
    print(f"\n{table(rows)}\n\nthe load generator was late by {late_ms:.1f} ms (p99)")
    print("\n".join(f"MISSED  {reason}" for reason in missed) if missed else "all thresholds are met")
    prefix = environment.parsed_options.csv_prefix
    if prefix:
        report = {"rows": as_json(rows), "missed": missed, "generator_late_p99_ms": late_ms}
        Path(f"{prefix}.json").write_text(json.dumps(report, indent=2) + "\n")
    environment.process_exit_code = 1 if missed else 0


def _selfies(folder: Path | None) -> list[bytes]:
    """Makes the selfies in a separate process, so that its models and threads do not stay in this one."""
    if folder is None:
        folder = _MADE_SELFIES / "480x640"
        locust = Path(__file__).parent
        environment = {**os.environ, "PYTHONPATH": f"{locust.parent}{os.pathsep}{locust}"}
        program = [sys.executable, str(locust / "bench" / "selfie_pool.py"), "--out", str(_MADE_SELFIES)]
        subprocess.run(program, env=environment, check=True, stdout=subprocess.DEVNULL)
    jpegs = [path.read_bytes() for path in sorted(folder.glob("*.jp*g"))]
    if not jpegs:
        sys.exit(f"there is no JPEG in {folder}")
    return jpegs


class Searches(FastHttpUser):
    """One dispatcher, whatever the number of users, which sends each request in its own greenlet when it is due."""

    fixed_count = 1
    concurrency = _MOST_IN_FLIGHT
    network_timeout = connection_timeout = 60.0
    kinds: list[SearchTask]
    jpegs: list[bytes]
    run_of_test: Run

    @task
    def dispatch(self) -> None:
        """Send requests until the test stops; then wait for the remaining responses."""
        if self.environment.runner.state in _OVER:
            return  # Locust calls again while it stops
        options = self.environment.parsed_options
        run, unanswered = self.run_of_test, Pool(_MOST_IN_FLIGHT)
        metronome = Metronome(due_times(options.rps, options.arrivals), time.perf_counter)
        run.started, run.lateness_s = time.perf_counter(), metronome.lateness_s
        bodies = zip(itertools.cycle(self.kinds), never_the_same(self.jpegs), strict=False)
        for number, (kind, jpeg) in enumerate(bodies):
            while (
                left_s := metronome.left_s()
            ) > 0:  # a sleep may end early, because gevent's clock lags behind
                gevent.sleep(left_s)
            gevent.sleep(0)
            if self.environment.runner.state in _OVER:
                break
            metronome.arrived()
            if unanswered.full():
                self._not_sent(kind)
            else:
                unanswered.spawn(self._search, kind, jpeg, thorough=number % _THOROUGH_EVERY == 0)
        unanswered.join()

    def _search(self, kind: SearchTask, jpeg: bytes, *, thorough: bool) -> None:
        body: Any = kind.body(jpeg)  # bytes, which the client accepts but its type hints do not
        with self.client.post(search_form.PATH, data=body, name=kind.name, catch_response=True) as answer:
            if not answer.status_code:
                return  # no response: Locust has the reason
            reason = reason_of_failure(kind, answer.status_code, answer.content or b"", thorough=thorough)
            if reason is not None:
                answer.failure(reason)

    def _not_sent(self, kind: SearchTask) -> None:
        self.environment.events.request.fire(
            request_type="POST",
            name=kind.name,
            response_time=0.0,
            response_length=0,
            exception=NotSent(f"{_MOST_IN_FLIGHT} requests are unanswered"),
        )
