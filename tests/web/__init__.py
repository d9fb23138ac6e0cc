"""Tests of the page in a real Chromium, against the running service and real photos."""
