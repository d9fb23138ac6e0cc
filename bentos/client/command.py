"""Finds, indexes, lists and removes photos of a face search service from the command line.

The address and the key are read from the environment: FACE_SEARCH_URL, and FACE_SEARCH_API_KEY or the file that
FACE_SEARCH_API_KEY_FILE names. FACE_SEARCH_SEARCH_URL is needed only where image-search has an address of its own.

Exit status: 0 done; 1 the service refused something; 2 wrong arguments, or no service.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from bentos.client import output
from bentos.client.answers import Box
from bentos.client.environment import connection_from
from bentos.client.errors import ApiError, FaceSearchError, InvalidApiKey, RouteNotFound
from bentos.client.sync import FaceSearch

_REFUSED = 1
_NO_SERVICE = 2
Run = Callable[[FaceSearch, argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unused := _unused(options):
        parser.error(f"{unused} has no effect here; leave it out")
    try:
        connection = connection_from()
    except ValueError as error:
        return _fail(str(error), _NO_SERVICE)
    with FaceSearch(connection.url, connection.api_key, search_url=connection.search_url) as client:
        try:
            run: Run = options.run
            return run(client, options)
        except ApiError as error:
            status = _NO_SERVICE if isinstance(error, InvalidApiKey | RouteNotFound) else _REFUSED
            return _fail(output.refusal(error), status)
        except BrokenPipeError:  # the reader of the output has ended, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _NO_SERVICE
        except (FaceSearchError, ValueError, OSError) as error:
            return _fail(str(error), _NO_SERVICE)
        except KeyboardInterrupt:
            return _fail("stopped", _NO_SERVICE)


def _unused(options: argparse.Namespace) -> str | None:
    """An option that the rest of the command line makes meaningless; ignored, more would be removed than was meant."""
    meaningless = {
        _remove: ("face_id", "purge") if getattr(options, "all", False) else ("collection",),
        _status: ("collection", "status", "limit", "offset") if getattr(options, "photo_id", None) else (),
    }
    for name in meaningless.get(options.run, ()):
        given = getattr(options, name)
        if given is not None and given is not False:
            return "--" + name.replace("_", "-")
    return None


def _index(client: FaceSearch, options: argparse.Namespace) -> int:
    """A file that is refused does not stop the others."""
    refused = 0
    for path in options.files:
        try:
            photo = client.detect_faces(path.read_bytes(), collection_id=options.collection, index=True)
        except (InvalidApiKey, RouteNotFound):
            raise
        except OSError as error:
            refused += 1
            reason = {"error": "unreadable_file", "message": str(error.strerror)}
            _show(options, {"file": str(path), **reason}, [f"{path}: {error.strerror}"])
        except ApiError as error:
            refused += 1
            _show(options, {"file": str(path), **_refused(error)}, [f"{path}: {output.refusal(error)}"])
        else:
            _show(options, {"file": str(path), **asdict(photo)}, [f"{path}: {output.indexed(photo)}"])
    return _REFUSED if refused else 0


def _search(client: FaceSearch, options: argparse.Namespace) -> int:
    page = client.search(
        None if options.image is None else options.image.read_bytes(),
        face_id=options.face_id,
        face="largest" if options.largest else None,
        bbox=options.bbox,
        collection_id=options.collection,
        top_k=options.top_k,
        score_threshold=options.threshold,
        page=options.page,
        include_url=options.links or None,
    )
    _show(options, asdict(page), output.matches(page))
    return 0


def _status(client: FaceSearch, options: argparse.Namespace) -> int:
    if options.photo_id is not None:
        photo = client.photo_status(options.photo_id)
        _show(options, asdict(photo), output.photo(photo))
        return 0
    page = client.embed_status(
        collection_id=options.collection, status=options.status, limit=options.limit, offset=options.offset
    )
    _show(options, asdict(page), output.listing(page))
    return 0


def _remove(client: FaceSearch, options: argparse.Namespace) -> int:
    if options.all:
        removed = client.remove_all(collection_id=options.collection)
        _show(options, asdict(removed), [f"{removed.faces_removed} faces of {removed.photos} photos removed"])
        return 0
    gone = client.remove(options.photo_id, face_id=options.face_id, purge=options.purge or None)
    _show(options, asdict(gone), [f"{gone.photo_id}: {gone.faces_removed} faces removed"])
    return 0


def _refused(error: ApiError) -> dict[str, Any]:
    return {
        "error": error.error,
        "message": error.message,
        "request_id": error.request_id,
        "details": error.details,
    }


def _show(options: argparse.Namespace, answer: dict[str, Any], lines: Iterable[str]) -> None:
    """Print the answer: one line of JSON, or lines for a person."""
    for line in [json.dumps(answer, ensure_ascii=False, default=str)] if options.json else lines:
        _print(line, sys.stdout)


def _fail(message: str, status: int) -> int:
    _print(message, sys.stderr)
    return status


def _print(line: str, file: TextIO) -> None:
    """A file name that is no UTF-8 has lone surrogates, which are printed as JSON's own escapes."""
    print(line.encode(errors="backslashreplace").decode(), file=file, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="face-search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Run, description: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(
            name, help=description, description=f"{description[0].upper()}{description[1:]}."
        )
        made.set_defaults(run=run)
        made.add_argument(
            "--json", action="store_true", help="print the answers of the API, one JSON line each"
        )
        return made

    index = verb("index", _index, "store photos and make every face in them searchable")
    index.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JPEG, PNG or WebP images")
    index.add_argument("--collection", metavar="ID", help="the collection of the photos")

    search = verb("search", _search, "find the photos that show a person")
    who = search.add_mutually_exclusive_group(required=True)
    who.add_argument("image", nargs="?", type=Path, metavar="SELFIE", help="an image of the person")
    who.add_argument("--face-id", metavar="ID", help="an indexed face of the person, without an image")
    which = search.add_mutually_exclusive_group()
    which.add_argument("--largest", action="store_true", help="of several faces, the largest")
    which.add_argument(
        "--bbox", type=_box, metavar="X1,Y1,X2,Y2", help="of several faces, the one in this box"
    )
    search.add_argument("--collection", action="append", metavar="ID", help="may be repeated; default: all")
    search.add_argument("--top-k", type=int, metavar="N", help="photos per page")
    search.add_argument("--threshold", type=float, metavar="SCORE", help="lowest score, -1 to 1")
    search.add_argument("--page", type=int, metavar="N", help="from 1")
    search.add_argument("--links", action="store_true", help="with a link to each image, which expires")

    status = verb("status", _status, "list the photos, or show one of them with its faces")
    status.add_argument("photo_id", nargs="?", metavar="PHOTO_ID")
    status.add_argument("--collection", metavar="ID")
    status.add_argument("--status", help="indexed, partial, detected, no_faces or failed")
    status.add_argument("--limit", type=int, metavar="N", help="photos per page")
    status.add_argument("--offset", type=int, metavar="N", help="how many photos to pass over")

    remove = verb("remove", _remove, "remove the faces of a photo, one face, or all faces")
    what = remove.add_mutually_exclusive_group(required=True)
    what.add_argument("photo_id", nargs="?", metavar="PHOTO_ID")
    what.add_argument("--all", action="store_true", help="every face of every photo, or of --collection")
    remove.add_argument("--face-id", metavar="ID", help="only this face of the photo")
    remove.add_argument("--purge", action="store_true", help="remove the image and its record too")
    remove.add_argument("--collection", metavar="ID", help="with --all: only the photos of this collection")
    return parser


def _box(text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(corner) for corner in text.strip("[] ").split(","))
    except ValueError:
        raise argparse.ArgumentTypeError("four numbers: x1,y1,x2,y2") from None
    return x1, y1, x2, y2


if __name__ == "__main__":
    sys.exit(main())
