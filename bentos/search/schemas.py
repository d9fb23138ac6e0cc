"""The response of `/search/`."""

from __future__ import annotations

from pydantic import BaseModel, Field

Box = list[float]


class FoundPhoto(BaseModel):
    """A photo that was found, with its most similar face."""

    photo_id: str
    collection_id: str | None
    face_id: str
    bbox: Box = Field(description="[x1, y1, x2, y2], pixels of the upright photo.")
    score: float = Field(description="Cosine of the two embeddings, -1 to 1.")
    url: str | None = Field(description="An expiring link to the image, with include_url.")


class QueryFace(BaseModel):
    """The face that was searched for."""

    bbox: Box
    score: float = Field(description="Confidence of the detector, 0 to 1.")


class SearchAnswer(BaseModel):
    """One page of the photos found, most similar first."""

    results: list[FoundPhoto]
    count: int
    page: int
    top_k: int
    has_more: bool
    score_threshold: float
    query: QueryFace
    took_ms: float
