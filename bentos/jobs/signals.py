"""Lets the work in progress finish after Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal

from bentos.jobs.patience import Patience, Say


def stop_on_signals(patience: Patience, say: Say) -> None:
    """The first signal lets the photos in progress finish; a second one of the same kind ends the process at once."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        say("stopping: the photos that were begun are finished first ...")
        patience.stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
