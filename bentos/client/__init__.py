"""A client of the face search API: `FaceSearch`, `AsyncFaceSearch`, and the command `face-search`. Needs httpx only."""

from bentos.client.asynchronous import AsyncFaceSearch
from bentos.client.retries import Retries
from bentos.client.sync import FaceSearch

__all__ = ["AsyncFaceSearch", "FaceSearch", "Retries"]
