"""What the scores of a face pack were measured to mean, for the page to explain them.

The figures are those of docs/face-packs.md. A pack that is not listed has none, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """Measured on labelled pairs of photos.

    `pairs`: how many, of one person and of two. `same_from`, `same_to`: mean score of one person, on each of two sets.
    `different`: mean score of two people. `highest_different`: the highest score of two people.
    `threshold`: no pair of two people reached it. `found_from`, `found_to`: share of the pairs of one person that did.
    """

    pairs: int
    same_from: float
    same_to: float
    different: float
    highest_different: float
    threshold: float
    found_from: float
    found_to: float


FIGURES: Mapping[str, ScoreFigures] = {
    "yunet-mbf": ScoreFigures(
        pairs=1080,
        same_from=0.64,
        same_to=0.75,
        different=0.02,
        highest_different=0.33,
        threshold=0.5,
        found_from=0.86,
        found_to=0.97,
    ),
}


def figures_of(face_pack: str) -> dict[str, float] | None:
    """The figures of a face pack as JSON has them, or None."""
    figures = FIGURES.get(face_pack)
    return asdict(figures) if figures else None
