"""A FaceFinder that runs the pipeline in a thread of this process, for tools and tests."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bentos.config.settings import Settings
from bentos.domain.deadline import deadline_within
from bentos.domain.errors import DependencyUnavailable, FaceSearchError
from bentos.domain.faces import FacesInImage
from bentos.pipeline.batched.batched_models import BatchedModels
from bentos.pipeline.batched.fixed_session import FixedSessions
from bentos.pipeline.batched.opening import Sizes, networks_of
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.face_pack import FacePack
from bentos.pipeline.methods import Method
from bentos.pipeline.pack_info import PackInfo
from bentos.pipeline.pack_models import PackInputs, PackModels, SingleModels
from bentos.pipeline.providers import ProviderNotInUse
from bentos.pipeline.turned import CANDIDATE_THRESHOLD
from bentos.pipeline.wanted import Dropped
from bentos.runner.codec import Request, asked_of
from bentos.runner.finder import FinderByMethod


def pack_of(folder: Path, settings: Settings) -> FacePack:
    """The face pack in `folder`, configured by the settings. Exits the process when a provider is not in use."""
    info = PackInfo.read(folder)
    try:
        models = _models_of(folder, settings)
    except ProviderNotInUse as error:
        raise SystemExit(f"ONNX_PROVIDERS: {error}") from None
    return FacePack(
        info,
        models,
        detection_size=settings.detection_size,
        detection_threshold=settings.detection_threshold,
        min_face_size=settings.min_face_size,
        landmark_looks=settings.landmark_looks,
        confirmation_threshold=settings.confirmation_threshold,
    )


def _lowest_score(settings: Settings) -> float:
    return min(CANDIDATE_THRESHOLD, settings.detection_threshold)


def _models_of(folder: Path, settings: Settings) -> PackModels:
    if not settings.fixed_shapes:
        return SingleModels(
            folder,
            threshold=_lowest_score(settings),
            size=settings.detection_size,
            providers=settings.providers,
            threads=settings.runner_threads,
        )
    inputs = PackInputs.of(folder, threshold=_lowest_score(settings), size=settings.detection_size)
    sizes = Sizes(settings.detection_size, settings.selfie_detection_size, settings.detection_large_size)
    sessions = FixedSessions(settings.providers, threads=settings.runner_threads)
    return BatchedModels(
        networks_of(folder, inputs, sessions, sizes=sizes, most_images=settings.batch_size),
        inputs,
        threshold=_lowest_score(settings),
        sizes=sizes,
        confirm=sessions.confirm,
    )


def extraction_of(folder: Path, settings: Settings) -> Extraction:
    """The pipeline over the face pack in `folder`, configured by the settings."""
    return Extraction(
        pack_of(folder, settings),
        max_pixels=settings.max_image_pixels,
        max_faces=settings.max_faces,
        max_jpeg_pixels=settings.max_jpeg_pixels,
        selfie_detection_size=settings.selfie_detection_size,
        # With batches every image has the same input size, so that they run together.
        quick_detection_size=settings.selfie_quick_size if settings.batch_size == 1 else 0,
        large_detection_size=settings.detection_large_size,
        min_embedded_size=settings.index_min_face_size,
    )


class LocalFaceFinder(FinderByMethod):
    """See `FaceFinder`."""

    def __init__(self, extraction: Extraction) -> None:
        self._extraction = extraction
        self._thread = ThreadPoolExecutor(max_workers=1)

    @property
    def is_full(self) -> bool:
        """See `FaceFinder`."""
        return False

    async def check(self) -> None:
        """See `FaceFinder`. Never fails, because no other process is involved."""

    async def close(self) -> None:
        """See `FaceFinder`."""
        self._thread.shutdown()

    async def _ask(self, method: Method, request: Request) -> FacesInImage:
        deadline = deadline_within(math.inf)
        [found] = await asyncio.get_running_loop().run_in_executor(
            self._thread,
            self._extraction.run,
            method,
            [asked_of(method, request)],
            lambda _number: time.monotonic() < deadline,
        )
        if isinstance(found, Dropped):
            raise DependencyUnavailable("runner", "it did not answer in time")
        if isinstance(found, FaceSearchError):
            raise found
        return found
