"""The process around a service: supervisor, readiness, draining, connection limits, scheduling."""
