"""Checks the settings before a service starts: a wrong one ends the process with one sentence, without a traceback."""

from __future__ import annotations

import sys

import bentoml

from bentos.config.loading import load_settings, read_settings
from bentos.config.settings import Role, Settings, SettingsError


def settings_or_exit(role: Role | None = None) -> Settings:
    """The settings, for use while a service's module is imported.

    Required settings are checked only when a service is being started: a build of the bento and of the OpenAPI
    document needs no key and no stores. Exits the process with one sentence.
    """
    try:
        return load_settings(role) if role and is_serving() else read_settings()
    except SettingsError as error:
        raise SystemExit(f"{error}") from None


def is_serving() -> bool:
    """Whether this process starts a service, and does not build a bento or print the OpenAPI document."""
    return starts_services() or bentoml.server_context.worker_index is not None


def starts_services() -> bool:
    """Whether this process is the one that starts the processes of the services."""
    return "serve" in sys.argv[1:2]
