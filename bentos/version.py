"""The version that `/ping` and OpenAPI report."""

from __future__ import annotations

VERSION = "0.1.0"
