"""`python -m models.evaluate` on photos of made people, with the real default pack."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bentos.demo import photos
from bentos.pipeline.pack_info import PackInfo
from models.catalog import DEFAULT_PACK
from models.evaluate.__main__ import main
from seed.face_images import selfie
from seed.shipped_faces import FACES

ROOT = Path(__file__).parents[3]
WHO = (2, 3, 6, 7)
"""Numbers of `seed.shipped_faces`; the largest face of the group photo, number 1, is not among them."""
PHOTOS_EACH = 3
NOT_UTF_8 = os.fsdecode(b"notes-\xff.txt")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module", autouse=True)
def _pack(pack_folder: Path) -> None:
    """The default pack is in the store."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with three selfies each, and three files from which no embedding of one person can be taken."""
    folder = tmp_path_factory.mktemp("people")
    for number, who in enumerate(WHO):
        (folder / f"person-{number}").mkdir()
        for turn in range(PHOTOS_EACH):
            made = selfie(who + len(FACES) * turn)
            (folder / f"person-{number}" / f"{turn}.jpg").write_bytes(made.jpeg)
    shutil.copyfile(photos.coffee_cup(), folder / "person-0" / "cup.png")
    (folder / "person-1" / NOT_UTF_8).write_text("not an image")
    (folder / "person-2" / "cut.jpg").write_bytes(selfie(2).jpeg[:300])
    (folder / "crowd").mkdir()
    shutil.copyfile(photos.group_photo(), folder / "crowd" / "six.jpg")
    return folder


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "evaluation.json").read_text(encoding="utf-8"))


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [Path(entry["path"]).name for entry in entries]


def test_a_folder_of_people_is_measured_and_what_could_not_be_used_is_listed(people, tmp_path, capsys):
    assert main(["--people", str(people), "--out", str(tmp_path / "out"), "--fmr", "0.1"]) == 0
    printed = capsys.readouterr().out
    pack = report_of(tmp_path / "out")["packs"][0]

    assert names(pack["no_face"]) == ["cup.png"]
    assert names(pack["not_read"]) == [NOT_UTF_8, "cut.jpg"]
    assert names(pack["several_faces"]) == ["six.jpg"]
    assert pack["several_faces"][0]["faces"] == 6
    for name in ("cup.png: no face was found", "notes-\\udcff.txt: ", "cut.jpg: ", "six.jpg: 6 faces"):
        assert name in printed
    # 12 selfies, the cup and the crowd could be read
    assert (pack["failure_to_acquire"]["errors"], pack["failure_to_acquire"]["trials"]) == (1, 14)
    # of person 0 the cup takes part in three pairs, of persons 1 and 2 the unreadable file does
    assert pack["genuine"]["pairs"] == 4 * 3 + 3 * 3
    assert (pack["genuine"]["scored"], pack["genuine"]["without_face"]) == (4 * 3, 3)
    assert pack["impostor"]["scored"] == 6 * 9 + 12
    assert pack["impostor"]["pairs_of_people"] == 10

    lowest = pack["genuine"]["most_doubtful"][0]["score"]
    highest = pack["impostor"]["most_doubtful"][0]["score"]
    assert highest < lowest, "the pack tells these people apart"
    at = {round(row["threshold"], 2): row for row in pack["by_threshold"]}
    assert at[-1.0]["fmr"]["rate"] == at[1.0]["fnmr"]["rate"] == 1.0
    assert at[1.0]["rejected"]["rate"] == 1.0
    assert at[-1.0]["rejected"]["rate"] == pytest.approx(3 / 15), (
        "lost pairs are not matched at any threshold"
    )


def test_a_threshold_is_recommended_only_for_an_fmr_that_the_pairs_carry(people, tmp_path, capsys):
    assert main(["--people", str(people), "--out", str(tmp_path), "--fmr", "0.1"]) == 0
    printed = capsys.readouterr().out
    pack = report_of(tmp_path)["packs"][0]
    best = pack["recommended"]
    assert best["for_fmr"] == 0.1
    assert best["fmr"]["rate"] <= 0.1
    assert f"Threshold for FMR 0.1: {best['threshold']:.3f}" in printed
    assert "WARNING: 5 people are too few" in printed
    assert [(row["fmr"], row["support"]) for row in pack["fnmr_at_fmr"]] == [
        (0.1, "rough"),
        (0.01, "none"),
        (0.001, "none"),
        (0.0001, "none"),
    ]
    assert all(row["rates"] is None for row in pack["fnmr_at_fmr"][1:])

    assert main(["--people", str(people)]) == 0
    printed = capsys.readouterr().out
    assert (
        "FNMR at FMR 0.001: not carried by 66 impostor pairs; at least 3000 are needed (rule of 3)" in printed
    )
    assert "No threshold for FMR 0.001: 66 impostor pairs carry no FMR below 0.045" in printed


