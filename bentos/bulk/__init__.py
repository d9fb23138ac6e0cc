"""Indexes many photos at once: a folder, a part of the bucket, or a list of photo ids."""
