"""The metadata store over a SQLite file."""
