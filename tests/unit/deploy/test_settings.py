"""Config map and secret against the settings: nothing unknown, nothing missing, every default as in the code."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bentos.config.settings import Settings
from bentos.config.settings_table import shown
from tests.unit.deploy.manifests import environment, the

WITHOUT_DEFAULT = {"MILVUS_URI", "POSTGREST_URL", "S3_BUCKET"}

SECRETS = {n.upper() for n, field in Settings.model_fields.items() if isinstance(field.default, SecretStr)}
FILES = {f"{name}_FILE" for name in SECRETS}
"""For whoever mounts the secret as files instead of passing it in the environment, as these manifests do."""
OPEN = {n.upper() for n in Settings.model_fields} - SECRETS - FILES


def config() -> dict[str, str]:
    return the("ConfigMap")["data"]


def secret() -> dict[str, str]:
    return the("Secret")["stringData"]


def test_every_key_of_the_config_map_is_a_setting() -> None:
    assert config().keys() - OPEN == set()


def test_every_setting_that_is_no_secret_is_in_the_config_map() -> None:
    assert OPEN - config().keys() == set()


def test_every_secret_setting_is_in_the_secret_and_nothing_else() -> None:
    assert secret().keys() == SECRETS


@pytest.mark.parametrize("name", sorted(OPEN - WITHOUT_DEFAULT))
def test_the_config_map_has_the_default_of(name: str) -> None:
    assert config()[name] == shown(Settings.model_fields[name.lower()].default)


def test_image_search_does_not_get_the_token_of_the_metadata() -> None:
    assert SECRETS - environment("image-search").keys() == {"POSTGREST_TOKEN"}
    assert environment("image-vectorizer").keys() >= SECRETS
