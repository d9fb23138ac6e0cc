"""Tests that `grep CHANGE` finds every value that has to be set, and that the services refuse unset ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bentos.config.loading import load_settings
from bentos.config.settings import Role, SettingsError
from tests.unit.deploy.manifests import FOLDER, SERVICES, environment, the

DEPLOY = FOLDER.parent
FILES = sorted(
    [
        *FOLDER.glob("*.yaml"),
        *(DEPLOY / "gateway").rglob("*.yaml"),
        *(DEPLOY / "gpu").rglob("*.yaml"),
        *DEPLOY.glob("monitoring/*.yaml"),
        *DEPLOY.glob("helm/*/values.yaml"),
    ]
)
FILLED_IN = {
    "API_KEY": "0123456789abcdef-key-of-the-tests",
    "MILVUS_URI": "http://milvus.milvus.svc.cluster.local:19530",
    "POSTGREST_URL": "http://postgrest.postgrest.svc.cluster.local:3000",
    "S3_BUCKET": "face-search",
    "S3_ACCESS_KEY_ID": "0123456789abcdef",
    "S3_SECRET_ACCESS_KEY": "0123456789abcdef0123456789abcdef",
}
SAMPLE = re.compile(r"change-me|example\.com")
MARKED = re.compile(r"^\s*(- )?(?P<name>[\w./-]+): (?P<value>.+?)\s+# CHANGE(:| if )")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def must_be_set(path: Path) -> set[str]:
    """The names of the values that are marked "CHANGE:", without those marked "CHANGE if"."""
    found = (MARKED.match(line) for line in lines(path))
    return {match["name"] for match in found if match and match[4] == ":"}


def set_environment(monkeypatch: pytest.MonkeyPatch, service: Role, filled_in: dict[str, str]) -> None:
    for name, value in {**environment(service), **filled_in}.items():
        monkeypatch.setenv(name, value)


def test_every_sample_value_is_on_a_line_with_change() -> None:
    for path in FILES:
        for line in lines(path):
            if SAMPLE.search(line.partition("#")[0]):
                assert MARKED.match(line), f"{path.name}: {line}"


def test_every_change_comment_is_on_the_line_of_its_value() -> None:
    for path in FILES:
        for line in lines(path):
            assert "CHANGE" not in line or MARKED.match(line), f"{path.name}: {line}"


def test_values_that_have_to_be_set_are_marked_in_config_map_and_secret() -> None:
    marked = must_be_set(FOLDER / "20-config-map.yaml") | must_be_set(FOLDER / "30-secret.yaml")
    assert marked == FILLED_IN.keys()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("left_out", FILLED_IN)
def test_a_service_refuses_each_remaining_placeholder(
    monkeypatch: pytest.MonkeyPatch, service: Role, left_out: str
) -> None:
    set_environment(monkeypatch, service, {n: v for n, v in FILLED_IN.items() if n != left_out})
    with pytest.raises(SettingsError, match=f"^{left_out} is still a placeholder; "):
        load_settings(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_accepts_the_settings_once_they_are_filled_in(
    monkeypatch: pytest.MonkeyPatch, service: Role
) -> None:
    set_environment(monkeypatch, service, FILLED_IN)
    load_settings(service)


def test_images_and_host_are_marked_too() -> None:
    assert must_be_set(FOLDER / "60-deployment.yaml") == {"image"}
    assert must_be_set(FOLDER / "90-ingress.yaml") == {"ingressClassName", "hosts", "host"}


def test_the_filled_in_values_are_not_the_placeholders() -> None:
    given = {**the("ConfigMap")["data"], **the("Secret")["stringData"]}
    assert all(given[name] != value for name, value in FILLED_IN.items())
