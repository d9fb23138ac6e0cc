from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bentos.pipeline.pack_info import (
    DETECTOR_FILE,
    LANDMARKS_FILE,
    PACK_FILE,
    RECOGNISER_FILE,
    BadPackInfo,
    PackFile,
    PackInfo,
    file_sha256,
    fingerprint,
)

INFO = PackInfo(
    name="mine",
    dimension=256,
    licence="größer",
    commercial_use=False,
    detector=PackFile("folder:a.onnx", "a" * 64, "b" * 64),
    recogniser=PackFile("folder:b.onnx", "c" * 64, "d" * 64),
    landmarks=PackFile("pypi:c", "e" * 64, "f" * 64),
    fingerprint=fingerprint("a" * 64, "c" * 64, "e" * 64),
)


def test_a_written_pack_info_reads_back_the_same(tmp_path: Path) -> None:
    INFO.write(tmp_path)
    assert PackInfo.read(tmp_path) == INFO


def test_a_folder_without_a_pack_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadPackInfo, match=r"python -m models\.assemble"):
        PackInfo.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "mine", "dimension": "many"}', "\udcff"])
def test_a_damaged_file_says_to_assemble_again(text: str, tmp_path: Path) -> None:
    (tmp_path / PACK_FILE).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(BadPackInfo, match="--force"):
        PackInfo.read(tmp_path)


def test_a_pack_of_an_older_version_says_to_assemble_again(tmp_path: Path) -> None:
    INFO.write(tmp_path)
    facts = json.loads((tmp_path / PACK_FILE).read_text(encoding="utf-8"))
    del facts["landmarks"]
    (tmp_path / PACK_FILE).write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(BadPackInfo, match=r"older version: .*python -m models\.assemble"):
        PackInfo.read(tmp_path)


def test_a_fingerprint_differs_for_other_files_and_has_sixteen_characters() -> None:
    known = fingerprint("a" * 64, "c" * 64, "e" * 64)
    assert len(known) == 16
    others = [("c", "a", "e"), ("a", "d", "e"), ("a", "c", "b")]
    assert len({known, *(fingerprint(*(name * 64 for name in other)) for other in others)}) == 4


def test_the_fingerprint_of_the_default_pack_is_fixed(pack_folder: Path) -> None:
    """A change of what conditioning computes changes the fingerprint, and every base has to be embedded again."""
    assert PackInfo.read(pack_folder).fingerprint == "5b754a08edab29bb"


def test_the_hashes_are_those_of_the_packs_files(pack_folder: Path) -> None:
    info = PackInfo.read(pack_folder)
    assert info.dimension == 512
    for name, file in (
        (DETECTOR_FILE, info.detector),
        (RECOGNISER_FILE, info.recogniser),
        (LANDMARKS_FILE, info.landmarks),
    ):
        assert file_sha256(pack_folder / name) == file.sha256
        assert hashlib.sha256((pack_folder / name).read_bytes()).hexdigest() == file.sha256


def test_reading_a_pack_needs_only_the_standard_library(tmp_path: Path) -> None:
    replace(INFO, name="bare").write(tmp_path)
    code = (
        "import sys; before = set(sys.modules); from bentos.pipeline.pack_info import PackInfo;"
        f"print(PackInfo.read({str(tmp_path)!r}).name);"
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}"
        " - sys.stdlib_module_names - {'bentos'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["bare", "[]"]
