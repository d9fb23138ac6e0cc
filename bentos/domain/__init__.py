"""Faces, ids and errors: values and rules, without I/O and without a framework."""
