"""Counts what became of the photos, and prints it as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bentos.bulk.items import Outcome


class Summary:
    """The counts of one run."""

    def __init__(self) -> None:
        self.photos: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.faces = 0
        self.failed = 0
        self.worked_on = 0

    def add(self, outcome: Outcome) -> None:
        """Count one photo."""
        self.photos[_name(outcome)] += 1
        self.failed += outcome.status == "failed"
        if not outcome.before:
            self.worked_on += 1
            self.faces += outcome.indexed
            self.left_out.update(outcome.left_out)

    def lines(self, seconds: float) -> Iterator[str]:
        """The table by reason, then the rates of the photos that this run worked on."""
        yield f"{'photos':>9}  outcome"
        for name, count in sorted(
            self.photos.items(), key=lambda each: (each[0].startswith("failed"), each[0])
        ):
            yield f"{count:>9}  {name}"
        reasons = "".join(f", {count} left out: {reason}" for reason, count in sorted(self.left_out.items()))
        yield f"{self.faces:>9}  faces indexed{reasons}"
        seconds = max(seconds, 1e-3)
        yield (
            f"{self.worked_on} photos in {seconds:.0f} s: {self.worked_on / seconds:.1f} photos/s, "
            f"{self.faces / seconds:.1f} faces/s"
        )


def _name(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return f"failed: {outcome.error}"
    return f"{outcome.status} before" if outcome.before else outcome.status
