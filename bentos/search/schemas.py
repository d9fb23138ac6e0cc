"""The response of `/search/`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

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
    score: float | None = Field(
        description="Confidence of the detector, 0 to 1; null when the search was by face_id."
    )


class SearchAnswer(BaseModel):
    """One page of the photos found, most similar first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {
                            "photo_id": "holiday-042.jpg",
                            "collection_id": "summer-2026",
                            "face_id": "0a4f9f6e-6f0e-5c1c-8a38-5b7d9f0f6f11",
                            "bbox": [463.0, 266.1, 576.2, 416.0],
                            "score": 0.8731,
                            "url": None,
                        }
                    ],
                    "count": 1,
                    "page": 1,
                    "top_k": 10,
                    "has_more": False,
                    "score_threshold": 0.5,
                    "query": {"bbox": [120.0, 90.5, 310.2, 352.0], "score": 0.95},
                    "took_ms": 18.2,
                }
            ]
        }
    )

    results: list[FoundPhoto]
    count: int
    page: int
    top_k: int
    has_more: bool
    score_threshold: float
    query: QueryFace
    took_ms: float
