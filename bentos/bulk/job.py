"""One bulk run: its source, its indexer and its report, put together."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bentos.bulk import sources
from bentos.bulk.files import FileDigests
from bentos.bulk.items import Indexer, Item, WrongSetup
from bentos.bulk.report import Report
from bentos.bulk.summary import Summary
from bentos.bulk.work import BulkWork
from bentos.config.settings import Settings
from bentos.jobs.patience import Patience, Say, a_store
from bentos.jobs.signals import stop_on_signals


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    `source`: a folder, s3://BUCKET/PREFIX, a file with photo ids, or `-`. `piped`: what the standard input holds, for
    `-`. `in_flight`: photos in progress at once.
    `retry_failed`: only the photos that failed, by the report of an earlier run.
    """

    source: str
    collection_id: str | None
    in_flight: int
    piped: bytes | None = None
    report: Path | None = None
    retry_failed: bool = False
    again: bool = False


async def run(plan: Plan, settings: Settings, indexer: Indexer, say: Say) -> Summary:
    """Index the photos of the plan, and print the summary.

    Raises `WrongSetup`; `Stopped`, once the photos in progress are finished; what the indexer raises.
    """
    patience = Patience(say, waits_for=lambda error: indexer.waits_for(error) or a_store(error))
    stop_on_signals(patience, say)
    async with AsyncExitStack() as opened:
        report = Report(plan.report, has_to_exist=plan.retry_failed)
        opened.callback(report.close)
        opened.push_async_callback(indexer.close)
        items = await patience.read(lambda: sources.items_of(plan.source, settings, piped=plan.piped))
        if plan.retry_failed:
            items = _failed_before(items, report, plan.source)
        say(f"{len(items)} photos in {plan.source}")
        await patience.read(indexer.open)
        work = BulkWork(
            indexer,
            collection_id=plan.collection_id,
            report=report,
            patience=patience,
            in_flight=plan.in_flight,
            max_image_bytes=settings.vectorize_max_image_bytes,
            digests=FileDigests(Path(plan.source), say) if sources.is_folder(plan.source) else None,
            again=plan.again,
        )
        begun = time.monotonic()
        try:
            await work.run(items)
        finally:
            for line in work.summary.lines(time.monotonic() - begun):
                say(line)
        return work.summary


def _failed_before(items: list[Item], report: Report, source: str) -> list[Item]:
    """Raises `WrongSetup` when the report has failures and all of them are elsewhere: nothing would be done."""
    left = sources.only(items, report.failures)
    if report.failures and not left:
        example = report.failures[0]
        raise WrongSetup(
            f"None of the {len(report.failures)} photos that failed by the report is in {source}; "
            f"name it as before: the report has {example}."
        )
    return left
