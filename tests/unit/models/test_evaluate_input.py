"""Labelled photos: CSV files with pairs, and folders with a sub-folder for each person."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from models.evaluate.comparisons import Comparisons, EvaluationError
from models.evaluate.pairs_file import read_pairs
from models.evaluate.people_folder import read_people


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pairs.csv"


def labelled(comparisons: Comparisons) -> set[tuple[str, str, bool]]:
    names = [path.name for path in comparisons.images]
    rows = zip(comparisons.first, comparisons.second, comparisons.genuine, strict=True)
    return {(names[first], names[second], bool(same)) for first, second, same in rows}


def test_paths_are_relative_to_the_csv_file_and_columns_may_come_in_any_order(file: Path):
    file.write_text("same,note,path_b,path_a\n1,x,b.jpg,a.jpg\n0,, sub/c.jpg ,/else/d.jpg\n")
    found = read_pairs(file)
    assert found.images == tuple(
        Path(path)
        for path in (file.parent / "a.jpg", file.parent / "b.jpg", "/else/d.jpg", file.parent / "sub/c.jpg")
    )
    assert labelled(found) == {("a.jpg", "b.jpg", True), ("d.jpg", "c.jpg", False)}


def test_a_byte_order_mark_quotes_and_windows_line_ends_are_read(file: Path):
    file.write_bytes('\ufeffpath_a,path_b,same\r\n"a, 1.jpg",b.jpg,1\r\na.jpg,ж.jpg,0\r\n'.encode())
    assert labelled(read_pairs(file)) == {("a, 1.jpg", "b.jpg", True), ("a.jpg", "ж.jpg", False)}


def test_photos_that_genuine_pairs_connect_show_one_person(file: Path):
    file.write_text("path_a,path_b,same\na,b,1\nc,d,1\nb,c,1\ne,f,0\na,e,0\n")
    found = read_pairs(file)
    person = {path.name: int(number) for path, number in zip(found.images, found.people, strict=True)}
    assert person["a"] == person["b"] == person["c"] == person["d"]
    assert len({person["a"], person["e"], person["f"]}) == found.people_count == 3


def test_a_pair_that_stands_there_twice_counts_once_and_is_mentioned(file: Path):
    file.write_text("path_a,path_b,same\na,b,1\nb,a,1\na,c,0\n./a,c,0\n")
    found = read_pairs(file)
    assert len(found.first) == 2
    assert found.notes == ("2 repeated pairs count once",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "path_a, path_b, same is missing"),
        ("a.jpg,b.jpg,1\n", "path_a, path_b, same is missing"),
        ("path_a;path_b;same\na;b;1\n", "separated by commas"),
        ("path_a,path_b\na,b\n", "same is missing"),
        ("path_a,path_b,same\na,b,yes\n", "line 2: same has to be 1 or 0, not 'yes'"),
        ("path_a,path_b,same\na,b,1\na,b\n", "line 3: same has to be 1 or 0, not ''"),
        ("path_a,path_b,same\na,,1\n", "line 2: a path is missing"),
        ("path_a,path_b,same\na,b,1,more\n", "line 2: more fields than the first line has"),
        ("path_a,path_b,same\na,b,1\nc,./c,0\n", "line 3: a photo is compared with itself"),
        ("path_a,path_b,same\na,b,1\nb,a,0\n", "line 3 contradicts line 2"),
        (
            "path_a,path_b,same\na,b,1\nb,c,1\nc,a,0\n",
            "line 4 says two people, but pairs with same = 1 connect",
        ),
        ('path_a,path_b,same\n"a,b,1\n', "is not a CSV file, after line 1"),
        ("path_a,path_b,same\n", "No pair shows the same person"),
        ("path_a,path_b,same\na,b,0\n", "No pair shows the same person"),
        ("path_a,path_b,same\na,b,1\n", "No pair shows two people"),
        ("path_a,path_b,same\n" + "a,b,x\n" * 9, "line 6: same has to be 1 or 0, not 'x'; and 4 more."),
    ],
)
def test_a_malformed_file_is_refused_with_the_reason_and_the_line(file: Path, text: str, words: str):
    file.write_text(text)
    with pytest.raises(EvaluationError) as refused:
        read_pairs(file)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"), [(b"path_a,path_b,same\n\xff\xfe,b,1\n", "not UTF-8"), (None, "No such file")]
)
def test_a_file_that_is_no_text_or_not_there_is_refused(file: Path, content: bytes | None, words: str):
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EvaluationError, match=words):
        read_pairs(file)


def people_of(folder: Path, **photos: int) -> Path:
    for person, count in photos.items():
        (folder / person).mkdir()
        for number in range(count):
            (folder / person / f"{person}{number}.jpg").touch()
    return folder


def read(folder: Path, *, max_genuine: int = 1000, max_impostors: int = 1000, seed: int = 0) -> Comparisons:
    return read_people(folder, max_genuine=max_genuine, max_impostors=max_impostors, seed=seed)


def test_all_pairs_of_a_folder_are_made_once_each(tmp_path: Path):
    found = read(people_of(tmp_path, ann=3, bob=1, cem=2))
    names = sorted(path.name for path in found.images)
    expected = {(one, two, one[:3] == two[:3]) for one, two in combinations(names, 2)}
    assert labelled(found) == expected
    assert len(found.first) == len(expected) == 15
    assert (found.genuine_possible, found.impostor_possible) == (4, 11)


def test_hidden_files_and_deeper_folders_are_no_photos_and_what_else_is_passed_over_is_mentioned(
    tmp_path: Path,
):
    people_of(tmp_path, ann=2, bob=1, nobody=0)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "ann" / ".hidden.jpg").touch()
    (tmp_path / "ann" / "more").mkdir()
    (tmp_path / "list.txt").touch()
    found = read(tmp_path)
    assert [path.name for path in found.images] == ["ann0.jpg", "ann1.jpg", "bob0.jpg"]
    assert found.notes == (
        f"{tmp_path}: 1 files lie in no person's sub-folder and are passed over",
        f"{tmp_path / 'nobody'}: no photo in it",
    )


def test_above_a_limit_different_pairs_are_drawn_and_the_same_seed_draws_the_same(tmp_path: Path):
    people_of(tmp_path, ann=9, bob=5, cem=1, dee=7)
    everything = labelled(read(tmp_path))
    drawn, again, other = (
        labelled(read(tmp_path, max_genuine=20, max_impostors=50, seed=seed)) for seed in (4, 4, 5)
    )
    assert drawn == again != other
    assert drawn < everything
    assert sum(same for *_, same in drawn) == 20
    assert len(drawn) == 70


def test_every_pair_is_drawn_about_equally_often(tmp_path: Path):
    people_of(tmp_path, ann=4, bob=2, cem=1)
    times: dict[tuple[str, str, bool], int] = {}
    for seed in range(700):
        for pair in labelled(read(tmp_path, max_genuine=1, max_impostors=2, seed=seed)):
            times[pair] = times.get(pair, 0) + 1
    genuine = [count for (*_, same), count in times.items() if same]
    impostor = [count for (*_, same), count in times.items() if not same]
    assert (len(genuine), len(impostor)) == (7, 14)
    assert all(60 <= count <= 140 for count in genuine + impostor)  # 100 expected, ± four standard deviations


@pytest.mark.parametrize(
    ("photos", "words"),
    [({"ann": 3}, "two people"), ({"ann": 1, "bob": 1}, "same person"), ({}, "same person")],
)
def test_a_folder_without_both_kinds_of_pairs_is_refused(tmp_path: Path, photos: dict[str, int], words: str):
    with pytest.raises(EvaluationError, match=words):
        read(people_of(tmp_path, **photos))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(EvaluationError, match="No such file"):
        read(tmp_path / "none")
