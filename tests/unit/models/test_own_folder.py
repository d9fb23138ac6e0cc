from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest
from onnx import helper

from bentos.pipeline.pack_info import DETECTOR_FILE, RECOGNISER_FILE
from models.errors import PackError
from models.own_folder import look_into
from models.published import fingerprint_of
from tests.unit.models.small_graphs import model_of


@pytest.fixture
def mine(tmp_path: Path, pack_folder: Path) -> Path:
    """A folder with a detector, a recogniser and a graph that is neither."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copyfile(pack_folder / DETECTOR_FILE, folder / "z-det.onnx")
    shutil.copyfile(pack_folder / RECOGNISER_FILE, folder / "a-rec.onnx")
    age = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, [1, 3, 96, 96])
    onnx.save(age, str(folder / "genderage.onnx"))
    return folder


def test_the_graphs_are_told_apart_by_their_shapes(mine: Path) -> None:
    own = look_into(mine)
    assert (own.name, own.detector.name, own.recogniser.name) == ("mine", "z-det.onnx", "a-rec.onnx")


def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="There is no folder"):
        look_into(tmp_path / "nowhere")


def test_two_recognisers_are_both_named_in_the_error(mine: Path) -> None:
    shutil.copyfile(mine / "a-rec.onnx", mine / "b-rec.onnx")
    with pytest.raises(PackError, match=r"exactly one recogniser .*a-rec\.onnx, b-rec\.onnx"):
        look_into(mine)


def test_a_missing_detector_is_reported(mine: Path) -> None:
    (mine / "z-det.onnx").unlink()
    with pytest.raises(PackError, match=r"exactly one detector .*holds none"):
        look_into(mine)


def test_a_file_that_is_no_onnx_is_named_in_the_error(mine: Path) -> None:
    (mine / "broken.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(PackError, match=r"broken\.onnx cannot be read"):
        look_into(mine)


@pytest.mark.parametrize("name", ["My Pack", "Üb", "-x", "x" * 80])
def test_a_name_that_the_store_cannot_hold_is_refused(name: str, mine: Path) -> None:
    with pytest.raises(PackError, match="lower case letters"):
        look_into(mine.rename(mine.parent / name))


def test_other_files_may_not_have_the_name_of_a_pack_of_the_catalogue(mine: Path) -> None:
    own = look_into(mine.rename(mine.parent / "buffalo_l"))
    with pytest.raises(PackError, match="rename the folder"):
        fingerprint_of(own)
