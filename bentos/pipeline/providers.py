"""Checks that ONNX Runtime uses the requested execution providers, because it silently falls back to the CPU."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CPU = "CPUExecutionProvider"

Provider = tuple[str, Mapping[str, str]]
"""The name of an execution provider and its options."""


_CODE = re.compile(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : ")
_PLACES = re.compile(r"^(\S+\.(h|cc):\d+ ([^ ]* [^)]*\) |\w+ ))+")


class ProviderNotInUse(Exception):
    """A requested execution provider is not in use; the message is one sentence."""


def names_of(providers: Sequence[Provider]) -> list[str]:
    """The names, without the options."""
    return [name for name, _ in providers]


def is_only_cpu(names: Iterable[str]) -> bool:
    """Whether no other provider than that of the CPU is among these names."""
    return set(names) <= {CPU}


def require_available(providers: Sequence[str]) -> None:
    """Raise `ProviderNotInUse` unless this ONNX Runtime has all `providers`; whether they work is checked later."""
    if is_only_cpu(providers):
        return  # every ONNX Runtime has it, so skip the import
    available = _available()
    missing = [name for name in providers if name not in available]
    if missing:
        raise ProviderNotInUse(
            f"{', '.join(missing)} is not available: this ONNX Runtime has {', '.join(available)}."
        )


def require_in_use(session: Any, providers: Sequence[str]) -> None:
    """Raise `ProviderNotInUse` unless `session`, an ONNX Runtime session, uses all `providers`."""
    in_use = session.get_providers()
    missing = [name for name in providers if name not in in_use]
    if missing:
        reasons = "".join(f"; {reason}" for reason in map(_why_not_loaded, missing) if reason)
        raise ProviderNotInUse(
            f"{', '.join(missing)} is not in use: ONNX Runtime runs with {', '.join(in_use)}, "
            f"and has {', '.join(_available())}{reasons}."
        )


def open_session(model: bytes, providers: Sequence[Provider], options: Any = None) -> Any:
    """An ONNX Runtime session for `model` with all `providers` and their options, and no other in their place.

    Raises `ProviderNotInUse`, and what ONNX Runtime raises. `options`: its `SessionOptions`.
    """
    import onnxruntime  # noqa: PLC0415 - takes 0.25 s, also in processes without a model

    session = onnxruntime.InferenceSession(
        model,
        options,
        providers=[(name, dict(given)) for name, given in providers],
        enable_fallback=0,  # otherwise an option that is not known means the CPU
    )
    require_in_use(session, names_of(providers))
    return session


@contextmanager
def errors_as_not_in_use(providers: Sequence[Provider]) -> Iterator[None]:
    """Raise `ProviderNotInUse` with the reason for every error of ONNX Runtime inside the block."""
    try:
        yield
    except ProviderNotInUse:
        raise
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no other class in common
        raise ProviderNotInUse(
            f"{', '.join(names_of(providers))} cannot be used: {reason_of(error)}"
        ) from None


def reason_of(error: Exception) -> str:
    """What an error of ONNX Runtime says, on one line, without the places in its source that come before it."""
    text = (str(error).splitlines() or [""])[0]
    if (cuda := text.rfind("CUDA failure")) >= 0:
        return text[cuda:].split(" ; ")[0]
    text = _CODE.sub("", text)
    return _PLACES.sub("", text) or type(error).__name__


def load_libraries(providers: Sequence[str]) -> None:
    """Load CUDA and cuDNN from their PyPI packages, or from the system, before a session needs them."""
    if is_only_cpu(providers):
        return
    import onnxruntime  # noqa: PLC0415 - takes 0.25 s, also in processes without a model

    onnxruntime.preload_dlls()


def _why_not_loaded(provider: str) -> str:
    """Why the library of a provider cannot be loaded, which ONNX Runtime only logs; empty if it can be."""
    import onnxruntime  # noqa: PLC0415 - takes 0.25 s, also in processes without a model

    folder = Path(onnxruntime.__file__).parent / "capi"
    name = f"libonnxruntime_providers_{provider.removesuffix('ExecutionProvider').lower()}.so"
    if not (folder / name).exists():
        return ""
    try:
        ctypes.CDLL(str(folder / name))
    except OSError as error:
        return str(error)
    return ""


def _available() -> list[str]:
    import onnxruntime  # noqa: PLC0415 - takes 0.25 s, also in processes without a model

    available: list[str] = onnxruntime.get_available_providers()
    return available
