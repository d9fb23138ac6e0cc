"""Measures face packs on labelled photos: how often two people match, and how often one person does not."""
