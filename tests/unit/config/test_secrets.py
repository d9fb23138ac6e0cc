"""Tests of secrets: their rules, files instead of values, and redaction in messages."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from bentos.config import secret_source
from bentos.config.loading import load_settings, read_settings
from bentos.config.secret_rules import UnusableSecretError
from bentos.config.secret_settings import SECRET_NAMES
from bentos.config.secret_source import SecretSource
from bentos.config.settings import Settings, SettingsError
from bentos.domain.errors import DependencyUnavailable
from bentos.domain.redaction import redacted, remember_secret
from tests.unit.config.test_settings import GOOD

MARKER = "m4rk3r-of-this-very-test"
SECRETS = [name.upper() for name in SECRET_NAMES]
MALFORMED = {
    "a line break inside": f"{MARKER}\n{MARKER}",
    "a tab inside": f"{MARKER}\t{MARKER}",
    "a NUL": f"{MARKER}\x00",
    "an escape": f"\x1b{MARKER}",
    "no ASCII": f"{MARKER}é",
    "a space that is not ASCII": f"{MARKER}\u2028{MARKER}",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_source, "LOOK_EVERY_S", 0)


@pytest.fixture(params=["replaced", "rewritten"])
def change(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Both ways in which files change: as in a Kubernetes mount, and as by an editor."""

    def replaced(path: Path, text: str) -> None:
        new = path.with_name("new")
        new.write_text(text)
        new.replace(path)

    def rewritten(path: Path, text: str) -> None:
        path.write_text(text)
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))

    return replaced if request.param == "replaced" else rewritten


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("around", ["{}\n", "\n{}", "  {}\t", "{}\r\n"])
def test_white_space_around_a_secret_is_removed(
    monkeypatch: pytest.MonkeyPatch, name: str, around: str
) -> None:
    monkeypatch.setenv(name, around.format(MARKER))
    assert load_settings("face-search").secrets[name.lower()].value() == MARKER  # type: ignore[index]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_secret_that_a_header_cannot_contain_is_refused_without_quoting_the_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, malformed: str, where: str
) -> None:
    if where == "file":
        (tmp_path / "secret").write_text(malformed)
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    elif "\x00" in malformed:
        pytest.skip("an environment variable cannot contain NUL")
    else:
        monkeypatch.setenv(name, malformed)
    with pytest.raises(SettingsError) as refused:
        load_settings("face-search")
    assert str(refused.value).startswith(f"{name} holds ")
    assert MARKER not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("name", ["POSTGREST_TOKEN", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"])
def test_a_token_with_a_space_in_it_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f"Bearer {MARKER}")
    with pytest.raises(SettingsError, match=f"{name} holds a space"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("POSTGREST_URL", f"http://user:{MARKER}@postgrest:3000"),
        ("POSTGREST_URL", f"postgresql://user:{MARKER}@db/face_search"),
        ("POSTGREST_URL", f"http://postgrest:3000/?apikey={MARKER}"),
        ("POSTGREST_URL", f"http://postgrest:3000/\n{MARKER}"),
        ("MILVUS_URI", f"http://root:{MARKER}@milvus:19530"),
        ("MILVUS_URI", f"root:{MARKER}@milvus:19530"),
        ("S3_ENDPOINT_URL", f"https://id:{MARKER}@storage.example.net"),
        ("S3_ENDPOINT_URL", f"https://[{MARKER}@x"),
    ],
)
def test_an_address_with_credentials_in_it_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError) as refused:
        load_settings("face-search")
    assert str(refused.value).startswith(name)
    assert MARKER not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("MILVUS_URI", "./a@b?.db"),
        ("POSTGREST_URL", "sqlite:////tmp/a@b#c"),
        ("S3_ENDPOINT_URL", "file:///tmp/a@b c"),
    ],
)
def test_a_file_path_may_contain_characters_that_are_refused_in_a_url(
    monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    monkeypatch.setenv(name, path)
    assert getattr(read_settings(), name.lower()) == path


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(f"{MARKER}\n")
    monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    settings = load_settings("face-search")
    assert settings.secrets[name.lower()].value() == MARKER  # type: ignore[index]
    assert MARKER not in repr(settings)


@pytest.mark.parametrize("name", SECRETS)
def test_a_value_and_a_file_for_one_secret_are_refused_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, MARKER)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path))
    with pytest.raises(SettingsError, match=f"^{name} and {name}_FILE are both set"):
        read_settings()


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read \\(No such file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe" + MARKER.encode(), "is not text"),
        (b"x" * 70_000, "is larger than"),
    ],
)
def test_a_file_without_a_usable_secret_is_refused_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError, match=f"^{name}_FILE: the file {reason}"):
        load_settings("face-search")


