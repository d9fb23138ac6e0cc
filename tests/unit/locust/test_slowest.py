"""Tests of what the load test shows about its slowest searches."""

from __future__ import annotations

import json
from pathlib import Path

from bench.slowest import searches_in, slowest_of, table_of, write_picture


def _line(**fields: object) -> str:
    return json.dumps({"message": "request", "route": "/search/", "status": 200, **fields})


def test_only_answered_searches_with_stages_are_read_from_a_log() -> None:
    log = [
        "a line of Milvus",
        "17",
        _line(ms=5.0, stages_ms={"milvus": 4.0}),
        _line(ms=6.0),
        _line(ms=7.0, status=503, stages_ms={"form": 1.0}),
        _line(ms=8.0, route="/ping", stages_ms={"form": 1.0}),
    ]
    assert [search.ms for search in searches_in(log)] == [5.0]


def test_the_slowest_searches_are_compared_with_all_by_stage(tmp_path: Path) -> None:
    log = [_line(ms=number, stages_ms={"form": 1.0, "milvus": number - 1.0}) for number in range(1, 201)]
    searches = list(searches_in(log))
    assert [search.ms for search in slowest_of(searches)] == list(range(200, 100, -1))
    _, form, milvus = (line.split() for line in table_of(searches).splitlines())
    assert form == ["form", "1.0", "1.0"]
    assert milvus == ["milvus", "99.5", "149.5"]
    write_picture(searches, tmp_path / "slowest.png")
    assert (tmp_path / "slowest.png").read_bytes().startswith(b"\x89PNG")
