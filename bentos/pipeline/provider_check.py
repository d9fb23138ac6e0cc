"""Tries the execution providers with a small network before a service starts, in a process of its own.

A runner process that finds out by itself ends, and BentoML starts the next one, again and again. The process that
starts the services must not open a GPU itself, because it starts others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from bentos.pipeline.providers import (
    Provider,
    ProviderNotInUse,
    errors_as_not_in_use,
    is_only_cpu,
    load_libraries,
    names_of,
    open_session,
)

WITHIN_S = 120.0
"""Longest time that a small network may take, the start of the driver and of the process included."""


def require_working(providers: Sequence[Provider]) -> None:
    """Raise `ProviderNotInUse` unless a network runs with all `providers` and their options."""
    if is_only_cpu(names_of(providers)):
        return
    names = ", ".join(names_of(providers))
    try:
        tried = subprocess.run(
            [sys.executable, "-m", __name__, json.dumps(providers)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            check=False,
            text=True,
            timeout=WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise ProviderNotInUse(f"{names} did not run a network within {WITHIN_S:g} s.") from None
    if tried.returncode:
        lines = tried.stderr.strip().splitlines()
        sys.stderr.write("".join(f"{line}\n" for line in lines[:-1]))
        ended = f"{names} cannot be used: the process that tried it ended with {tried.returncode}."
        raise ProviderNotInUse(lines[-1] if lines and tried.returncode == 1 else ended)


def _run_small_network(providers: Sequence[Provider]) -> None:
    import numpy as np  # noqa: PLC0415 - these three only in the process that tries
    import onnx  # noqa: PLC0415
    from onnx import helper  # noqa: PLC0415

    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "small", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    load_libraries(names_of(providers))
    with errors_as_not_in_use(providers):
        open_session(model.SerializeToString(), providers).run(None, {"x": np.ones(4, np.float32)})


if __name__ == "__main__":
    try:
        _run_small_network([(name, options) for name, options in json.loads(sys.argv[1])])
    except ProviderNotInUse as failure:
        sys.exit(str(failure))
