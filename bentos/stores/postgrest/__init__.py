"""The metadata store in PostgreSQL, through PostgREST."""
