"""The command line that serves a target with BentoML."""

from __future__ import annotations

import sys

from bentos.serving.bentoml_workers import KEEP_ALIVE, takes_keep_alive

KEEP_ALIVE_S = 75
"""How long an idle connection stays open: longer than a proxy keeps its own connections (ingress-nginx: 60 s), or the
proxy would send a request over a closing connection. With BentoML's default of 5 s searches were lost under load."""


def serve_command(target: str, *, host: str, port: int) -> list[str]:
    """`bentoml serve target`, run by this Python. `target`: a bento's folder or tag, or module:Service."""
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", host, "--port", str(port)]
    return [*command, KEEP_ALIVE, str(KEEP_ALIVE_S)] if takes_keep_alive() else command
