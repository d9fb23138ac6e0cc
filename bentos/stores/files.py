"""`ImageStore` in a local folder, for a laptop and the demo: one file for each photo, named by its id.

The file system has to be case-sensitive, because photo ids are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bentos.domain.errors import DependencyUnavailable, ImageTooLarge, InvalidRequest, PhotoNotFound
from bentos.domain.ids import is_valid_id
from bentos.domain.image_links import ImageLinks

T = TypeVar("T")

_UNFINISHED = ".put-"
"""Prefix of files that are still being written; no photo id begins with a dot."""

_ABANDONED_AFTER_S = 3600


class FilesStore:
    """`ImageStore` in one folder. A write renames a complete new file, so that a reader never sees a part of it."""

    def __init__(self, folder: Path, links: ImageLinks | None = None) -> None:
        """`links` signs the links that the service itself serves; None: there are no links."""
        self._folder = folder.absolute()
        self._links = links

    async def open(self) -> None:
        """Create the folder when it is missing. Raises `DependencyUnavailable` when that cannot be done."""
        await self._in_thread(self._prepare)

    async def check(self) -> None:
        """Check that the folder can be written to. A missing folder is not created: a volume may not be mounted.

        Raises `DependencyUnavailable`.
        """
        await self._in_thread(self._try_to_write)

    async def close(self) -> None:
        """Does nothing: no resource is held between calls."""

    async def put(self, photo_id: str, image: bytes, content_type: str) -> None:  # noqa: ARG002 no link, no type
        """Store or replace, on disk when it returns. Raises `InvalidRequest`, `DependencyUnavailable`.

        A cancelled call waits for the end of its thread, so that nothing is stored afterwards.
        """
        path = self._path(photo_id)
        writing = asyncio.ensure_future(self._in_thread(lambda: self._write(path, image)))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.gather(writing, return_exceptions=True)
            raise

    async def get(self, photo_id: str, *, max_bytes: int) -> bytes:
        """The bytes. Raises `PhotoNotFound`, `ImageTooLarge`, `InvalidRequest`, `DependencyUnavailable`."""
        path = self._path(photo_id)
        try:
            return await self._in_thread(lambda: _read(path, max_bytes))
        except FileNotFoundError:
            raise PhotoNotFound(photo_id) from None

    async def exists(self, photo_id: str) -> bool:
        """Whether there is an image under this id."""
        path = self._path(photo_id)
        try:
            await self._in_thread(path.lstat)
        except FileNotFoundError:
            return False
        return True

    async def delete(self, photo_id: str) -> None:
        """Remove the image; an unknown id is ignored."""
        path = self._path(photo_id)
        with contextlib.suppress(FileNotFoundError):
            await self._in_thread(lambda: self._remove(path))

    async def scan_images(self, batch_size: int = 1000) -> AsyncIterator[list[str]]:
        """Every stored `photo_id`, in batches, in the order of the folder."""
        async for names in self._scan(batch_size):
            if photo_ids := [name for name in names if is_valid_id(name)]:
                yield photo_ids

    async def scan_names(self, prefix: str, batch_size: int = 1000) -> AsyncIterator[list[str]]:
        """Every file whose name begins with `prefix`, without hidden ones; also names that are no ids."""
        async for names in self._scan(batch_size):
            yield [name for name in names if name.startswith(prefix) and not name.startswith(".")]

    async def _scan(self, batch_size: int) -> AsyncIterator[list[str]]:
        entries = await self._in_thread(lambda: os.scandir(self._folder))
        try:
            names = (entry.name for entry in entries if entry.is_file(follow_symlinks=False))
            while batch := await self._in_thread(lambda: list(islice(names, batch_size))):
                yield batch
        finally:
            entries.close()

    async def presigned_urls(self, photo_ids: Sequence[str], *, expires_s: int) -> list[str | None]:
        """For each photo the path of a signed link of the service itself; None where it signs none."""
        if self._links is None:
            return [None] * len(photo_ids)
        return list(self._links.sign(photo_ids, expires_s=expires_s))

    def _path(self, photo_id: str) -> Path:
        """The file of a photo. Ids are validated at the API; this check keeps anything else from becoming a path."""
        if not is_valid_id(photo_id):
            raise InvalidRequest("The id cannot name a photo.", {"photo_id": "not a valid id"})
        return self._folder / photo_id

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking `work`. `FileNotFoundError` is raised only for a missing file in an existing folder."""
        try:
            return await asyncio.to_thread(self._explained, work)
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = f"the folder that S3_ENDPOINT_URL names failed: {error.strerror}"
            raise DependencyUnavailable("object_store", reason) from error

    def _explained(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except FileNotFoundError:
            if self._folder.is_dir():
                raise
            raise NotADirectoryError(errno.ENOTDIR, "it does not exist") from None

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._try_to_write()
        long_ago = time.time() - _ABANDONED_AFTER_S
        for unfinished in self._folder.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(FileNotFoundError):
                if unfinished.lstat().st_mtime < long_ago:
                    unfinished.unlink()

    def _try_to_write(self) -> None:
        with tempfile.TemporaryFile(dir=self._folder):
            pass

    def _write(self, path: Path, image: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(image)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._sync_folder()

    def _remove(self, path: Path) -> None:
        path.unlink()
        self._sync_folder()

    def _sync_folder(self) -> None:
        """Sync the folder to disk, so that renames and removals survive a power failure."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path, max_bytes: int) -> bytes:
    with open(path, "rb", opener=_open_regular) as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise ImageTooLarge(f"The image has more than {max_bytes} bytes.", {"max_bytes": max_bytes})
        return file.read()


def _open_regular(path: str, flags: int) -> int:
    """Open a regular file. Anything else, as a link, a folder or a pipe, is no image: `FileNotFoundError`."""
    none = FileNotFoundError(errno.ENOENT, "it is no regular file")
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link
            raise none from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise none
    return descriptor
