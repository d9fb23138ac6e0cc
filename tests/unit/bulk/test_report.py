"""Tests of the report and the summary of a bulk run."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from bentos.bulk.items import Item, Outcome, WrongSetup, failed
from bentos.bulk.report import Report
from bentos.bulk.summary import Summary

ONE, TWO = Item("one.jpg", "one.jpg"), Item("two.jpg", "two.jpg")
INDEXED = Outcome("indexed", "one.jpg", faces=3, indexed=2, left_out={"too_small": 1})
BEFORE = Outcome("indexed", "one.jpg", faces=3, indexed=2, before=True)


def written(path: Path, *outcomes: tuple[Item, Outcome]) -> Report:
    report = Report(path)
    for item, outcome in outcomes:
        report.add(item, outcome)
    report.close()
    return report


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_there_is_one_line_for_each_photo(tmp_path: Path) -> None:
    path = tmp_path / "report"
    written(
        path, (ONE, INDEXED), (TWO, failed(TWO, "invalid_request", "Check x.", {"fields": {"x": "is odd"}}))
    )
    assert lines_of(path) == [
        {
            "source": "one.jpg",
            "photo_id": "one.jpg",
            "status": "indexed",
            "faces": 3,
            "indexed": 2,
            "left_out": {"too_small": 1},
        },
        {
            "source": "two.jpg",
            "photo_id": "two.jpg",
            "status": "failed",
            "error": "invalid_request",
            "message": "Check x. x: is odd.",
        },
    ]


def test_a_photo_that_was_reported_gets_no_second_line_and_one_that_was_not_gets_its_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "report"
    written(path, (ONE, INDEXED))
    written(path, (ONE, BEFORE), (TWO, BEFORE))
    assert [line["source"] for line in lines_of(path)] == ["one.jpg", "two.jpg"]


def test_a_line_that_a_killed_run_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text('{"source": "one.jpg", "status": "failed"}\n{"source": "tw')
    report = written(path, (TWO, INDEXED))
    assert report.failures == ["one.jpg"]
    assert json.loads(path.read_text().splitlines()[-1])["source"] == "two.jpg"


def test_of_several_lines_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "report"
    written(path, (ONE, failed(ONE, "x", "y")), (TWO, failed(TWO, "x", "y")), (ONE, INDEXED))
    assert written(path).failures == ["two.jpg"]


def test_a_report_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match="cannot be"):
        Report(tmp_path)
    with pytest.raises(WrongSetup, match="cannot be written"):
        Report(tmp_path / "missing" / "report")


def test_a_name_that_is_no_utf_8_is_reported_and_found_again(tmp_path: Path) -> None:
    path, odd = tmp_path / "report", os.fsdecode(b"photos/\xff\xfe\xc3\xbc.jpg")
    written(path, (Item(odd), failed(Item(odd), "x", "y")))
    assert written(path).failures == [odd]
    assert "ü" in path.read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_any_more_ends_the_run_with_one_sentence(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    report = Report(tmp_path / "report")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        with pytest.raises(WrongSetup, match="cannot be written: File too large"):
            report.add(ONE, INDEXED)
        report.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_device_is_written_to_and_not_read() -> None:
    report = Report(Path("/dev/full"))
    with pytest.raises(WrongSetup, match="cannot be written: No space left"):
        report.add(ONE, INDEXED)
    report.close()


def test_the_summary_counts_by_reason_and_rates_only_what_was_worked_on() -> None:
    summary = Summary()
    for outcome in (
        INDEXED,
        BEFORE,
        Outcome("no_faces"),
        failed(ONE, "image_too_large", ""),
        failed(TWO, "image_too_large", ""),
    ):
        summary.add(outcome)
    assert list(summary.lines(2.0)) == [
        "   photos  outcome",
        "        1  indexed",
        "        1  indexed before",
        "        1  no_faces",
        "        2  failed: image_too_large",
        "        2  faces indexed, 1 left out: too_small",
        "4 photos in 2 s: 2.0 photos/s, 1.0 faces/s",
    ]
    assert summary.failed == 2
