"""Tests of what a SOURCE names: files of a folder, images of the store, a list of ids."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bentos.bulk.items import Item, WrongSetup
from bentos.bulk.sources import in_folder, items_of
from bentos.config.settings import Settings

IN_BUCKET = Settings(s3_endpoint_url="https://storage", s3_bucket="photos", s3_prefix="base/")


async def test_a_folder_is_every_file_in_it_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/deep.png", "notes.txt", ".hidden/x.jpg", ".DS_Store", "empty/.keep"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    items = await items_of(str(tmp_path), IN_BUCKET)
    assert items == [
        Item(str(tmp_path / name), file=tmp_path / name) for name in ("a/deep.png", "b.jpg", "notes.txt")
    ]


async def test_the_image_folder_of_the_settings_is_indexed_where_it_is(tmp_path: Path) -> None:
    for name in ("one.jpg", "not an id.jpg", ".put-unfinished"):
        (tmp_path / name).touch()
    settings = Settings(s3_endpoint_url=f"file://{tmp_path}")
    items = {item.source: item for item in await items_of(str(tmp_path), settings)}
    assert items.keys() == {f"{tmp_path}/one.jpg", f"{tmp_path}/not an id.jpg"}
    assert items[f"{tmp_path}/one.jpg"] == Item(f"{tmp_path}/one.jpg", "one.jpg")
    assert "cannot be the id of a photo" in (items[f"{tmp_path}/not an id.jpg"].problem or "")


async def test_a_list_has_one_id_a_line_each_once(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("one.jpg\n\n two \none.jpg\nnot/an/id\n")
    items = await items_of(str(tmp_path / "ids"), IN_BUCKET)
    assert [(item.source, item.photo_id) for item in items] == [
        ("one.jpg", "one.jpg"),
        ("two", "two"),
        ("not/an/id", None),
    ]
    assert items[2].problem


async def test_a_list_may_come_from_the_standard_input_and_from_windows() -> None:
    assert await items_of("-", IN_BUCKET, piped=b"\xef\xbb\xbfone\r\ntwo\r\n") == [
        Item("one", "one"),
        Item("two", "two"),
    ]
    with pytest.raises(WrongSetup, match="no list that can be read"):
        await items_of("-", IN_BUCKET, piped=b"\xff\xd8\xff\xe0")


async def test_nothing_in_a_folder_is_left_out_in_silence(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.jpg").touch()
    source = tmp_path / "photos"
    source.mkdir()
    (source / "one.jpg").touch()
    (source / "same.jpg").symlink_to("one.jpg")
    (source / "gone.jpg").symlink_to("nowhere")
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(source / "pipe.jpg")
    found = {Path(item.source).name: item for item in await items_of(str(source), IN_BUCKET)}
    assert {name: (item.error, item.problem) for name, item in found.items() if item.problem} == {
        "gone.jpg": ("unreadable_file", "A link to a file that is missing."),
        "linked": ("unreadable_file", "A link to a folder is not followed."),
        "pipe.jpg": ("unreadable_file", "Not a regular file."),
    }
    assert [name for name, item in found.items() if item.file] == ["one.jpg", "same.jpg"]


def test_a_folder_that_may_not_be_read_is_named() -> None:
    with _nobody(), tempfile.TemporaryDirectory() as folder:
        closed = Path(folder) / "closed"
        closed.mkdir()
        (closed / "one.jpg").touch()
        closed.chmod(0)
        try:
            assert in_folder(folder) == [
                Item(
                    str(closed),
                    problem="The folder cannot be read: Permission denied.",
                    error="unreadable_file",
                )
            ]
        finally:
            closed.chmod(0o700)
            shutil.rmtree(closed)


@contextmanager
def _nobody() -> Iterator[None]:
    """Without the rights of root, which reads every folder."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://others/base/", "in the bucket 'photos', not in 'others'"),
        ("s3://photos/elsewhere/", "Photos are below S3_PREFIX"),
        ("s3://photos?/base/", "not in 'photos\\?'"),
        ("s3://photos/", "Photos are below S3_PREFIX"),
        ("/missing", "is no folder, and no list"),
    ],
)
async def test_a_source_that_cannot_be_one_is_refused_with_a_sentence(source: str, said: str) -> None:
    with pytest.raises(WrongSetup, match=said):
        await items_of(source, IN_BUCKET)


async def test_nothing_to_do_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "list").touch()
    for source in ("folder", "list"):
        with pytest.raises(WrongSetup, match="There is no"):
            await items_of(str(tmp_path / source), IN_BUCKET)
