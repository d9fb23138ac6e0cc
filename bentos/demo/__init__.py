"""The product on one machine: what `make demo` and `make serve` run."""
