"""`python -m tests.system.served_routes bentos.all_in_one FaceSearch` prints, as JSON, every route of that service.

It reads the app that a BentoML worker serves: BentoML's own routes, and mounted apps, including FastAPI's.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HIDDEN = "/static_content/swagger-ui.css"
"""A file in BentoML's static folder, which is mounted as a whole."""


def served_routes(target: str) -> list[tuple[str, str]]:
    """(method, path) of every route of `module:Service`, with the docs enabled."""
    command = [sys.executable, "-m", "tests.system.served_routes", *target.split(":")]
    environment = {"DOCS_ENABLED": "true", "PATH": "", "HOME": str(Path.home())}
    listed = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return [(method, path) for method, path in json.loads(listed.stdout.splitlines()[-1])]


def _all(service: Any, api: Any) -> Iterator[tuple[str, str]]:
    from _bentoml_impl.server.app import ServiceAppFactory

    service.inject_config()
    app = ServiceAppFactory(service, is_main=True)()
    for route in [*app.routes, *api.routes, *api.state.endpoints]:
        methods = getattr(route, "methods", None)
        path = getattr(route, "path", None)
        if methods and path:
            yield from ((method, path) for method in methods)
        elif path == "/static_content":
            yield "GET", HIDDEN


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    print(json.dumps(sorted(set(_all(getattr(module, sys.argv[2]), module.api)), key=lambda r: (r[1], r[0]))))
