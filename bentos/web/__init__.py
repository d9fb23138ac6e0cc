"""The page for searching by eye: static files at `/ui/`, served with `UI_ENABLED=true`."""
