"""Recognises the processes that BentoML starts, for the supervisor.

Private interface of bentoml 1.4.39: its arbiter gives each worker the option `--service-name`; the option
`--timeout-keep-alive` of `bentoml serve`, which its help does not show; the environment variable BENTOML_CONTAINERIZED
keeps the arbiter from replacing workers that have died.

What it buys: a runner that dies is replaced within seconds, without a restart of the pod; a service that stays without
workers ends the container; no search is lost because a proxy reuses a connection that is being closed (8 of 9,000 with
BentoML's 5 s, docs/performance.md). `problem` is the self-check at start. Without these interfaces the supervisor warns
and watches only the arbiter; `/readyz`, which asks the runner, takes the pod out of the load balancer; and connections
close after 5 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_CONTAINERIZED = "BENTOML_CONTAINERIZED"


KEEP_ALIVE = "--timeout-keep-alive"
_SERVICE_NAME = "--service-name"


def problem() -> str | None:
    """Why the workers of the installed BentoML cannot be recognised, or None."""
    return None if _SERVICE_NAME in _options() else f"BentoML's workers have no option {_SERVICE_NAME}"


def takes_keep_alive() -> bool:
    """Whether BentoML can be told how long an idle connection stays open."""
    return KEEP_ALIVE in _options()


def _options() -> set[str]:
    try:
        from _bentoml_impl.worker.service import main  # noqa: PLC0415 - another version may not have it
    except ImportError:
        return set()
    return {name for option in main.params for name in option.opts}


def service_of(arguments: Sequence[str]) -> str | None:
    """The service whose worker has this command line, or None."""
    try:
        return arguments[arguments.index(_SERVICE_NAME) + 1]
    except (ValueError, IndexError):
        return None


def replacing_dead_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without the variable that keeps BentoML's arbiter from replacing workers that have died."""
    return {name: value for name, value in environment.items() if name != _CONTAINERIZED}
