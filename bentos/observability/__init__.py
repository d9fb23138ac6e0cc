"""Metrics, stage timings, log lines and request ids."""
