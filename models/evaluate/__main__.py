"""Measure face packs on labelled photos of your own people.

Compares photos of the same person (genuine pairs) and of different people (impostor pairs) with each pack, set up as
the services set it up: the settings come from the environment. Prints FMR and FNMR by threshold, FNMR at FMR 1e-2,
1e-3 and 1e-4 as far as the pairs carry it, and the threshold for the FMR of --fmr. Of an image with several faces the
largest counts. Nothing leaves this machine.

Exit status: 0 measured; 1 nothing could be measured, or DIR not written; 2 wrong usage; 130 stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bentos.config.loading import read_settings
from bentos.config.settings import Settings, SettingsError
from bentos.jobs.command import at_least_one
from bentos.pipeline.pack_info import BadPackInfo
from models.evaluate.comparisons import Comparisons, EvaluationError
from models.evaluate.json_report import write_json
from models.evaluate.measurement import Measurement, PackName, measure
from models.evaluate.pairs_file import read_pairs
from models.evaluate.people_folder import read_people
from models.evaluate.plots import can_plot, write_plots
from models.evaluate.text_report import report

_NOT_MEASURED = 1
_STOPPED = 130
_MAX_PAIRS = 1_000_000
_FMR = 1e-3


@dataclass(frozen=True, slots=True)
class _Pack:
    name: PackName
    folder: Path
    dimension: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (EvaluationError, SettingsError, BadPackInfo) as error:
        _say(f"error: {error}")
        return _NOT_MEASURED
    except KeyboardInterrupt:
        _say("stopped: nothing was measured.")
        return _STOPPED
    return 0


def _run(options: argparse.Namespace) -> None:
    settings = read_settings()
    comparisons = _comparisons(options)
    out = _writable(options.out) if options.out else None
    if out and not can_plot():
        _say(
            "matplotlib is not installed (it is in requirements/dev.txt): no PNG will be written, only JSON."
        )
    packs = [_find(name) for name in dict.fromkeys(options.pack or [settings.face_pack])]
    measurements = [_measured(pack, comparisons, settings, options) for pack in packs]
    _print(report(comparisons, measurements))
    if out:
        _write(out, comparisons, measurements)


def _write(out: Path, comparisons: Comparisons, measurements: Sequence[Measurement]) -> None:
    written = [out / "evaluation.json"]
    try:
        write_json(written[0], comparisons, measurements)
        written += write_plots(out, measurements) if can_plot() else []
    except OSError as error:
        raise EvaluationError(
            f"--out: {error.filename or out} cannot be written: {error.strerror}."
        ) from error
    _say(f"written: {', '.join(map(str, written))}")


def _comparisons(options: argparse.Namespace) -> Comparisons:
    if options.pairs:
        return read_pairs(options.pairs)
    return read_people(
        options.people,
        max_genuine=options.limit_genuine,
        max_impostors=options.limit_impostors,
        seed=options.seed,
    )


def _find(name: str) -> _Pack:
    """The pack of that name in the model store. Raises `SettingsError` or `BadPackInfo`."""
    # Imported after the labels are known to be usable: BentoML takes seconds to load.
    import bentoml  # noqa: PLC0415

    from bentos.pipeline.pack_info import PackInfo  # noqa: PLC0415
    from bentos.pipeline.pack_store import face_pack_folder  # noqa: PLC0415

    try:
        folder = face_pack_folder(name)
    except (bentoml.exceptions.BentoMLException, ValueError) as error:
        raise SettingsError(
            f"The face pack {name!r} is not in the model store; run `python -m models.assemble --pack {name}`."
        ) from error
    info = PackInfo.read(folder)
    return _Pack(PackName(info.name, info.fingerprint), folder, info.dimension)


def _measured(
    pack: _Pack, comparisons: Comparisons, settings: Settings, options: argparse.Namespace
) -> Measurement:
    # InsightFace takes seconds to load.
    from bentos.runner.local import extraction_of  # noqa: PLC0415
    from models.evaluate.acquisition import acquire  # noqa: PLC0415

    images = comparisons.images
    _say(f"{pack.name.name}: embedding {len(images)} images")
    with tqdm(desc=pack.name.name, total=len(images), unit="image", disable=None, leave=False) as bar:
        acquired = acquire(
            extraction_of(pack.folder, settings.model_copy(update={"index_min_face_size": 0})),
            images,
            dimension=pack.dimension,
            max_bytes=settings.vectorize_max_image_bytes,
            done=bar.update,
        )
    _say(f"{pack.name.name}: computing rates and intervals")
    return measure(
        pack.name,
        comparisons,
        acquired,
        product_threshold=settings.score_threshold,
        chosen_fmr=options.fmr,
        seed=options.seed,
    )


def _writable(folder: Path) -> Path:
    """The folder, made if need be. Asked before hours of work, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"--out: {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EvaluationError(f"--out: {folder} cannot be written to.")
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE.csv",
        help="columns path_a,path_b,same (1 or 0); paths are relative to the file",
    )
    what.add_argument(
        "--people", type=Path, metavar="FOLDER", help="one sub-folder with photos for each person"
    )
    add(
        "--pack",
        action="append",
        metavar="NAME",
        help="a pack of the model store; repeatable; default: FACE_PACK",
    )
    add("--out", type=Path, metavar="DIR", help="write evaluation.json, det.png and scores-PACK.png there")
    add("--fmr", type=_rate, default=_FMR, help=f"the FMR to recommend a threshold for; default {_FMR:g}")
    for kind in ("impostors", "genuine"):
        add(
            f"--limit-{kind}",
            type=at_least_one,
            default=_MAX_PAIRS,
            metavar="N",
            help=f"most {kind.removesuffix('s')} pairs of --people, drawn at random; default {_MAX_PAIRS}",
        )
    add("--seed", type=_seed, default=0, help="of the drawn pairs and of the bootstrap; default 0")
    return parser


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < 1:
        raise argparse.ArgumentTypeError("above 0 and below 1")
    return rate


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("at least 0")
    return number


def _print(text: str) -> None:
    """On standard output; what its encoding lacks, as in names of files that are not UTF-8, is escaped."""
    encoding = sys.stdout.encoding
    print(text.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201 - a program for people


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201 - a program for people


if __name__ == "__main__":
    sys.exit(main())
