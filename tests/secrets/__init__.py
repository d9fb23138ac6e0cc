"""Tests that no secret gets into responses, logs or exceptions, whatever a store does."""
