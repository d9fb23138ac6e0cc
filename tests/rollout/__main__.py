"""`python -m tests.rollout`: replaces every replica of both services in turn, twice, then kills one of each."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.rollout.balancer import Balancer, balancer, found
from tests.rollout.load import Load
from tests.rollout.replica import TARGETS, Replica
from tests.rollout.stores import process_environment, real_stores


class Cluster:
    """Two replicas of each service behind the balancer, replaced as a Deployment does."""

    def __init__(self, front: Balancer, folder: Path, environment: dict[str, str], delay_s: float) -> None:
        self._front, self._folder, self._environment, self._delay_s = front, folder, environment, delay_s
        self.replicas: dict[str, list[Replica]] = {service: [] for service in TARGETS}
        self.bad_exits = 0

    async def surge(self, service: str) -> float:
        """Start one more replica; returns the seconds until it was ready."""
        replica = Replica.start(service, self._folder, self._environment)
        self.replicas[service].append(replica)
        seconds = await replica.ready()
        self._front.add(replica)
        return seconds

    async def roll(self, service: str) -> None:
        """maxSurge 1, maxUnavailable 0: start a new replica; once it is ready, remove the oldest from the balancer."""
        for replica in list(self.replicas[service]):
            ready = await self.surge(service)
            self._front.remove(replica)
            await asyncio.sleep(self._delay_s)
            status, seconds = await replica.stop()
            self.bad_exits += status != 0 or seconds > 10
            self._front.forget(replica)
            self.replicas[service].remove(replica)
            print(
                f"  {service}: new one ready after {ready:.1f} s, old one gone after {seconds:.1f} s, status {status}"
            )

    async def kill(self, service: str) -> tuple[float, float]:
        """Kill a replica without notice; returns the interval of the kill, on the clock of time.monotonic."""
        replica = self.replicas[service][0]
        sessions = self._front.sessions_on(replica)
        begun = time.monotonic()
        replica.kill()
        killed = begun, time.monotonic()
        print(f"  {service}: killed with {sessions} requests on it")
        self.replicas[service].remove(replica)
        await self.surge(service)
        self._front.forget(replica)
        return killed

    def stop(self) -> None:
        for replicas in self.replicas.values():
            for replica in replicas:
                replica.kill()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rollout", description=__doc__)
    parser.add_argument("--rate", type=float, default=100, help="searches per second")
    parser.add_argument("--requests", type=int, default=20_000, help="fewest requests during the rollouts")
    parser.add_argument("--rollouts", type=int, default=2)
    parser.add_argument("--delay", type=float, default=5, help="s between the endpoint's removal and SIGTERM")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started processes are stopped
    if found() is None:
        print(
            "roll-check: there is no `haproxy` here; `apt-get install haproxy` brings it (Debian's package)"
        )
        return 2
    folder = Path(tempfile.mkdtemp(prefix="roll-check-"))
    folder.chmod(0o755)
    print("starting Milvus, PostgreSQL, the object store and HAProxy ...")
    with real_stores(folder) as settings, balancer(folder) as front:
        # All replicas share one machine here, and a starting replica takes CPU from the serving ones, unlike in a
        # cluster. Replicas are replaced as in a cluster, but searches use cheaper settings, so that two CPUs are
        # enough for the rate, and they may wait for seconds.
        light = {"SELFIE_DETECTION_SIZE": "128", "LANDMARK_LOOKS": "0"}
        patience = {"RUNNER_QUEUE": "1000", "RUNNER_TIMEOUT_S": "60"}
        settings |= {"RUNNER_WORKERS": "1", "LOG_LEVEL": "warning", **light, **patience}
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # cheaper: the load counts too
            status = runner.run(_check(front, folder, process_environment(folder, settings), options))
    if status == 0:
        shutil.rmtree(folder)
    else:
        print(f"the logs are in {folder}")
    return status


async def _check(
    front: Balancer, folder: Path, environment: dict[str, str], options: argparse.Namespace
) -> int:
    cluster = Cluster(front, folder, environment, options.delay)
    try:
        for service in (*TARGETS, *TARGETS):
            print(f"  {service}: ready after {await cluster.surge(service):.1f} s")
        load = Load(front.url, options.rate)
        begun = time.monotonic()
        async with load.running():
            for number in range(options.rollouts):
                print(f"rollout {number + 1} at {load.total} requests")
                for service in TARGETS:
                    await cluster.roll(service)
            while load.total < options.requests:
                await asyncio.sleep(0.5)
        lost = load.failures
        _report("during the rollouts", load, time.monotonic() - begun)
        after = Load(front.url, options.rate)
        async with after.running():
            await asyncio.sleep(5)
            killed = [await cluster.kill(service) for service in TARGETS]
            await asyncio.sleep(5)
        _report("with one replica of each service killed", after, 0)
        explained = [
            f for f in after.failures if any(f.begun <= end and f.ended >= start for start, end in killed)
        ]
        unexplained = len(after.failures) - len(explained)
        print(f"  {len(explained)} of the failed requests were in progress at a kill, {unexplained} were not")
    finally:
        cluster.stop()
    passed = not lost and not unexplained and cluster.bad_exits == 0 and load.total >= options.requests
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


def _report(when: str, load: Load, seconds: float) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(load.sent.items()))
    print(f"{when}: {load.total} requests ({kinds}), {len(load.failures)} failed")
    if seconds:
        p50, p95 = (statistics.quantiles(load.latencies, n=20)[i] * 1000 for i in (9, 18))
        print(
            f"  {load.sent['search'] / seconds:.1f} searches per second, p50 {p50:.0f} ms, p95 {p95:.0f} ms"
        )
    for failure in load.failures[:10]:
        print(f"  {failure.kind}: {failure.reason}")


if __name__ == "__main__":
    sys.exit(main())
