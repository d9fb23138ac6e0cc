"""The image store over S3."""
