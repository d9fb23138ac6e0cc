"""Runs the product on one machine, for `make demo`, `make demo-real` and `make serve`."""
