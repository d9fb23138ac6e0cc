"""The metadata store over PostgREST."""