def test_image_search_does_not_need_the_file_of_the_postgrest_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POSTGREST_TOKEN_FILE", str(tmp_path / "not-mounted-here"))
    load_settings("image-search")
    with pytest.raises(SettingsError, match="POSTGREST_TOKEN_FILE"):
        load_settings("image-vectorizer")


def test_a_build_needs_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("API_KEY")
    monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "not-there"))
    read_settings()


def test_a_file_that_changes_is_read_again(
    tmp_path: Path, at_once: None, change: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "secret"
    path.write_text("first-secret\n")
    source = SecretSource("POSTGREST_TOKEN", file=str(path))
    assert source.value() == "first-secret"
    change(path, "other-secret\n")
    assert source.value() == "other-secret"


def test_a_file_is_checked_at_most_once_per_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(secret_source.time, "monotonic", lambda: clock[0])
    path = tmp_path / "secret"
    path.write_text("first-secret")
    source = SecretSource("POSTGREST_TOKEN", file=str(path))
    assert source.value() == "first-secret"
    path.write_text("the-second-secret")
    clock[0] += 0.9
    assert source.value() == "first-secret"
    clock[0] += 0.2
    assert source.value() == "the-second-secret"


@pytest.mark.parametrize("broken", [None, "", "a b", f"{MARKER}\x1b[0m", "short"])
def test_while_a_file_is_unusable_the_previous_keys_are_kept_and_one_warning_is_logged(
    tmp_path: Path, at_once: None, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    path = tmp_path / "keys"
    path.write_text(GOOD["API_KEY"])
    settings = Settings(api_key_file=str(path), api_key="")  # type: ignore[arg-type]
    before = settings.api_keys()
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    with caplog.at_level(logging.WARNING):
        assert settings.api_keys() == settings.api_keys() == before == (GOOD["API_KEY"],)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "API_KEY" in caplog.text
    assert "kept" in caplog.text
    assert MARKER not in caplog.text
    path.write_text("another-key-of-sixteen, and-a-third-of-sixteen")
    assert settings.api_keys() == ("another-key-of-sixteen", "and-a-third-of-sixteen")


def test_a_source_without_any_previous_value_raises() -> None:
    with pytest.raises(UnusableSecretError, match="API_KEY_FILE"):
        SecretSource("API_KEY", file="/nowhere/at/all").value()


@pytest.mark.parametrize(
    "form",
    [
        lambda s: s,
        lambda s: quote(s, safe=""),
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
        lambda s: repr(f"Bearer {s}\n".encode()),
    ],
)
def test_every_form_of_a_secret_is_masked(form: Callable[[str], str]) -> None:
    secret = "s3cr3t/with+odd=parts&more"
    SecretSource("MILVUS_TOKEN", secret).value()
    text = f"before {form(secret)} behind"
    assert "***" in redacted(text)
    assert form(secret) not in redacted(text)
    assert redacted(text).startswith("before ")
    assert redacted(text).endswith(" behind")
    assert form(secret) not in DependencyUnavailable("milvus", text).message


def test_each_key_of_a_list_and_the_previous_value_are_masked() -> None:
    remember_secret("TEST", ["first-value-of-it"])
    remember_secret("TEST", ["second-value-of-it"])
    SecretSource("API_KEY", "one-key-of-the-list,another-of-the-list").value()
    text = "first-value-of-it second-value-of-it one-key-of-the-list another-of-the-list"
    assert redacted(text) == "*** *** *** ***"


def test_a_short_value_does_not_make_texts_unreadable() -> None:
    SecretSource("S3_ACCESS_KEY_ID", "id").value()
    assert redacted("the identity of a grid") == "the identity of a grid"
