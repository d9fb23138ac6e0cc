"""Starts the real store servers for the tests and `make demo-real`, one module for each server."""
