"""Reads the number of photos and the result of the last audit at an interval, and sets the metrics from them."""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import State

from bentos.composition import Dependencies
from bentos.domain.errors import FaceSearchError
from bentos.observability.overview_metrics import set_audit, set_photos
from bentos.serving.readiness import Readiness
from bentos.stores.base import MetadataStore

logger = logging.getLogger(__name__)


async def report_overview(service: str, state: State) -> None:
    """Set the metrics every OVERVIEW_INTERVAL_S, until cancelled. Does nothing while the metadata store is away.

    A failure leaves the last values and is logged once; it never ends the task.
    """
    dependencies: Dependencies = state.dependencies
    readiness: Readiness = state.readiness
    failed = False
    while True:
        if readiness.states()["postgrest"] is None:
            try:
                await _report(service, dependencies.metadata)
                failed = False
            except Exception as error:  # noqa: BLE001 - whatever was raised, the next attempt follows
                reason = error.message if isinstance(error, FaceSearchError) else type(error).__name__
                if not failed:
                    logger.warning("the metrics of photos and audit are not up to date: %s", reason)
                failed = True
        await asyncio.sleep(dependencies.settings.overview_interval_s)


async def _report(service: str, metadata: MetadataStore) -> None:
    overview = await metadata.overview()
    set_photos(service, {str(status): number for status, number in overview.photos.items()})
    if overview.audit is not None:
        set_audit(service, overview.audit.finished_at, overview.audit.differences)
