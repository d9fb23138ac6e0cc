"""Pixels to faces: face pack, detector, landmarks, alignment, recogniser."""
