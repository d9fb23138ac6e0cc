"""ASGI middleware around both services, one file for each concern; `stack.py` puts them together."""
