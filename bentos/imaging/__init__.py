"""Image files to pixels: headers, orientation, colour and decoding of JPEG, PNG and WebP."""
