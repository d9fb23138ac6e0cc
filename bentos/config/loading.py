"""Reads the settings from the environment and checks what a service needs before it starts."""

from __future__ import annotations

from pydantic import ValidationError

from bentos.config.placeholders import problem_with
from bentos.config.secret_rules import UnusableSecretError
from bentos.config.secret_settings import SECRET_NAMES, SecretName
from bentos.config.settings import Role, Settings, SettingsError

_REQUIRED: dict[Role, tuple[str, ...]] = {
    "image-vectorizer": ("milvus_uri", "postgrest_url"),
    "image-search": ("milvus_uri",),
    "face-search": ("milvus_uri", "postgrest_url"),
}


_SECRETS: dict[Role, tuple[SecretName, ...]] = {
    "image-vectorizer": SECRET_NAMES,
    "image-search": tuple(name for name in SECRET_NAMES if name != "postgrest_token"),
    "face-search": SECRET_NAMES,
}


def read_settings() -> Settings:
    """Read the environment, without the checks for a running service. Raises `SettingsError`."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_one_sentence(error)) from None


def load_settings(role: Role) -> Settings:
    """Read the environment for one service, and the files of its secrets. Raises `SettingsError`."""
    settings = read_settings()
    try:
        present: dict[str, str] = {name: settings.secrets[name].value() for name in _SECRETS[role]}
    except UnusableSecretError as error:
        raise SettingsError(f"{error}.") from None
    if problem := problem_with(settings, present):
        raise SettingsError(problem)
    for name in _REQUIRED[role]:
        if not getattr(settings, name):
            description = Settings.model_fields[name].description
            raise SettingsError(f"{name.upper()} is not set: {description}")
    if not settings.images_in_folder:
        given = {name: value for name, value in present.items() if name.startswith("s3_")}
        given["s3_bucket"] = settings.s3_bucket
        for name, value in sorted(given.items()):
            if not value:
                raise SettingsError(
                    f"{name.upper()} is not set: the images are in {settings.s3_endpoint_url} "
                    "(S3_ENDPOINT_URL=file:///folder keeps them in a folder)."
                )
    return settings


def _one_sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    reason = str(first["msg"]).removeprefix("Value error, ")
    name = ".".join(str(part) for part in first["loc"]).upper()
    return f"{name}: {reason}." if name and name not in reason else f"{reason}."
