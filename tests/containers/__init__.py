"""Tests of both services' images under restricted settings; `make container-test` builds the images and runs them."""
