"""The plain service that a user would write instead: FastAPI, InsightFace's `FaceAnalysis` and pymilvus.

Run with `uvicorn bench.baseline:app --workers 2`; `side_by_side.py` compares image-search with it. It uses the same
conditioned models, one thread of ONNX Runtime per worker, and the asynchronous client of pymilvus.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import cv2
import numpy as np
import onnxruntime
from fastapi import FastAPI, File, Form, HTTPException, UploadFile
from insightface.app import FaceAnalysis
from pymilvus import AsyncMilvusClient

_FACE_PACK = os.environ["BASELINE_FACE_PACK"]
_COLLECTION = os.environ["BASELINE_COLLECTION"]
_DETECTION_SIZE = (320, 320)


def _face_analysis() -> Any:
    cv2.setNumThreads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    analysis = FaceAnalysis(
        _FACE_PACK,
        allowed_modules=["detection", "recognition"],
        providers=["CPUExecutionProvider"],
        sess_options=options,
    )
    analysis.prepare(ctx_id=0, det_thresh=0.5, det_size=_DETECTION_SIZE)
    return analysis


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.analysis = _face_analysis()
    app.state.milvus = AsyncMilvusClient(os.environ["MILVUS_URI"])
    yield
    await app.state.milvus.close()


app = FastAPI(lifespan=_lifespan)


@app.get("/readyz")
async def ready() -> str:
    """Answers once the models are loaded."""
    return "ok"


@app.post("/search/")
async def search(
    file: Annotated[UploadFile, File()],
    collection_id: Annotated[list[str] | None, Form()] = None,
    top_k: Annotated[int, Form(ge=1, le=1000)] = 10,
) -> dict[str, Any]:
    """The faces most similar to the only face of the image."""
    image = cv2.imdecode(np.frombuffer(await file.read(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise HTTPException(400, "not an image")
    faces = app.state.analysis.get(image)
    if len(faces) != 1:
        raise HTTPException(422, f"{len(faces)} faces")
    [hits] = await app.state.milvus.search(
        _COLLECTION,
        data=[faces[0].normed_embedding.tolist()],
        filter=f"collection_id in {collection_id}" if collection_id else "",
        limit=top_k,
        output_fields=["photo_id", "collection_id", "face_id", "bbox"],
        search_params={"metric_type": "IP", "params": {"ef": 128}},
    )
    results = [
        {**hit["entity"], "bbox": list(hit["entity"]["bbox"]), "score": hit["distance"]} for hit in hits
    ]
    return {"results": results, "bbox": faces[0].bbox.tolist()}
