"""Tests of the measured stages, CPU times and memory, and of the report of a bench."""

from __future__ import annotations

import json

from prometheus_client import generate_latest

from bench import baseline_report
from bench.baseline_report import Comparison, Round
from bench.capacity_report import Capacity, Level, text_of, write_json, write_plot
from bench.ceiling import Ceiling
from bench.latency_table import Latencies, row_of
from bench.memory_watch import growths
from bench.processes import Cost, cpu_spent, role_of
from bench.stage_times import mean_ms, parse_stages
from bentos.observability.stages import begin_stages, end_stage


def test_the_stages_of_a_request_add_up_to_it_and_are_read_back():
    before = parse_stages(generate_latest().decode())
    stages = begin_stages("a service of the tests")
    for stage in ("form", "runner", "milvus"):
        end_stage(stage)
    stages.close()
    after = parse_stages(generate_latest().decode())
    assert set(mean_ms(before, after)) == {"form", "runner", "milvus", "answer"}
    assert mean_ms(after, after) == {}


def test_a_request_without_stages_is_not_recorded():
    before = parse_stages(generate_latest().decode())
    begin_stages("a service of the tests").close()
    assert parse_stages(generate_latest().decode()) == before


def test_the_role_of_a_process_follows_from_its_command_line():
    worker = [
        "python",
        "-m",
        "_bentoml_impl.worker.service",
        "x:Y",
        "--fd",
        "6",
        "--service-name",
        "face-runner",
    ]
    assert role_of(worker) == "face-runner"
    assert role_of(["python", "-m", "bentoml", "serve", "x:Y"]) == "bentoml supervisor"
    assert role_of(["python", "-m", "uvicorn", "bench.baseline:app", "--port", "1"]) == "plain service"
    assert role_of(["/tmp/x/bin/milvus", "run", "standalone"]) == "milvus"
    assert role_of([]) == "other"


def test_cpu_time_is_counted_by_role_between_two_measurements():
    before = {1: Cost("runner", 10.0, 1, 1), 2: Cost("runner", 20.0, 1, 1)}
    after = {1: Cost("runner", 11.0, 1, 1), 2: Cost("runner", 22.0, 1, 1), 3: Cost("milvus", 0.5, 1, 1)}
    assert cpu_spent(before, after) == {"runner": 3.0, "milvus": 0.5}


def test_memory_growth_ignores_the_first_part_and_processes_that_ended():
    samples = [{1: Cost("a", 0, mb, mb)} for mb in (10, 100, 101, 102, 103, 104, 105, 106, 107, 110)]
    samples[5] = {**samples[5], 2: Cost("b", 0, 1, 1)}
    (growth,) = growths(samples)
    assert (growth.settled_mb, growth.last_mb) == (101, 110)


def test_the_report_of_a_bench_is_a_table_json_and_a_picture(tmp_path):
    def level(clients: int, ms: list[float]) -> Level:
        row = row_of(Latencies(f"{clients} clients", ms), 1)
        return Level(clients, row, {}, {"runner": 9.0}, {"face-runner": 8.0}, {"face-runner": [200.0]})

    ceiling = Ceiling(rps=4.0, processes=2, stage_ms={"decode": 1.0}, cpu_ms=9.0)
    capacity = Capacity({"cpus": 2}, ceiling, [4.0, 4.0], [level(4, [20.0]), level(8, [30.0, 40.0])])
    assert capacity.ratio == 0.5
    assert "8 clients" in text_of(capacity)
    write_json(capacity, tmp_path / "capacity.json")
    assert json.loads((tmp_path / "capacity.json").read_text())["capacity_rps"] == 2
    write_plot(capacity, tmp_path / "capacity.png")
    assert (tmp_path / "capacity.png").read_bytes().startswith(b"\x89PNG")


def _compared(answered: int, cpu_ms: dict[str, float]) -> Level:
    row = row_of(Latencies("8 clients", [20.0] * answered), 1)
    return Level(8, row, {}, {}, cpu_ms, {})


def test_a_comparison_leaves_milvus_the_generator_and_the_other_service_out_of_the_cpu_time(tmp_path):
    bare = Ceiling(rps=4.0, processes=2, stage_ms={}, cpu_ms=5.0)
    ours = {
        "face-runner": 7.0,
        "image-search": 1.0,
        "milvus": 3.0,
        "load generator": 1.0,
        "plain service": 0.5,
    }
    plain = {"plain service": 10.0, "milvus": 3.0, "image-search": 0.5}
    rounds = [Round(bare, {8: (_compared(answers, ours), _compared(10, plain))}) for answers in (11, 15, 14)]
    baseline_report.write_json(Comparison(rounds, selfies=3), tmp_path / "baseline.json")
    told = json.loads((tmp_path / "baseline.json").read_text())
    assert told["answers_ratio"] == {"8": 1.4}
    assert told["cpu_ratio"] == {"8": 0.8}
    assert told["overhead_ratio"] == {"8": 1.6}
    assert "1.10 1.50 1.40" in baseline_report.text_of(Comparison(rounds, selfies=3))
