"""Indexes photos through a running image-vectorizer."""

from __future__ import annotations

import itertools
from http import HTTPStatus

from bentos.bulk.items import Item, Outcome, WrongSetup, failed, outcome_before, outcome_of, outcome_of_row
from bentos.client import AsyncFaceSearch, Retries
from bentos.client.answers import Photo
from bentos.client.calls import Service
from bentos.client.connection import Connection
from bentos.client.errors import (
    ApiError,
    DependencyUnavailable,
    FaceSearchError,
    ImageTooLarge,
    InvalidApiKey,
    MethodNotAllowed,
    NoAnswer,
    NoFacesDetected,
    Overloaded,
    PhotoNotFound,
    RouteNotFound,
    TimedOut,
    UnexpectedAnswer,
)

_PAGE = 500
_SERVICE: Service = "image-vectorizer"
_GATEWAY_ERRORS = range(502, 505)
_TIMED_OUT_TRIES = 3


class RemoteIndexer:
    """See `Indexer`."""

    def __init__(self, connection: Connection, *, collection_id: str | None) -> None:
        self._collection_id = collection_id
        # One attempt for each call: `Patience` repeats the calls, and says what it waits for.
        self._client = AsyncFaceSearch(connection.url, connection.api_key, retries=Retries(attempts=1))

    async def open(self) -> None:
        """See `Indexer`."""
        try:
            await self._client.ping(_SERVICE)
        except FaceSearchError as error:
            raise self._checked(error) from None

    async def close(self) -> None:
        """See `Indexer`."""
        await self._client.close()

    def waits_for(self, error: Exception) -> str | None:
        """See `Indexer`."""
        if isinstance(error, DependencyUnavailable):
            return str(error.details.get("dependency", _SERVICE))
        gateway = isinstance(error, UnexpectedAnswer) and error.status in _GATEWAY_ERRORS
        return _SERVICE if gateway or isinstance(error, Overloaded | NoAnswer | TimedOut) else None

    async def recorded(self) -> dict[str, Outcome | None]:
        """See `Indexer`."""
        found: dict[str, Outcome | None] = {}
        try:
            page = await self._client.embed_status(collection_id=self._collection_id, limit=_PAGE)
            while page.items:
                found |= {row.photo_id: outcome_of_row(row) for row in page.items}
                page = await self._client.embed_status(
                    collection_id=self._collection_id, limit=_PAGE, offset=len(found)
                )
        except FaceSearchError as error:
            raise self._checked(error) from None
        return found

    async def look(self, photo_id: str) -> Outcome | None:
        """See `Indexer`."""
        try:
            photo = await self._client.photo_status(photo_id)
        except PhotoNotFound:
            return None
        except FaceSearchError as error:
            raise self._checked(error) from None
        return None if photo.status == "failed" else outcome_before(photo_id, photo.faces or ())

    async def index(self, item: Item, image: bytes | None) -> Outcome:
        """See `Indexer`. A photo that takes longer than REQUEST_TIMEOUT_S three times is an outcome."""
        try:
            photo = await self._indexed(item, image)
        except NoFacesDetected as error:
            return Outcome("no_faces", str(error.details.get("photo_id", item.photo_id)))
        except TimedOut as error:
            return failed(item, error.error, error.message)
        except ApiError as error:
            checked = self._checked(error)
            if checked is not error or self.waits_for(error) is not None:
                raise checked from None
            return failed(item, error.error, error.message, error.details)
        except UnexpectedAnswer as error:
            if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                return failed(
                    item, ImageTooLarge.code, "A proxy in front of the service refuses so many bytes."
                )
            raise self._checked(error) from None
        except FaceSearchError as error:
            raise self._checked(error) from None
        return outcome_of(photo.photo_id, photo.faces, above_the_limit=photo.faces_left_out)

    async def _indexed(self, item: Item, image: bytes | None) -> Photo:
        for tries in itertools.count(1):
            try:
                return await self._client.detect_faces(
                    image, photo_id=item.photo_id, collection_id=self._collection_id, index=True
                )
            except TimedOut:
                if tries == _TIMED_OUT_TRIES:
                    raise
        raise AssertionError("unreachable")

    def _checked(self, error: FaceSearchError) -> Exception:
        """The error itself; `WrongSetup` instead when no photo could be indexed."""
        if isinstance(error, InvalidApiKey | RouteNotFound | MethodNotAllowed):
            return WrongSetup(f"The service refuses the work: {error.message}")
        if isinstance(error, UnexpectedAnswer) and self.waits_for(error) is None:
            return WrongSetup(error.message)
        return error
