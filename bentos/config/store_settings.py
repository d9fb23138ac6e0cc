"""The settings of the three stores: Milvus, the metadata, the images."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bentos.config.secret_rules import without_credentials
from bentos.config.secret_settings import SecretSettings

_INSTEAD = {
    "milvus_uri": "MILVUS_TOKEN takes `user:password`",
    "postgrest_url": "POSTGREST_TOKEN takes a token",
    "s3_endpoint_url": "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY take the keys",
    "s3_public_endpoint_url": "links are signed with S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY",
}
"""Addresses, and the settings for the credentials that addresses must not contain."""


class StoreSettings(SecretSettings):
    """The settings of the stores, with their defaults."""

    # Milvus
    milvus_uri: str = Field(
        "", description="`http(s)://host:19530`, or a file `*.db` for Milvus Lite; required."
    )
    milvus_collection: str = Field(
        "faces", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="Alias of the collection."
    )
    milvus_index_type: Literal["HNSW", "IVF_FLAT", "FLAT", "AUTOINDEX"] = Field(
        "HNSW", description="Vector index of a new collection; an existing one keeps its own."
    )
    milvus_hnsw_m: int = Field(16, ge=2, le=2048, description="HNSW: neighbours of a node.")
    milvus_hnsw_ef_construction: int = Field(200, ge=8, description="HNSW: candidates when building.")
    milvus_ivf_nlist: int = Field(128, ge=1, le=65536, description="IVF_FLAT: cells.")
    milvus_search_ef: int = Field(
        128, ge=1, le=32768, description="HNSW: least number of candidates of a search."
    )
    milvus_search_nprobe: int = Field(16, ge=1, le=65536, description="IVF_FLAT: cells searched.")
    milvus_consistency: Literal["Strong", "Bounded", "Session", "Eventually"] = Field(
        "Bounded",
        description="Consistency level of searches; below `Strong`, saving waits until searches find the face.",
    )
    milvus_timeout_s: float = Field(5, gt=0, description="Longest wait for Milvus.")

    # Metadata
    postgrest_url: str = Field(
        "", description="`http(s)://host:3000`, or `sqlite:///path`; required by image-vectorizer."
    )
    postgrest_timeout_s: float = Field(5, gt=0, description="Longest wait for PostgREST.")
    lease_s: float = Field(
        25,
        gt=0,
        le=600,
        description="How long a crashed writer blocks its photo for others; longer than MILVUS_TIMEOUT_S,"
        " S3_TIMEOUT_S and twice POSTGREST_TIMEOUT_S together.",
    )

    # Images
    s3_endpoint_url: str = Field(
        "https://storage.yandexcloud.net",
        description="Address of the object store; `file:///folder`: a folder.",
    )
    s3_public_endpoint_url: str = Field(
        "",
        description="Address in links, where callers reach the images by another one; empty: S3_ENDPOINT_URL,"
        " and with a folder the address of the request.",
    )
    s3_region: str = Field("ru-central1", description="Region of the bucket.")
    s3_bucket: str = Field("", description="The bucket; required unless the images are in a folder.")
    s3_prefix: str = Field(
        "",
        pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$",
        description="Prefix of the object keys, before the photo's id.",
    )
    s3_addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="Where addresses name the bucket: in the `path`, or as the host (`virtual`)."
    )
    s3_threads: int = Field(16, ge=1, le=256, description="Most calls to the object store at once.")
    s3_timeout_s: float = Field(5, gt=0, description="Longest wait for the object store.")

    @field_validator(*_INSTEAD)
    @classmethod
    def _no_credentials(cls, value: str, info: ValidationInfo) -> str:
        name = str(info.field_name)
        return without_credentials(name.upper(), value, _INSTEAD[name])

    @model_validator(mode="after")
    def _leases_outlast_calls(self) -> Self:
        if self.lease_s <= self.longest_hold_s:
            raise ValueError(
                f"LEASE_S ({self.lease_s:g}) has to be longer than {self.longest_hold_s:g} s, which is"
                " MILVUS_TIMEOUT_S + S3_TIMEOUT_S + 2 x POSTGREST_TIMEOUT_S"
            )
        return self

    @property
    def longest_hold_s(self) -> float:
        """How long a lease may be held: two calls to the metadata store and one call to each other store between."""
        return self.milvus_timeout_s + self.s3_timeout_s + 2 * self.postgrest_timeout_s

    @property
    def images_in_folder(self) -> bool:
        """Whether the images are in a local folder and not in an object store."""
        return self.s3_endpoint_url.startswith("file://")
