"""What runs as the first process of a container: starts BentoML, watches it, ends it without losing a request."""
