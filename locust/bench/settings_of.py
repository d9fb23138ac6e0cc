"""The settings of a service that is started with another environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bentos.config.settings import Settings


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings of a service that is started with this environment."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        return Settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
