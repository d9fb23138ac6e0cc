"""Tests the change to another face pack while both versions of both services run: `python -m tests.swap`."""
