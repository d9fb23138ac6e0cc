"""Makes pairs from a folder that has one sub-folder for each person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.evaluate.comparisons import Comparisons, EvaluationError, Indices, with_both_kinds


def read_people(folder: Path, *, max_genuine: int, max_impostors: int, seed: int) -> Comparisons:
    """All genuine and all impostor pairs of the photos in `folder`, or as many of each as the limits allow.

    Each sub-folder is a person, each file in it a photo of that person; names that begin with a dot are passed over.
    Above a limit, pairs are drawn without replacement, each with the same probability; the same `seed` draws the same
    pairs from the same files. Raises `EvaluationError`.
    """
    images, people, notes = _photos(folder)
    ends = np.searchsorted(people, people, side="right")
    own = np.arange(len(images)) + 1
    # Photos are sorted by person: the later photos of the same person run from `own` to `ends`, other people's from
    # `ends` to the last photo. So every pair has a number, and no list of all pairs is needed to draw some.
    genuine = _drawn(starts=own, counts=ends - own, limit=max_genuine, seed=(seed, 0))
    impostors = _drawn(starts=ends, counts=len(images) - ends, limit=max_impostors, seed=(seed, 1))
    comparisons = Comparisons(
        images=images,
        people=people,
        first=np.concatenate([genuine[0], impostors[0]]),
        second=np.concatenate([genuine[1], impostors[1]]),
        genuine_possible=int((ends - own).sum()),
        impostor_possible=int((len(images) - ends).sum()),
        notes=notes,
    )
    return with_both_kinds(comparisons)


def _photos(folder: Path) -> tuple[tuple[Path, ...], Indices, tuple[str, ...]]:
    """Every photo, the number of its person, and notes about what was passed over."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        in_folders = [(entry, _files(entry)) for entry in entries if entry.is_dir()]
    except OSError as error:
        raise EvaluationError(f"{error.filename} cannot be read: {error.strerror}.") from error
    people = [files for _, files in in_folders if files]
    images = tuple(file for files in people for file in files)
    numbers = np.repeat(np.arange(len(people), dtype=np.int64), [len(files) for files in people])
    loose = sum(not entry.is_dir() for entry in entries)
    notes = [f"{folder}: {loose} files lie in no person's sub-folder and are passed over"] if loose else []
    notes += [f"{person}: no photo in it" for person, files in in_folders if not files]
    return images, numbers, tuple(notes)


def _files(person: Path) -> list[Path]:
    return sorted(file for file in person.iterdir() if not file.name.startswith(".") and file.is_file())


def _drawn(*, starts: Indices, counts: Indices, limit: int, seed: tuple[int, int]) -> tuple[Indices, Indices]:
    """Pairs (i, j) with `starts[i]` <= j < `starts[i] + counts[i]`: all, or `limit` of them drawn at random."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    if total <= limit:
        numbers = np.arange(total, dtype=np.int64)
    else:
        numbers = np.sort(np.random.default_rng(seed).choice(total, size=limit, replace=False, shuffle=False))
    first = np.searchsorted(ends, numbers, side="right")
    second = starts[first] + numbers - (ends[first] - counts[first])
    return first, second
