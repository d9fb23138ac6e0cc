"""`make bench ARGS=--gpu`: images a second of the runner over batches, beside the CPU's figure on the same machine.

Compares embeddings with the CPU's, measures the networks and the pipeline of one process by batch size, then the runner
by number of clients, over its own socket and without HTTP and stores. Without a GPU the same runs on the CPU provider.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.against_cpu import against_the_cpu
from bench.batched_networks import VARIANTS, network_rates, pipeline_rates, try_provider
from bench.gpu_report import Report
from bench.machine_use import MachineUse
from bench.mps import has_mps, mps
from bench.runner_load import measure, runner_alone
from bench.selfie_pool import DEFAULT_FOLDER, selfie_pool
from bench.settings_of import settings_of
from bentos.demo.process import DidNotStart
from bentos.pipeline.batched.fixed_session import CUDA
from bentos.pipeline.pack_store import face_pack_folder
from bentos.pipeline.providers import CPU, ProviderNotInUse, reason_of, require_available
from bentos.runner.cpus import available_cpus, decode_threads, runner_processes
from bentos.runner.fixed_batches import FixedBatches
from bentos.runner.local import extraction_of


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="    %(message)s", stream=sys.stderr)
    options.reports.mkdir(parents=True, exist_ok=True)
    report = Report(options.reports, budget=options.budget)
    provider, reason = _provider(options.provider)
    report.provider = provider
    report.add("machine", _machine, provider, reason)
    jpegs = selfie_pool(DEFAULT_FOLDER, count=options.selfies)
    batched = {"ONNX_PROVIDERS": provider, "RUNNER_FIXED_SHAPES": "on", "RUNNER_QUEUE": "1024"}
    if provider == CPU:
        batched["RUNNER_MAX_BATCH_SIZE"] = "16"
    first, *others = options.workers or [runner_processes(settings_of(batched))]
    shared = has_mps() and provider != CPU
    # What matters comes first: a run that is cut off has it.
    report.add(_title(first, mps=shared), _runner, batched, first, shared, options.clients, jpegs, options)
    report.add("pipeline", _pipeline, batched, jpegs, options)
    if shared:
        report.add(
            _title(first, mps=False), _runner, batched, first, False, options.clients[:1], jpegs, options
        )
    on_the_cpu = {"ONNX_PROVIDERS": CPU, "RUNNER_QUEUE": "1024"}
    cpus = available_cpus()
    report.add(
        f"CPU, {cpus} processes", _runner, on_the_cpu, cpus, False, options.clients[:1], jpegs, options
    )
    for workers in others:
        report.add(
            _title(workers, mps=shared), _runner, batched, workers, shared, options.clients, jpegs, options
        )
    report.add("networks", _networks, provider, options)
    print("\n".join(filter(None, (report.text(), report.doubt))))
    return 1 if report.failed or report.doubt else 0


def _provider(wanted: str) -> tuple[str, str]:
    """The provider to measure; the CPU where the wanted one is not there or does not work, and why."""
    try:
        require_available([wanted])
        try_provider(face_pack_folder("yunet-mbf"), wanted)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no other class in common
        reason = str(error) if isinstance(error, ProviderNotInUse) else reason_of(error)
        print(f"Everything runs on {CPU}: {reason}", file=sys.stderr)
        return CPU, reason
    return wanted, ""


def _machine(provider: str, reason: str) -> dict[str, Any]:
    import onnxruntime  # noqa: PLC0415

    use = MachineUse()
    return {
        "gpu": use.name or use.problem,
        "driver": use.driver,
        "cpus": available_cpus(),
        "onnxruntime": onnxruntime.__version__,
        "provider": f"{provider}, because {reason}" if reason else provider,
        "python": sys.version.split()[0],
    }


def _networks(provider: str, options: argparse.Namespace) -> dict[str, Any]:
    folder = face_pack_folder("yunet-mbf")
    if provider != CUDA:
        return {"options as given": network_rates(folder, [(provider, {})], [1, 4], seconds=0.5)}
    return {
        name: network_rates(folder, [(provider, given)], [16], seconds=options.network_seconds)
        for name, given in VARIANTS.items()
    } | {
        "heuristic, by batch": network_rates(
            folder,
            [(provider, VARIANTS["heuristic"])],
            [1, 4, 16, 64],
            seconds=options.network_seconds,
        )
    }


def _pipeline(
    environment: Mapping[str, str], jpegs: list[bytes], options: argparse.Namespace
) -> dict[str, Any]:
    settings = settings_of(environment)
    folder = face_pack_folder(settings.face_pack)
    began = time.monotonic()
    batched = extraction_of(folder, settings)
    requests = FixedBatches(batched, lambda _ticket: True, None, decode_threads=decode_threads(settings))
    opening = time.monotonic() - began
    reference = extraction_of(folder, settings_of({"ONNX_PROVIDERS": CPU, "SELFIE_QUICK_SIZE": "0"}))
    return {
        "opening_s": round(opening, 1),
        "against_the_cpu": against_the_cpu(requests, reference, jpegs[: options.compared]),
        "by_batch": pipeline_rates(
            requests, batched, jpegs, options.batches, seconds=options.pipeline_seconds
        ),
    }


def _runner(
    environment: Mapping[str, str],
    workers: int,
    shared: bool,
    clients: Iterable[int],
    jpegs: list[bytes],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """`detect_and_embed` by number of clients. `shared`: beside NVIDIA's Multi-Process Service."""
    use = MachineUse()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="face-search-gpu-") as folder, mps(wanted=shared) as with_mps:
        log = Path(folder) / "runner.log"
        began = time.monotonic()
        try:
            with runner_alone(
                {**environment, **with_mps}, workers=workers, log=log, start_within_s=options.start_within
            ) as socket:
                starting = time.monotonic() - began
                for number in clients:
                    with use.watched():
                        load = measure(
                            socket,
                            jpegs,
                            method="detect_and_embed",
                            clients=number,
                            seconds=options.seconds,
                            processes=options.generators,
                        )
                    found.append(load.as_dict() | use.figures(options.seconds))
                    print(f"    {json.dumps(found[-1])}", file=sys.stderr, flush=True)
                memory = use.memory_of_processes_mb()
        finally:
            if log.exists():
                name = f"gpu-runner-{workers}-{environment['ONNX_PROVIDERS']}{'-mps' * shared}.log"
                (options.reports / name).write_bytes(log.read_bytes()[-200_000:])
    return {"starting_s": round(starting, 1), "gpu_memory_mb_by_process": memory, "by_clients": found}


