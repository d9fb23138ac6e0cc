"""What commands that run for hours share: processes that find faces, waiting for stores, progress, stopping."""
