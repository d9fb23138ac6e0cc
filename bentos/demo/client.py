"""A client of the HTTP API, for the demo and the tests."""

from __future__ import annotations

from typing import Any

import httpx

from bentos.domain.faces import BoundingBox


class FaceSearchClient:
    """One method per endpoint. Raises `httpx.HTTPStatusError`, with the service's message, for every error response."""

    def __init__(self, vectorizer_url: str, search_url: str, api_key: str) -> None:
        headers = {"X-Api-Key": api_key}
        self._vectorizer = httpx.Client(base_url=vectorizer_url, headers=headers, timeout=60)
        self._search = httpx.Client(base_url=search_url, headers=headers, timeout=60)

    def close(self) -> None:
        """Close every connection."""
        self._vectorizer.close()
        self._search.close()

    def detect_faces(self, image: bytes, *, collection_id: str | None = None) -> dict[str, Any]:
        """Store a photo and find its faces."""
        data = {"collection_id": collection_id} if collection_id else {}
        return _answer(self._vectorizer.post("/detect_faces/", files={"file": image}, data=data))

    def add_face(self, face_id: str) -> dict[str, Any]:
        """Make a face searchable."""
        return _answer(self._vectorizer.put("/add_face/", data={"face_id": face_id}))

    def embed_status(self) -> dict[str, Any]:
        """List the photos and their status."""
        return _answer(self._vectorizer.get("/embed_status/"))

    def remove(self, photo_id: str, *, purge: bool = False) -> dict[str, Any]:
        """Remove the faces of a photo."""
        return _answer(self._vectorizer.delete(f"/remove/{photo_id}", params={"purge": purge}))

    def remove_all(self) -> dict[str, Any]:
        """Remove every face."""
        return _answer(self._vectorizer.delete("/remove_all/"))

    def search(self, selfie: bytes, **fields: Any) -> dict[str, Any]:
        """The photos that show the person of the selfie."""
        return _answer(self._search.post("/search/", files={"file": selfie}, data=fields))

    def ping(self) -> dict[str, Any]:
        """Whether the service answers."""
        return _answer(self._search.get("/ping"))


def box_of(face: dict[str, Any]) -> BoundingBox:
    """The bounding box of a face in a response."""
    return BoundingBox(*face["bbox"])


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        message = f"{response.status_code}: {response.text}"
        raise httpx.HTTPStatusError(message, request=response.request, response=response)
    answer: dict[str, Any] = response.json()
    return answer
