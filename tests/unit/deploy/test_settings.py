"""Config map and secret against the settings: nothing unknown, nothing missing, nothing that starts by mistake."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bentos.config.settings import Role, Settings, SettingsError, load_settings
from bentos.config.settings_table import shown
from tests.unit.deploy.manifests import SERVICES, container_of, the

YOURS = {"MILVUS_URI", "POSTGREST_URL", "S3_BUCKET"}
"""Without a default that anybody could use."""

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


@pytest.mark.parametrize("name", sorted(OPEN - YOURS))
def test_the_config_map_has_the_default_of(name: str) -> None:
    assert config()[name] == shown(Settings.model_fields[name.lower()].default)


def environment(service: str) -> dict[str, str]:
    """What the pod's process sees."""
    container = container_of(service)
    assert container["envFrom"] == [{"configMapRef": {"name": the("ConfigMap")["metadata"]["name"]}}]
    given = dict(config())
    for variable in container["env"]:
        source = variable["valueFrom"]["secretKeyRef"]
        assert source["name"] == the("Secret")["metadata"]["name"]
        given[variable["name"]] = secret()[source["key"]]
    return given


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_refuses_to_start_with_the_placeholders(service: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="API_KEY"):
        load_settings(service)
    monkeypatch.setenv("API_KEY", "0123456789abcdef-key-of-the-tests")
    with pytest.raises(SettingsError, match="S3_ACCESS_KEY_ID"):
        load_settings(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_starts_when_the_placeholders_are_filled_in(
    service: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    for name in ("API_KEY", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "0123456789abcdef-key-of-the-tests")
    load_settings(service)


def test_image_search_does_not_get_the_token_of_the_metadata() -> None:
    assert SECRETS - environment("image-search").keys() == {"POSTGREST_TOKEN"}
    assert environment("image-vectorizer").keys() >= SECRETS
