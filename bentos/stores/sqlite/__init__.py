"""The metadata store in a SQLite file."""
