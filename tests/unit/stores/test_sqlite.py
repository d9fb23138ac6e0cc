"""Tests of the SQLite store beyond `MetadataStore`: a durable file that several processes may share."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.domain.errors import DependencyUnavailable
from bentos.stores.records import Lease, PhotoBusy
from bentos.stores.sqlite.store import SqliteMetadataStore

SHA = "5f" * 32

_WRITER = """
import asyncio, sys
from pathlib import Path
from bentos.stores.records import Lease
from bentos.stores.sqlite.store import SqliteMetadataStore

async def main():
    store = SqliteMetadataStore(Path(sys.argv[1]))
    await store.open()
    for number in range(int(sys.argv[3])):
        photo_id = f"{sys.argv[2]}{number}"
        await store.begin_detection(photo_id, collection_id=None, image_sha256="5f" * 32, lease=Lease(30))
        print(photo_id, flush=True)
    await asyncio.sleep(int(sys.argv[4]))

asyncio.run(main())
"""


def writer(path: Path, prefix: str, photos: int, then_wait_s: int = 0) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", _WRITER, str(path), prefix, str(photos), str(then_wait_s)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


async def test_the_file_and_its_folder_are_created(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "photos.db"
    store = SqliteMetadataStore(path)
    await store.open()
    await store.close()
    assert path.exists()


async def test_completed_calls_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    process = writer(path, "p", 1_000_000)
    assert process.stdout is not None
    answered = [process.stdout.readline().strip() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    answered += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    store = SqliteMetadataStore(path)
    await store.open()
    for photo_id in answered:
        assert await store.photo(photo_id) is not None
    # No photo is free: the leases survive too.
    with pytest.raises(PhotoBusy):
        await store.begin_removal(answered[0], lease=Lease(30))
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_processes_that_open_and_write_the_same_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    processes = [writer(path, f"w{number}-", 20) for number in range(4)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    store = SqliteMetadataStore(path)
    await store.open()
    assert (await store.list_photos(limit=1, offset=0)).total == 80
    await store.close()


async def test_another_process_sees_a_photo_as_busy(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    process = writer(path, "p", 1, then_wait_s=60)
    assert process.stdout is not None
    process.stdout.readline()
    store = SqliteMetadataStore(path)
    await store.open()
    with pytest.raises(PhotoBusy):
        await store.begin_detection("p0", collection_id=None, image_sha256=SHA, lease=Lease(30))
    await store.close()
    process.kill()
    process.wait()
    process.stdout.close()


async def test_a_file_that_another_process_locks_for_too_long_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    store = SqliteMetadataStore(path, timeout_s=0.2)
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(DependencyUnavailable, match="locked"):
        await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=Lease(30))
    other.execute("rollback")
    other.close()
    await store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=Lease(30))
    await store.close()


async def test_a_path_that_cannot_be_a_file_is_unavailable(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path)
    with pytest.raises(DependencyUnavailable):
        await store.open()
    with pytest.raises(DependencyUnavailable):
        await store.photo("p")


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    path.write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(DependencyUnavailable, match="not a database"):
        await SqliteMetadataStore(path).open()


async def test_a_cancelled_call_leaves_the_store_usable(tmp_path: Path) -> None:
    store = SqliteMetadataStore(tmp_path / "photos.db")
    await store.open()
    call = asyncio.create_task(
        store.begin_detection("p", collection_id=None, image_sha256=SHA, lease=Lease(30))
    )
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (
        await store.begin_detection("q", collection_id=None, image_sha256=SHA, lease=Lease(30))
    ).faces == ()
    await store.close()
