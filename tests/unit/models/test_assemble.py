"""Tests of the command in a separate process with its own BentoML store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from bentos.pipeline.pack_info import DETECTOR_FILE, LANDMARKS_FILE, RECOGNISER_FILE, PackInfo
from models import assemble, assembly
from models.catalog import DEFAULT_PACK, find_pack
from models.published import Published

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Place:
    """A store, a temporary folder and a user's folder with the published files."""

    home: Path
    scratch: Path
    own: Path

    @property
    def packs(self) -> Path:
        return self.home / "models" / self.own.name

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "BENTOML_HOME": str(self.home), "TMPDIR": str(self.scratch)}
        return subprocess.Popen(
            [sys.executable, "-m", "models.assemble", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, error = process.communicate(timeout=120)
        return process.returncode, out, error


@pytest.fixture
def place(tmp_path: Path, published: Published) -> Place:
    folders = Place(tmp_path / "home", tmp_path / "scratch", tmp_path / "our-pack")
    folders.scratch.mkdir()
    folders.own.mkdir()
    shutil.copyfile(published.detector, folders.own / "det.onnx")
    shutil.copyfile(published.recogniser, folders.own / "rec.onnx")
    return folders


def is_one_sentence(error: str) -> bool:
    return error.startswith("error: ") and error.count("\n") == 1 and error.endswith(".\n")


def test_a_users_folder_is_assembled_once_and_the_second_run_does_nothing(place: Place) -> None:
    code, out, error = place.run("--dir", str(place.own))
    assert code == 0, error
    folder = Path(out.strip())
    info = PackInfo.read(folder)
    assert (info.name, info.dimension) == ("our-pack", 512)
    assert folder == place.packs / info.fingerprint[:12]
    assert (place.packs / "latest").read_text() == info.fingerprint[:12]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    code, out, error = place.run("--dir", str(place.own))
    assert (code, Path(out.strip())) == (0, folder)
    assert "nothing to do" in error
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert not list(place.scratch.iterdir())


def test_an_incomplete_pack_is_assembled_again(place: Place) -> None:
    _, out, _ = place.run("--dir", str(place.own))
    recogniser = Path(out.strip()) / RECOGNISER_FILE
    whole = recogniser.read_bytes()
    recogniser.write_bytes(whole[:1000])
    code, _, error = place.run("--dir", str(place.own))
    assert code == 0
    assert "is assembled:" in error
    assert recogniser.read_bytes() == whole


def test_ctrl_c_leaves_no_files(place: Place) -> None:
    process = place.start("--dir", str(place.own))
    assert process.stderr is not None
    assert any("detector" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert not place.packs.exists()
    assert not list(place.scratch.iterdir())


def test_a_recogniser_that_cannot_be_conditioned_is_refused_in_one_sentence(place: Place) -> None:
    model = onnx.load(str(place.own / "rec.onnx"))
    model.graph.node[-1].op_type = "NoSuchOperator"
    onnx.save(model, str(place.own / "rec.onnx"))
    code, out, error = place.run("--dir", str(place.own))
    assert (code, out) == (1, "")
    assert is_one_sentence("error: " + error.split("error: ", 1)[1])
    assert not place.packs.exists()


def test_the_report_measures_the_pack_and_the_published_files(
    published: Published,
    pack_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("models.published.opened", lambda _: nullcontext(published))
    monkeypatch.setattr("models.report._ROUNDS", 9)
    assert assemble.main(["--report"]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"{pack_folder}\n")
    rows = {line.split("  ")[0].strip(): line.split() for line in out.splitlines()}
    assert float(rows["recogniser, one face"][-1]) > 1.5
    assert "detector, 640×640" in rows
    assert "detector, 320×320" in rows


def test_an_unknown_name_gives_one_sentence_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert assemble.main(["--pack", "buffalo_xl"]) == 1
    error = capsys.readouterr().err
    assert is_one_sentence(error)
    assert "yunet-mbf, buffalo_l, buffalo_s, buffalo_sc, antelopev2" in error


def test_a_missing_folder_gives_one_sentence_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert assemble.main(["--dir", str(tmp_path / "nowhere")]) == 1
    assert is_one_sentence(capsys.readouterr().err)


def test_no_network_gives_one_sentence_and_exit_code_1(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    code, out, error = place.run()
    assert (code, out) == (1, "")
    assert "check the network" in error
    assert "Traceback" not in error
    assert is_one_sentence(error.splitlines(keepends=True)[-1])


def test_wrong_usage_gives_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        assemble.main(["--pack", "a", "--dir", "b"])
    assert raised.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_ensure_returns_the_folder_of_the_latest_pack_in_the_store(pack_folder: Path) -> None:
    import bentoml

    assert assembly.find(find_pack(DEFAULT_PACK)) == pack_folder
    model = bentoml.models.get(f"{DEFAULT_PACK}:latest")
    assert Path(model.path) == pack_folder
    assert model.info.metadata["fingerprint"] == PackInfo.read(pack_folder).fingerprint
    assert model.info.metadata["dimension"] == 512
    assert {path.name for path in pack_folder.glob("*.onnx")} == {
        DETECTOR_FILE,
        RECOGNISER_FILE,
        LANDMARKS_FILE,
    }
