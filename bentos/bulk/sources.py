"""Lists the photos of a SOURCE: a folder, s3://BUCKET/PREFIX, or a file with a list of photo ids."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from bentos.bulk.items import UNREADABLE, Item, WrongSetup
from bentos.config.settings import Settings
from bentos.domain.ids import ID_RULE, is_valid_id
from bentos.stores.factory import image_store

_NO_ID = f"What follows S3_PREFIX cannot be the id of a photo: {ID_RULE}."


async def items_of(source: str, settings: Settings, *, piped: bytes | None = None) -> list[Item]:
    """The photos of a SOURCE, in order. `piped`: what the standard input holds, where that is the source.

    Raises `WrongSetup`, also when there is none; `DependencyUnavailable`.
    """
    if piped is not None:
        return in_list(source, piped)
    if source.startswith("s3://"):
        return await _in_store(_prefix(source, settings), f"s3://{settings.s3_bucket}/", settings)
    if _is_the_image_folder(source, settings):
        return await _in_store("", f"{source}/", settings)
    return await asyncio.to_thread(in_folder if is_folder(source) else _in_file, source)


def is_folder(source: str) -> bool:
    """Whether the source is a folder, whose files are uploaded."""
    return Path(source).is_dir()


def only(items: Sequence[Item], sources: Iterable[str]) -> list[Item]:
    """Those items whose sources are given."""
    wanted = set(sources)
    return [item for item in items if item.source in wanted]


def in_folder(source: str) -> list[Item]:
    """Every file of a folder and of the folders in it, in order, without hidden ones. Raises `WrongSetup`.

    What cannot be read as a file is an item with a `problem`, so that nothing is left out in silence.
    """
    items = sorted(_entries(Path(source)), key=lambda item: Path(item.source))
    if not items:
        raise WrongSetup(f"There is no file in {source}.")
    return items


def in_list(source: str, listed: bytes) -> list[Item]:
    """The photo ids in the bytes of a list, one a line; each once. Raises `WrongSetup`."""
    try:
        text = listed.decode("utf-8-sig")
    except UnicodeError as error:
        raise _no_list(source, error) from None
    names = dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise WrongSetup(f"There is no photo id in {source}.")
    return [_stored(name, name) for name in names]


def _in_file(source: str) -> list[Item]:
    try:
        listed = Path(source).read_bytes()
    except OSError as error:
        raise _no_list(source, error) from None
    return in_list(source, listed)


def _no_list(source: str, error: Exception) -> WrongSetup:
    return WrongSetup(f"{source} is no folder, and no list that can be read ({type(error).__name__}).")


def _prefix(source: str, settings: Settings) -> str:
    """The beginning of the photo ids that s3://BUCKET/PREFIX names. Raises `WrongSetup`."""
    bucket, _, prefix = source.removeprefix("s3://").partition("/")  # not as a URL: a key may have ? and #
    if settings.images_in_folder or bucket != settings.s3_bucket:
        place = (
            settings.s3_endpoint_url if settings.images_in_folder else f"the bucket {settings.s3_bucket!r}"
        )
        raise WrongSetup(f"The images of this base are in {place}, not in {bucket!r}.")
    if not prefix.startswith(settings.s3_prefix):
        raise WrongSetup(f"Photos are below S3_PREFIX ({settings.s3_prefix!r}), and {prefix!r} is not.")
    return prefix.removeprefix(settings.s3_prefix)


def _is_the_image_folder(source: str, settings: Settings) -> bool:
    if not settings.images_in_folder:
        return False
    folder = Path(unquote(settings.s3_endpoint_url.removeprefix("file://")))
    return Path(source).resolve() == folder.resolve()


async def _in_store(prefix: str, base: str, settings: Settings) -> list[Item]:
    images = image_store(settings)
    base += settings.s3_prefix
    try:
        await images.open()
        items = [_stored(name, base + name) async for names in images.scan_names(prefix) for name in names]
    finally:
        await images.close()
    if not items:
        raise WrongSetup(f"There is no photo below {base}{prefix}.")
    return items


def _stored(name: str, source: str) -> Item:
    return Item(source, name) if is_valid_id(name) else Item(source, problem=_NO_ID)


def _entries(folder: Path) -> Iterator[Item]:
    unread: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=unread.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = [name for name in folders if Path(place, name).is_symlink()]
        yield from (_unreadable(Path(place, name), "A link to a folder is not followed.") for name in linked)
        yield from (_file(Path(place, name)) for name in files if not name.startswith("."))
    for error in unread:
        yield _unreadable(Path(error.filename), f"The folder cannot be read: {error.strerror}.")


def _file(path: Path) -> Item:
    if path.is_file():
        return Item(str(path), file=path)
    missing = path.is_symlink() and not path.exists()
    return _unreadable(path, "A link to a file that is missing." if missing else "Not a regular file.")


def _unreadable(path: Path, problem: str) -> Item:
    return Item(str(path), problem=problem, error=UNREADABLE)
