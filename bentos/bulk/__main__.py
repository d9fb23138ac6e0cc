"""Indexes every face of many photos.

SOURCE is a folder, whose files are uploaded; s3://BUCKET/PREFIX, for images that are in the bucket of the settings
already and stay where they are; or a file with one photo id a line (- for the standard input). Works with the settings
of image-vectorizer and one process for each CPU, or with --url through a running image-vectorizer, whose key is in
FACE_SEARCH_API_KEY or FACE_SEARCH_API_KEY_FILE.

The command can be stopped and run again at any time: it passes over the photos that are done. A file that is no
readable image does not stop it; while a store does not answer, it waits.

Exit status: 0 done; 1 done, but some photos failed; 2 not done.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from bentos.bulk.items import Indexer, WrongSetup
from bentos.bulk.job import Plan, run
from bentos.bulk.local import LocalIndexer
from bentos.bulk.remote import RemoteIndexer
from bentos.bulk.summary import Summary
from bentos.client.environment import connection_from
from bentos.config.loading import load_settings, read_settings
from bentos.config.settings import Settings, SettingsError
from bentos.domain.errors import FaceSearchError
from bentos.domain.ids import ID_RULE, is_valid_id
from bentos.jobs.command import at_least_one
from bentos.jobs.face_pool import PoolBroken
from bentos.jobs.patience import Stopped
from bentos.jobs.progress import say
from bentos.pipeline.pack_store import checked_pack
from bentos.runner.cpus import available_cpus

_IN_FLIGHT = 12
"""Photos in progress for each process: one is worked on while others are read, and others wait for the stores."""
_IN_FLIGHT_REMOTE = 16
_FAILED = 1
_NOT_DONE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.retry_failed and options.report is None:
        parser.error("--retry-failed needs --report FILE, the report of the run before")
    try:
        # Before the event loop, whose signal handlers cannot end a read that waits for a terminal or a pipe.
        piped = sys.stdin.buffer.read() if options.source == "-" else None
        summary = asyncio.run(_run(options, piped))
    except (SettingsError, WrongSetup, PoolBroken, ValueError) as error:
        say(str(error))
    except FaceSearchError as error:
        say(error.message)
    except (Stopped, KeyboardInterrupt):
        say("stopped; nothing is lost, run it again to go on")
    except Exception:  # noqa: BLE001 - a bug; Python's own exit status 1 would say that the work is done
        traceback.print_exc()
    else:
        return _FAILED if summary.failed else 0
    return _NOT_DONE


async def _run(options: argparse.Namespace, piped: bytes | None) -> Summary:
    settings, indexer, in_flight = _through_service(options) if options.url else _here(options)
    plan = Plan(
        source=options.source,
        collection_id=options.collection,
        in_flight=options.in_flight or in_flight,
        piped=piped,
        report=options.report,
        retry_failed=options.retry_failed,
        again=options.again,
    )
    return await run(plan, settings, indexer, say)


def _here(options: argparse.Namespace) -> tuple[Settings, Indexer, int]:
    settings = load_settings("image-vectorizer")
    processes = options.processes or available_cpus()
    indexer = LocalIndexer(
        settings, checked_pack(settings), collection_id=options.collection, processes=processes
    )
    return settings, indexer, _IN_FLIGHT * processes


def _through_service(options: argparse.Namespace) -> tuple[Settings, Indexer, int]:
    connection = connection_from(url=options.url)
    return read_settings(), RemoteIndexer(connection, collection_id=options.collection), _IN_FLIGHT_REMOTE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bentos.bulk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a folder, s3://BUCKET/PREFIX, a file with photo ids, or -")
    add("--collection", type=_id, metavar="ID", help="the collection of the photos")
    add("--url", metavar="URL", help="work through the image-vectorizer at this address")
    add(
        "--processes",
        type=at_least_one,
        metavar="N",
        help="processes that find faces; default: one for each CPU",
    )
    add(
        "--in-flight",
        type=at_least_one,
        metavar="N",
        help="photos in progress at once; each is held in memory",
    )
    add("--report", type=Path, metavar="FILE", help="append one JSON line for each photo to this file")
    add("--retry-failed", action="store_true", help="only the photos that failed by the report")
    add("--again", action="store_true", help="also the photos that are done")
    return parser


def _id(text: str) -> str:
    if not is_valid_id(text):
        raise argparse.ArgumentTypeError(ID_RULE)
    return text


if __name__ == "__main__":
    sys.exit(main())
