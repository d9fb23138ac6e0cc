"""Compares the three stores and repairs differences that a crash, an outage or a manual change has left."""
