"""`make monitoring-check`: the board and the alerts of deploy/monitoring under load, as a table and a picture.

Starts the real stores, both services and Prometheus. Writes the table of all expressions with their values to
reports/monitoring.md and the picture of the board to reports/dashboard.png.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.monitoring.board import draw, table
from tests.monitoring.programs import NotAvailable
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.scenario import observe
from tests.system.real.stack import running_stack

REPORTS = Path("reports")


def main() -> int:
    """Run the scenario. Returns 0 when no expression was empty and the alerts fired."""
    parser = argparse.ArgumentParser(prog="python -m tests.monitoring", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long the load lasts before the outage")
    options = parser.parse_args()
    REPORTS.mkdir(exist_ok=True)

    def picture(prometheus: Prometheus) -> None:
        draw(prometheus, REPORTS / "dashboard.png", seconds=options.seconds + 30)

    try:
        with (
            tempfile.TemporaryDirectory(prefix="monitoring-") as folder,
            running_stack(Path(folder)) as stack,
        ):
            seen = observe(stack, seconds=options.seconds, before_the_outage=picture)
    except NotAvailable as reason:
        print(reason)
        return 2
    (REPORTS / "monitoring.md").write_text(table(seen))
    print(table(seen))
    for name, labels in sorted(seen.alerts.items()):
        print(f"fired: {name} {labels}")
    for title in seen.empty():
        print(f"EMPTY: {title}")
    return 1 if seen.empty() else 0


if __name__ == "__main__":
    sys.exit(main())
