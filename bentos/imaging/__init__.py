"""Reads image files: headers, orientation, colour and decoding of JPEG, PNG and WebP."""
