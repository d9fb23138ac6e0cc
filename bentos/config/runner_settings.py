"""The settings of the runner: execution providers, batches, processes and queue."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from bentos.config.provider_options import parsed_options
from bentos.config.store_settings import StoreSettings

_BATCH_SIZE = 64


class RunnerSettings(StoreSettings):
    """The settings of the runner, with their defaults."""

    onnx_providers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("CPUExecutionProvider",), description="ONNX Runtime's execution providers, separated by commas."
    )
    onnx_provider_options: Annotated[dict[str, dict[str, str]], NoDecode] = Field(
        {},
        description='Options of the providers, JSON: `{"CUDAExecutionProvider": {"use_tf32": "0"}}`.',
    )
    runner_fixed_shapes: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Networks over batches of fixed shapes, with decoding beside them; `auto`: not on a CPU.",
    )
    runner_decode_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Fixed shapes: threads per process that decode; 0: its share of the CPUs.",
    )
    runner_workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Runner processes; 0: one per CPU; on a GPU three for four CPUs, if its memory holds them.",
    )
    runner_threads: int = Field(1, ge=1, le=256, description="ONNX Runtime threads per runner process.")
    runner_max_batch_size: int = Field(
        0,
        ge=0,
        le=1024,
        description="Most images in one batch; 0: 1, or 64 with fixed shapes, which on a CPU do not pay.",
    )
    runner_max_latency_ms: int = Field(
        10_000, ge=1, description="Longest time that an image waits for its batch, ms; then it is refused."
    )
    runner_queue: int = Field(
        64, ge=1, description="Images queued or running in the runner; one more is `overloaded`."
    )
    runner_timeout_s: float = Field(15, gt=0, description="Longest wait for the runner.")
    runner_transport: Literal["auto", "bentoml", "socket"] = Field(
        "auto",
        description="How the services call the runner; `auto`: by `socket` where possible, else by BentoML's client.",
    )

    @field_validator("onnx_providers", mode="before")
    @classmethod
    def _split_providers(cls, value: object) -> object:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @field_validator("onnx_provider_options", mode="before")
    @classmethod
    def _parse_options(cls, value: object) -> object:
        return parsed_options(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _options_have_a_provider(self) -> Self:
        if not self.onnx_providers:
            raise ValueError("ONNX_PROVIDERS is empty; CPUExecutionProvider always works")
        if unknown := sorted(set(self.onnx_provider_options) - set(self.onnx_providers)):
            raise ValueError(
                f"ONNX_PROVIDER_OPTIONS names {', '.join(unknown)}, which ONNX_PROVIDERS does not"
            )
        if self.fixed_shapes and any(
            options.get("device_id", "0") != "0" for options in self.onnx_provider_options.values()
        ):
            raise ValueError(
                "ONNX_PROVIDER_OPTIONS chooses a GPU with device_id; with fixed shapes set CUDA_VISIBLE_DEVICES"
            )
        return self

    @property
    def batch_size(self) -> int:
        """Most images in one batch."""
        return self.runner_max_batch_size or (_BATCH_SIZE if self.fixed_shapes else 1)

    @property
    def is_on_cpu(self) -> bool:
        """Whether the networks run on the CPU only."""
        return set(self.onnx_providers) <= {"CPUExecutionProvider"}

    @property
    def fixed_shapes(self) -> bool:
        """Whether the networks run over batches of fixed shapes."""
        if self.runner_fixed_shapes == "auto":
            return not self.is_on_cpu
        return self.runner_fixed_shapes == "on"

    @property
    def providers(self) -> list[tuple[str, dict[str, str]]]:
        """The execution providers with their options."""
        return [(name, self.onnx_provider_options.get(name, {})) for name in self.onnx_providers]
