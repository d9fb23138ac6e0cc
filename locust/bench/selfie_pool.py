"""Makes a folder of selfies to search with, in each of which the pipeline finds one face (`selfie_pool.py --help`).

They are made once and stored, so that a load generator only reads files.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from bentos.config.loading import read_settings
from bentos.domain.faces import FacesInImage
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.pack_store import face_pack_folder
from bentos.runner.local import extraction_of
from seed.face_images import DEFAULT_SIZE, SELFIE_BYTES, selfie

DEFAULT_COUNT = 300
DEFAULT_FOLDER = Path(".data/selfies")


def selfies_with_one_face(
    extraction: Extraction, count: int, *, size: tuple[int, int] = DEFAULT_SIZE
) -> Iterator[bytes]:
    """`count` JPEGs, always the same; a selfie in which not exactly one face is found is made again."""
    target_bytes = SELFIE_BYTES * size[0] * size[1] // (DEFAULT_SIZE[0] * DEFAULT_SIZE[1])
    for index in range(count):
        for attempt in itertools.count():
            made = selfie(index, attempt=attempt, size=size, target_bytes=target_bytes)
            found = extraction.detect([made.jpeg])[0]
            if isinstance(found, FacesInImage) and len(found.faces) == 1:
                yield made.jpeg
                break


def selfie_pool(
    folder: Path = DEFAULT_FOLDER, *, count: int = DEFAULT_COUNT, size: tuple[int, int] = DEFAULT_SIZE
) -> list[bytes]:
    """The selfies in `folder`, which are made now if any is missing."""
    kept = folder / f"{size[0]}x{size[1]}"
    kept.mkdir(parents=True, exist_ok=True)
    paths = [kept / f"{number:04d}.jpg" for number in range(count)]
    if not all(path.exists() for path in paths):
        settings = read_settings()
        extraction = extraction_of(face_pack_folder(settings.face_pack), settings)
        made = selfies_with_one_face(extraction, count, size=size)
        for path, jpeg in tqdm(
            zip(paths, made, strict=True), total=count, desc="selfies", leave=False, disable=None
        ):
            path.write_bytes(jpeg)
    return [path.read_bytes() for path in paths]


def size_of(text: str) -> tuple[int, int]:
    """`480x640` as (width, height). Raises `ValueError`."""
    width, height = (int(part) for part in text.lower().split("x"))
    return width, height


def main() -> int:
    """Make the pool. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=DEFAULT_COUNT)
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--size", type=size_of, default=DEFAULT_SIZE, help="width and height, as 480x640")
    options = parser.parse_args()
    pool = selfie_pool(options.out, count=options.count, size=options.size)
    print(f"{len(pool)} selfies of {sum(map(len, pool)) / len(pool) / 1000:.0f} kB in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