def test_plots_are_png_files_and_absent_where_matplotlib_is(people, tmp_path, monkeypatch, capsys):
    with_plots, without = tmp_path / "with", tmp_path / "without"
    assert main(["--people", str(people), "--out", str(with_plots)]) == 0
    assert sorted(path.name for path in with_plots.iterdir()) == [
        "det.png",
        "evaluation.json",
        f"scores-{DEFAULT_PACK}.png",
    ]
    for plot in with_plots.glob("*.png"):
        assert plot.read_bytes().startswith(PNG)
        with Image.open(plot) as image:
            assert len(image.convert("L").getcolors() or []) > 20, "something is drawn"

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    capsys.readouterr()
    assert main(["--people", str(people), "--out", str(without)]) == 0
    assert [path.name for path in without.iterdir()] == ["evaluation.json"]
    assert "matplotlib is not installed" in capsys.readouterr().err


def test_the_settings_of_the_service_apply(people, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIN_FACE_SIZE", "220")
    monkeypatch.setenv("SCORE_THRESHOLD", "0.42")
    monkeypatch.setenv("VECTORIZE_MAX_IMAGE_MB", "0.1")
    assert main(["--people", str(people), "--out", str(tmp_path)]) == 0
    pack = report_of(tmp_path)["packs"][0]
    assert pack["failure_to_acquire"]["errors"] > 1, "small faces do not count"
    assert "six.jpg" in names(pack["not_read"]), "132 kB is too large"
    assert pack["at_score_threshold"]["threshold"] == 0.42
    assert "<- SCORE_THRESHOLD" in capsys.readouterr().out


def test_without_any_face_nothing_is_measured(people, monkeypatch, capsys):
    monkeypatch.setenv("MIN_FACE_SIZE", "5000")
    assert main(["--people", str(people)]) == 1
    assert "no genuine pair is left" in capsys.readouterr().err


def test_labelled_pairs_are_measured_each_image_once_and_a_missing_file_is_not_fatal(
    people, tmp_path, capsys
):
    table = people / "pairs.csv"
    rows = [
        ("person-0/0.jpg", "person-0/1.jpg", 1),
        ("person-0/0.jpg", "person-0/2.jpg", 1),
        ("person-0/0.jpg", "person-1/0.jpg", 0),
        ("person-0/0.jpg", "gone.jpg", 0),
        ("person-0/0.jpg", "person-3", 0),
    ]
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("path_a", "path_b", "same"), *rows])
    try:
        assert main(["--pairs", str(table), "--out", str(tmp_path)]) == 0
    finally:
        table.unlink()
    pack = report_of(tmp_path)["packs"][0]
    assert (pack["genuine"]["scored"], pack["impostor"]["scored"]) == (2, 1)
    assert pack["images"] == 6
    assert [(Path(entry["path"]).name, entry["reason"]) for entry in pack["not_read"]] == [
        ("gone.jpg", "no such file"),
        ("person-3", "not a file"),
    ]


SAVE = """
import sys
from pathlib import Path
from bentos.pipeline.pack_info import PackInfo
from models import store
for folder in map(Path, sys.argv[1:]):
    store.save(folder, PackInfo.read(folder), replace=False)
"""


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_packs_are_measured_side_by_side_in_one_run(people, tmp_path, pack_folder):
    """A store of its own holds the pack under two names, so that both have the same rates."""
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "home")}
    info = PackInfo.read(pack_folder)
    copies = [tmp_path / name for name in ("our-pack", "other-pack")]
    for copy in copies:
        shutil.copytree(pack_folder, copy)
        replace(info, name=copy.name).write(copy)
    run([sys.executable, "-c", SAVE, *map(str, copies)], environment)
    command = [
        sys.executable,
        "-m",
        "models.evaluate",
        "--people",
        str(people),
        "--out",
        str(tmp_path / "out"),
    ]
    printed = run([*command, "--pack", "our-pack", "--pack", "other-pack"], environment)
    first, second = report_of(tmp_path / "out")["packs"]
    assert (first.pop("pack"), second.pop("pack")) == ("our-pack", "other-pack")
    assert first == second
    rows = printed.split("== side by side ==")[1].splitlines()[2:4]
    assert [row.split()[0] for row in rows] == ["our-pack", "other-pack"]
    assert (tmp_path / "out" / "scores-other-pack.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pack", "none-such"], "python -m models.assemble --pack none-such"),
        (["--out", "/dev/null/out"], "--out: /dev/null/out cannot be made"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_before_any_work(people, capsys, arguments, words):
    assert main(["--people", str(people), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error


@pytest.mark.parametrize(
    "arguments", [[], ["--people", "x", "--pairs", "y"], ["--people", "x", "--fmr", "1"]]
)
def test_wrong_usage_has_a_status_of_its_own(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_an_interrupt_stops_it_with_one_sentence(tmp_path):
    waiting = tmp_path / "pairs.csv"
    os.mkfifo(waiting)
    process = subprocess.Popen(
        [sys.executable, "-m", "models.evaluate", "--pairs", str(waiting)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with waiting.open("w"):  # opens once the command reads, which then waits for a line
        for _ in range(20):
            # A signal that arrives just before the read begins does not end it; the next one does.
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=3)
                break
        else:
            process.kill()
    out, error = process.communicate()
    assert (process.returncode, out, error) == (130, "", "stopped: nothing was measured.\n")
