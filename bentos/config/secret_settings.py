"""The secret settings: each is read from the environment, or from the file that `<NAME>_FILE` names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.config.secret_rules import split_keys, usable, usable_api_keys
from bentos.config.secret_source import SecretSource

SecretName = Literal["api_key", "milvus_token", "postgrest_token", "s3_access_key_id", "s3_secret_access_key"]
SECRET_NAMES: tuple[SecretName, ...] = get_args(SecretName)


def _from_a_file(name: str) -> str:
    return Field("", description=f"Instead of {name}: a file that contains it, read again when it changes.")


class SecretSettings(BaseSettings):
    """The secret settings. Read them with `secrets`: the fields contain the environment only, not the files."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=False, hide_input_in_errors=True
    )

    api_key: SecretStr = Field(SecretStr(""), description="Keys of the API, separated by commas; required.")
    api_key_file: str = _from_a_file("API_KEY")
    milvus_token: SecretStr = Field(
        SecretStr(""), description="Credentials of Milvus: `user:password` or an API key; empty: none."
    )
    milvus_token_file: str = _from_a_file("MILVUS_TOKEN")
    postgrest_token: SecretStr = Field(SecretStr(""), description="JWT of the role `face_search`.")
    postgrest_token_file: str = _from_a_file("POSTGREST_TOKEN")
    s3_access_key_id: SecretStr = Field(
        SecretStr(""), description="Key of the object store; required with a bucket."
    )
    s3_access_key_id_file: str = _from_a_file("S3_ACCESS_KEY_ID")
    s3_secret_access_key: SecretStr = Field(
        SecretStr(""), description="The secret of that key; required with a bucket."
    )
    s3_secret_access_key_file: str = _from_a_file("S3_SECRET_ACCESS_KEY")

    @field_validator(*SECRET_NAMES)
    @classmethod
    def _stripped(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        return SecretStr(usable(str(info.field_name).upper(), value.get_secret_value()))

    @model_validator(mode="after")
    def _one_place_each(self) -> Self:
        for name in SECRET_NAMES:
            if getattr(self, name).get_secret_value() and getattr(self, f"{name}_file"):
                raise ValueError(f"{name.upper()} and {name.upper()}_FILE are both set; set one of them")
        return self

    @cached_property
    def secrets(self) -> Mapping[SecretName, SecretSource]:
        """Every secret, each read again when its file changes."""
        return {
            name: SecretSource(
                name.upper(),
                getattr(self, name).get_secret_value(),
                file=getattr(self, f"{name}_file"),
                rule=usable_api_keys if name == "api_key" else usable,
            )
            for name in SECRET_NAMES
        }

    def api_keys(self) -> tuple[str, ...]:
        """The present keys of the API."""
        return split_keys(self.secrets["api_key"].value())
