"""Reads labelled pairs from a CSV file with the columns path_a, path_b and same."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluate.comparisons import Comparisons, EvaluationError, with_both_kinds

_COLUMNS = ("path_a", "path_b", "same")
_FAULTS_SHOWN = 5
_LABELS = {"1": True, "0": False}


@dataclass(frozen=True, slots=True)
class _Pair:
    line: int
    first: Path
    second: Path
    same: bool


def read_pairs(file: Path) -> Comparisons:
    """The pairs of `file`, UTF-8; paths are relative to its folder; `same` is 1 for the same person, 0 for two people.

    People have no names in such a file. Images that a chain of pairs with `same` = 1 connects show one person; every
    other image counts as a person of its own. A pair that stands there twice counts once. Raises `EvaluationError`
    with the numbers of the faulty lines.
    """
    pairs, repeated = _without_repetition(file, list(_pairs(file)))
    images = tuple(dict.fromkeys(path for pair in pairs for path in (pair.first, pair.second)))
    number = {path: index for index, path in enumerate(images)}
    first = np.array([number[pair.first] for pair in pairs], dtype=np.int64)
    second = np.array([number[pair.second] for pair in pairs], dtype=np.int64)
    same = np.array([pair.same for pair in pairs], dtype=np.bool_)
    people = np.array(_connected(len(images), zip(first[same], second[same], strict=True)), dtype=np.int64)
    contradicted = np.flatnonzero(~same & (people[first] == people[second]))
    _refuse(
        file,
        [
            f"line {pairs[n].line} says two people, but pairs with same = 1 connect these photos"
            for n in contradicted
        ],
    )
    comparisons = Comparisons(
        images=images,
        people=people,
        first=first,
        second=second,
        genuine_possible=int(same.sum()),
        impostor_possible=int((~same).sum()),
        notes=(f"{repeated} repeated pairs count once",) if repeated else (),
    )
    return with_both_kinds(comparisons)


def _pairs(file: Path) -> Iterator[_Pair]:
    faults: list[str] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise EvaluationError(
                    f"{file}: the first line has to name the columns path_a,path_b,same, separated by commas; "
                    f"{', '.join(missing)} is missing."
                )
            for row in reader:
                pair = _pair(file.parent, reader.line_num, row)
                if isinstance(pair, str):
                    faults.append(f"line {reader.line_num}: {pair}")
                else:
                    yield pair
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{file} is not UTF-8 text.") from error
    except csv.Error as error:
        raise EvaluationError(f"{file} is not a CSV file, after line {reader.line_num}: {error}.") from error
    _refuse(file, faults)


def _pair(folder: Path, line: int, row: dict[str, str | None]) -> _Pair | str:
    """The pair of one row, or what is wrong with the row."""
    first, second, label = ((row[name] or "").strip() for name in _COLUMNS)
    if None in row:
        return "more fields than the first line has"
    if not first or not second:
        return "a path is missing"
    if label not in _LABELS:
        return f"same has to be 1 or 0, not {label!r}"
    if "\0" in first + second:
        return "a path holds a NUL character"
    paths = (folder / first).resolve(), (folder / second).resolve()
    if paths[0] == paths[1]:
        return "a photo is compared with itself"
    return _Pair(line, *paths, same=_LABELS[label])


def _without_repetition(file: Path, pairs: list[_Pair]) -> tuple[list[_Pair], int]:
    """Each pair once, whichever of its photos comes first, and how many were left out."""
    kept: dict[frozenset[Path], _Pair] = {}
    faults = []
    for pair in pairs:
        before = kept.setdefault(frozenset((pair.first, pair.second)), pair)
        if before.same != pair.same:
            faults.append(f"line {pair.line} contradicts line {before.line}")
    _refuse(file, faults)
    return list(kept.values()), len(pairs) - len(kept)


def _connected(count: int, links: Iterator[tuple[int, int]]) -> list[int]:
    """The number of the connected component of each of `count` nodes, numbered from 0 (union-find)."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for first, second in links:
        parent[root(int(second))] = root(int(first))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(node), len(numbers)) for node in range(count)]


def _refuse(file: Path, faults: list[str]) -> None:
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise EvaluationError(f"{file}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}.")
