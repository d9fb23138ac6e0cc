"""Stores of vectors, metadata and images, behind one Protocol each."""
