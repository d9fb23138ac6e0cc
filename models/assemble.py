"""`python -m models.assemble`: prepares a face pack and saves it into the BentoML model store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.catalog import DEFAULT_PACK, PACKS, find_pack
from models.errors import PackError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 1 after one sentence on standard error (2 for wrong usage)."""
    wanted = _parser().parse_args(arguments)
    try:
        _assemble(wanted)
    except PackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: nothing was saved.", file=sys.stderr)
        return 130
    return 0


def _assemble(wanted: argparse.Namespace) -> None:
    pack = None if wanted.dir else find_pack(wanted.pack)
    # Imported after the name has been checked, because BentoML and ONNX Runtime take seconds to load.
    from models import assembly, own_folder  # noqa: PLC0415
    from models.published import opened  # noqa: PLC0415
    from models.report import report  # noqa: PLC0415

    choice = pack or own_folder.look_into(wanted.dir)
    folder = None if wanted.force else assembly.find(choice)
    if folder is not None:
        _say(f"{choice.name} is assembled already: nothing to do (--force assembles it again).")
    if folder is None or wanted.report:
        with opened(choice) as published:
            folder = folder or assembly.assemble(published, replace=wanted.force, say=_say)
            if wanted.report:
                print(report(published, folder))
    print(folder)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    known = ", ".join(pack.name for pack in PACKS)
    parser = argparse.ArgumentParser(
        prog="python -m models.assemble",
        description="Fetch a face pack, verify it, condition its graphs, compare them with the published ones, "
        "and save it into the BentoML model store ($BENTOML_HOME). Does nothing if the pack is there already.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--pack", default=DEFAULT_PACK, metavar="NAME", help=f"one of {known} (default: {DEFAULT_PACK})"
    )
    which.add_argument(
        "--dir",
        type=Path,
        metavar="PATH",
        help="a folder of your own: an SCRFD detector and a recogniser with a 112×112 input; its name is the pack's",
    )
    parser.add_argument("--report", action="store_true", help="measure the pack against the published files")
    parser.add_argument("--force", action="store_true", help="assemble it again even when it is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
