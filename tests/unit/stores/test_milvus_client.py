"""Tests of the connection: the import of pymilvus, and one Milvus Lite file for several stores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bentos.domain.errors import DependencyUnavailable
from bentos.domain.faces import BoundingBox
from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore
from bentos.stores.records import FaceVector

FACE = FaceVector(
    "0b8f7c1e-55c1-5d0e-9b5e-3a7d2b1c4f60",
    "photo",
    None,
    BoundingBox(1, 2, 3, 4),
    np.full(8, 8**-0.5, np.float32),
)
REPOSITORY = Path(__file__).parents[3]


def options(folder: Path) -> MilvusOptions:
    uri = str(folder / "vectors.db")
    return MilvusOptions(uri=uri, alias="faces", dim=8, pack_name="test-pack", fingerprint="0123456789abcdef")


def python(code: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_environment_may_name_a_file_as_MILVUS_URI_and_stays_as_it_is(folder: Path) -> None:  # noqa: N802
    code = (
        "import os, bentos.stores.milvus.store; "
        "print(os.environ['MILVUS_URI'], 'PYTHON_DOTENV_DISABLED' in os.environ)"
    )
    assert python(code, folder, MILVUS_URI="./vectors.db") == "./vectors.db False"


def test_an_env_file_in_a_parent_folder_does_not_affect_the_settings(folder: Path) -> None:
    (folder / ".env").write_text("FROM_A_STRAY_FILE=1\n")
    code = "import os, bentos.stores.milvus.store; print('FROM_A_STRAY_FILE' in os.environ)"
    assert python(code, folder) == "False"


async def test_closing_one_store_leaves_the_file_open_for_the_other(folder: Path) -> None:
    one, other = MilvusVectorStore(options(folder)), MilvusVectorStore(options(folder))
    await one.open()
    await other.open()
    await one.save_faces([FACE])
    await one.close()
    assert len(await other.nearest(FACE.embedding, photos=1, score_threshold=0)) == 1
    await other.close()


async def test_the_error_says_that_the_file_is_open_in_another_process(folder: Path) -> None:
    store = MilvusVectorStore(options(folder))
    await store.open()
    code = (
        "import asyncio, sys\n"
        "from bentos.domain.errors import DependencyUnavailable\n"
        "from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore\n"
        f"options = MilvusOptions(uri={options(folder).uri!r}, alias='faces', dim=8, pack_name='p', fingerprint='f')\n"
        "try: asyncio.run(MilvusVectorStore(options).open())\n"
        "except DependencyUnavailable as error: print(error.message)\n"
    )
    assert "vectors.db is open in another process" in python(code, folder)
    await store.close()


async def test_a_closed_file_can_be_opened_by_another_process(folder: Path) -> None:
    store = MilvusVectorStore(options(folder))
    await store.open()
    await store.save_faces([FACE])
    await store.close()
    code = (
        "import asyncio\n"
        "from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore\n"
        f"store = MilvusVectorStore(MilvusOptions(uri={options(folder).uri!r}, alias='faces', dim=8,\n"
        "    pack_name='p', fingerprint='0123456789abcdef'))\n"
        "async def main():\n"
        "    await store.open()\n"
        "    print([face.photo_id async for batch in store.scan_faces() for face in batch])\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    assert python(code, folder) == "['photo']"


async def test_the_parent_folder_must_not_be_a_file(folder: Path) -> None:
    (folder / "vectors.db").write_text("not a folder, which is what Milvus Lite keeps under such a name")
    with pytest.raises(DependencyUnavailable, match=r"vectors\.db"):
        await MilvusVectorStore(options(folder)).open()


def test_opening_a_new_file_and_opening_it_again_print_nothing(folder: Path) -> None:
    code = (
        "import asyncio\n"
        "from bentos.stores.milvus.store import MilvusOptions, MilvusVectorStore\n"
        f"store = MilvusVectorStore(MilvusOptions(uri={options(folder).uri!r}, alias='faces', dim=8,\n"
        "    pack_name='p', fingerprint='0123456789abcdef'))\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        await store.open()\n"
        "        await store.check()\n"
        "        await store.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("", "")
