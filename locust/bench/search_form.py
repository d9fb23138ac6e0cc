"""Builds the body of a `/search/` request by hand, because a form library would take much of the generator's time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PATH = "/search/"
_BOUNDARY = "face-search-load"
CONTENT_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"

_START_OF_IMAGE = b"\xff\xd8"
_COMMENT = b"\xff\xfe"


@dataclass(frozen=True, slots=True)
class SearchTask:
    """One kind of search; empty `collections` mean all photos."""

    name: str
    top_k: int
    collections: tuple[str, ...]

    def body(self, jpeg: bytes) -> bytes:
        """The multipart body."""
        fields = [("top_k", str(self.top_k)), *(("collection_id", name) for name in self.collections)]
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields
        ]
        file = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="selfie.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        return b"".join(["".join(parts).encode(), file.encode(), jpeg, f"\r\n--{_BOUNDARY}--\r\n".encode()])


def search_tasks(collections: Sequence[str], top_ks: Sequence[int] = (10, 50)) -> list[SearchTask]:
    """Each `top_k` in each single collection, in all of them by name, and in all photos."""
    scopes: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in collections]
    if len(collections) > 1:
        scopes.append(("+".join(collections), tuple(collections)))
    scopes.append(("whole base", ()))
    return [
        SearchTask(f"top_k {top_k}, {scope}", top_k, names)
        for top_k, (scope, names) in itertools.product(top_ks, scopes)
    ]


def never_the_same(jpegs: Sequence[bytes]) -> Iterator[bytes]:
    """The JPEGs repeatedly, each with a number in a comment, so that no two requests have the same bytes."""
    for number, jpeg in enumerate(itertools.cycle(jpegs)):
        text = f"{number:012d}".encode()
        comment = _COMMENT + (len(text) + 2).to_bytes(2, "big") + text
        yield b"".join([_START_OF_IMAGE, comment, jpeg.removeprefix(_START_OF_IMAGE)])
