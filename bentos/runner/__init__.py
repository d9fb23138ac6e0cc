"""From image bytes to faces: the only CPU- or GPU-bound part."""
