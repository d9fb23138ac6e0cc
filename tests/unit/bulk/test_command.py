"""Tests of the command `python -m bentos.bulk` on embedded stores: stopped, repeated, and with files that fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from bentos.bulk.__main__ import main
from bentos.demo import photos
from bentos.demo.embedded import embedded_environment
from seed.face_images import selfie

ROOT = Path(__file__).parents[3]
KEY = "0123456789abcdef-key-of-the-tests"


class Command:
    """The command, with its stores, its photos and its report in one folder."""

    def __init__(self, folder: Path) -> None:
        self.photos, self.report = folder / "photos", folder / "report.jsonl"
        self.photos.mkdir()
        state = {"XDG_STATE_HOME": str(folder / "state")}
        self.environment = {**embedded_environment(folder / "data", KEY), **state}

        bulk = [str(self.photos), "--collection", "c", "--report", str(self.report), "--processes", "1"]
        self._arguments = bulk

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bentos.bulk", *self._arguments, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of the command in this process."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return main([*self._arguments, *arguments]), said.getvalue()

    def lines(self) -> list[dict]:
        return (
            [json.loads(line) for line in self.report.read_text().splitlines()]
            if self.report.exists()
            else []
        )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_a_stopped_run_loses_nothing_and_goes_on_without_reading_what_is_done(command: Command) -> None:
    for index in range(8):
        (command.photos / f"{index}.jpg").write_bytes(selfie(index, size=(240, 320)).jpeg)
    process = command.start("--in-flight", "2")
    while len(command.lines()) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 2, said
    assert said.endswith("stopped; nothing is lost, run it again to go on\n")
    done = command.lines()
    assert 2 <= len(done) < 8
    for line in done:
        _destroy(Path(line["source"]))

    status, said = command.run()
    assert status == 0, said
    assert f"{len(done)}  indexed before" in said
    assert f"{8 - len(done)}  indexed\n" in said
    assert len({line["source"] for line in command.lines()}) == len(command.lines()) == 8


def test_failures_are_retried_alone_on_request(command: Command) -> None:
    (command.photos / "deep").mkdir()
    good, bad = command.photos / "good.png", command.photos / "deep" / "bad.jpg"
    good.write_bytes(photos.astronaut().read_bytes())
    bad.write_bytes(b"no image")
    (command.photos / "cup.png").write_bytes(photos.coffee_cup().read_bytes())
    status, said = command.run()
    assert status == 1
    assert {line["source"]: (line["status"], line.get("error")) for line in command.lines()} == {
        str(good): ("indexed", None),
        str(bad): ("failed", "invalid_image_format"),
        str(command.photos / "cup.png"): ("no_faces", None),
    }
    bad.write_bytes(selfie(1).jpeg)
    good.unlink()
    status, said = command.run("--retry-failed")
    assert status == 0, said
    assert "1 photos in" in said
    assert command.lines()[-1]["source"] == str(bad)
    assert command.lines()[-1]["status"] == "indexed"


def test_odd_files_do_not_stop_a_run(command: Command) -> None:
    odd = os.fsdecode(b"\xff\xfe.jpg")
    (command.photos / odd).write_bytes(selfie(1).jpeg)
    (command.photos / "equal.jpg").write_bytes(selfie(1).jpeg)
    (command.photos / "empty.jpg").touch()
    (command.photos / "gone.jpg").symlink_to("nowhere")
    status, said = command.run()
    assert status == 1, said
    assert "1  faces indexed" in said  # not one for each of two equal files
    assert {Path(line["source"]).name: line.get("error") for line in command.lines()} == {
        odd: None,
        "equal.jpg": None,
        "empty.jpg": "invalid_image_format",
        "gone.jpg": "unreadable_file",
    }


def test_a_command_that_waits_for_its_list_can_be_stopped(command: Command) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED_WHILE_READING, "-"],
        cwd=ROOT,
        env={**os.environ, **command.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.wait(timeout=120) == 2
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == "stopped; nothing is lost, run it again to go on\n"


_INTERRUPTED_WHILE_READING = """
import os, signal, sys
from bentos.bulk.__main__ import main

class Interrupted:
    def read(self):
        os.kill(os.getpid(), signal.SIGINT)
        return sys.__stdin__.buffer.read()  # the other end stays open and sends nothing

class Input:
    buffer = Interrupted()

sys.stdin = Input()
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""


def test_what_cannot_work_ends_with_one_sentence_and_status_2(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    other = command.photos.parent / "other.jsonl"
    other.write_text('{"source": "photos/a.jpg", "status": "failed"}\n')
    for arguments, said in (
        ([str(command.photos)], "There is no file in"),
        (["s3://bucket/prefix"], "The images of this base are in"),
        (["/missing"], "is no folder"),
        ([str(command.photos), "--url", "http://127.0.0.1:1"], "Neither FACE_SEARCH_API_KEY nor"),
        (["x", "--report", "/missing/report", "--retry-failed"], "There is no report /missing/report"),
        (
            [str(ROOT / "tests"), "--report", str(other), "--retry-failed"],
            "name it as before: the report has",
        ),
        (
            [str(command.photos), "--report", "/missing/report"],
            "The report /missing/report cannot be written",
        ),
    ):
        assert main(arguments) == 2, arguments
        assert said in capsys.readouterr().out
    for wrong in (["--retry-failed", "x"], ["x", "--collection", "a/b"], ["x", "--processes", "0"], []):
        with pytest.raises(SystemExit, match="2"):
            main(wrong)


def _destroy(file: Path) -> None:
    """Other bytes in a file whose size and time of change stay, so that only reading it shows the difference."""
    found = file.stat()
    file.write_bytes(bytes(found.st_size))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