def _title(workers: int, *, mps: bool) -> str:
    return f"runner, {workers} processes{', MPS' * mps}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench ARGS=--gpu", description=__doc__)
    add = parser.add_argument
    add("--provider", default=CUDA, help=f"ONNX Runtime's execution provider ({CUDA})")
    add("--workers", type=int, nargs="+", help="numbers of runner processes (the default of RUNNER_WORKERS)")
    add("--clients", type=int, nargs="+", default=[64, 128, 16, 1], help="numbers of clients (64 128 16 1)")
    add("--start-within", type=float, default=180, help="longest start of the runner, s (180)")
    add("--batches", type=int, nargs="+", default=[1, 4, 16, 64], help="batch sizes (1 4 16 64)")
    add("--seconds", type=float, default=5.0, help="seconds for each number of clients (5)")
    add("--pipeline-seconds", type=float, default=3.0, help="seconds for each batch size (3)")
    add("--network-seconds", type=float, default=0.5, help="seconds for each network and batch size (0.5)")
    add(
        "--generators",
        type=int,
        default=max(1, min(4, (os.cpu_count() or 1) // 4)),
        help="processes that load",
    )
    add("--selfies", type=int, default=100, help="different images of 480 x 640 (100)")
    add("--compared", type=int, default=60, help="images whose faces are compared with the CPU's (60)")
    add("--budget", type=float, default=math.inf, help="seconds after which further parts are skipped")
    add("--reports", type=Path, default=Path("reports"), help="folder of gpu.json and the logs (reports)")
    return parser


if __name__ == "__main__":
    # As Ctrl-C does, so that the runner and MPS are stopped, which run in sessions of their own.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except DidNotStart as failure:
        sys.exit(str(failure))
    except KeyboardInterrupt:
        sys.exit("interrupted: gpu.json has the parts until then")
