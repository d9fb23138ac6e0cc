"""The real servers that the tests and `make demo-real` start, one module each."""
