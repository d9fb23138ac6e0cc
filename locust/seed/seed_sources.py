"""Lists the photos to seed, from a folder, from a prefix of the bucket, or made from shipped faces."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import boto3

from bentos.config.settings import Settings
from seed.face_images import photo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MADE = "made"
_BUCKET = "bucket:"
_KINDS = {".jpg", ".jpeg", ".png", ".webp"}


class Item(Protocol):
    """One photo to index; can be pickled."""

    @property
    def collection_id(self) -> str:
        """The collection of the photo."""

    @property
    def photo_id(self) -> str | None:
        """The photo's id, or None if it is derived from the bytes."""

    def read(self, attempt: int) -> bytes | None:
        """The image; for a later attempt a different one, or None if there is no other."""


@dataclass(frozen=True, slots=True)
class MadeItem:
    """The made photo number `index` of this collection."""

    collection_id: str
    index: int

    @property
    def photo_id(self) -> str:
        """The same id in every run, so that an existing photo is found without making it."""
        return f"{self.collection_id}-{self.index:06d}"

    def read(self, attempt: int) -> bytes | None:
        """See `Item`."""
        return photo(self.index, seed=zlib.crc32(self.collection_id.encode()), attempt=attempt).jpeg


@dataclass(frozen=True, slots=True)
class FileItem:
    """A file of a folder."""

    collection_id: str
    path: Path
    photo_id: None = None

    def read(self, attempt: int) -> bytes | None:
        """See `Item`."""
        return None if attempt else self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class ObjectItem:
    """An object of the bucket that the settings name."""

    collection_id: str
    key: str
    photo_id: None = None

    def read(self, attempt: int) -> bytes | None:
        """See `Item`."""
        if attempt:
            return None
        settings = Settings()
        answer = _s3(settings).get_object(Bucket=settings.s3_bucket, Key=self.key)
        return answer["Body"].read()


def items_of(collection_id: str, source: str, count: int, settings: Settings) -> Sequence[Item]:
    """Up to `count` photos of `source`: `made`, `bucket:PREFIX` or a folder, searched recursively, in order.

    Raises `FileNotFoundError` when there is none.
    """
    if source == MADE:
        return [MadeItem(collection_id, index) for index in range(count)]
    found: Sequence[Item]
    if source.startswith(_BUCKET):
        keys = _keys(source.removeprefix(_BUCKET), settings, count)
        found = [ObjectItem(collection_id, key) for key in keys]
    else:
        paths = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in _KINDS)
        found = [FileItem(collection_id, path) for path in paths[:count]]
    if not found:
        raise FileNotFoundError(f"there is no JPEG, PNG or WebP file in {source}")
    return found


def _keys(prefix: str, settings: Settings, count: int) -> list[str]:
    keys: list[str] = []
    for page in (
        _s3(settings).get_paginator("list_objects_v2").paginate(Bucket=settings.s3_bucket, Prefix=prefix)
    ):
        keys += [
            entry["Key"] for entry in page.get("Contents", []) if Path(entry["Key"]).suffix.lower() in _KINDS
        ]
        if len(keys) >= count:
            break
    return keys[:count]


_clients: dict[str, S3Client] = {}


def _s3(settings: Settings) -> S3Client:
    """The S3 client of this process."""
    address = settings.s3_endpoint_url
    if address not in _clients:
        _clients[address] = boto3.client(
            "s3",
            endpoint_url=address,
            region_name=settings.s3_region,
            aws_access_key_id=settings.secrets["s3_access_key_id"].value(),
            aws_secret_access_key=settings.secrets["s3_secret_access_key"].value(),
        )
    return _clients[address]
