"""Compares config map and secret with the settings: no unknown or missing name, the same defaults."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bentos.config.settings import Settings
from bentos.config.settings_table import shown
from tests.unit.deploy.manifests import environment, the

WITHOUT_DEFAULT = {"MILVUS_URI", "POSTGREST_URL", "S3_BUCKET"}

SECRETS = {n.upper() for n, field in Settings.model_fields.items() if isinstance(field.default, SecretStr)}
FILES = {f"{name}_FILE" for name in SECRETS}
"""Settings for secrets that are mounted as files; these manifests pass secrets in the environment instead."""
OPEN = {n.upper() for n in Settings.model_fields} - SECRETS - FILES


def config() -> dict[str, str]:
    return the("ConfigMap")["data"]


def secret() -> dict[str, str]:
    return the("Secret")["stringData"]


def test_every_key_of_the_config_map_is_a_setting() -> None:
    assert config().keys() - OPEN == set()


def test_every_setting_except_secrets_is_in_the_config_map() -> None:
    assert OPEN - config().keys() == set()


def test_the_secret_contains_exactly_the_secret_settings() -> None:
    assert secret().keys() == SECRETS


@pytest.mark.parametrize("name", sorted(OPEN - WITHOUT_DEFAULT))
def test_the_config_map_has_the_default_of(name: str) -> None:
    assert config()[name] == shown(Settings.model_fields[name.lower()].default)


def test_image_search_does_not_get_the_postgrest_token() -> None:
    assert SECRETS - environment("image-search").keys() == {"POSTGREST_TOKEN"}
    assert environment("image-vectorizer").keys() >= SECRETS
