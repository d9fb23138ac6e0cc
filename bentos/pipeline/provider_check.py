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
    CPU,
    Provider,
    ProviderNotInUse,
    load_libraries,
    reason_of,
    require_in_use,
)

WITHIN_S = 120.0
"""Longest time that a small network may take, the start of the driver and of the process included."""


def require_working(providers: Sequence[Provider]) -> None:
    """Raise `ProviderNotInUse` unless a network runs with all `providers` and their options."""
    if {name for name, _ in providers} <= {CPU}:
        return
    names = ", ".join(name for name, _ in providers)
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
    import numpy as np  # noqa: PLC0415 - these four only in the process that tries
    import onnx  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415
    from onnx import helper  # noqa: PLC0415

    names = [name for name, _ in providers]
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "small", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    load_libraries(names)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(),
            providers=[(name, dict(options)) for name, options in providers],
            enable_fallback=0,  # otherwise an option that is not known means the CPU
        )
        session.run(None, {"x": np.ones(4, np.float32)})
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no other class in common
        raise ProviderNotInUse(f"{', '.join(names)} cannot be used: {reason_of(error)}") from None
    require_in_use(session, names)


if __name__ == "__main__":
    try:
        _run_small_network([(name, options) for name, options in json.loads(sys.argv[1])])
    except ProviderNotInUse as failure:
        sys.exit(str(failure))
