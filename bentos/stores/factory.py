"""Chooses the implementation of each store by the scheme of its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bentos.config.settings import Settings, SettingsError
from bentos.domain.image_links import ImageLinks
from bentos.pipeline.pack_info import PackInfo
from bentos.stores.base import ImageStore, MetadataStore, VectorStore
from bentos.stores.replacement import ReplacementVectorStore

if TYPE_CHECKING:
    from bentos.stores.milvus.options import MilvusOptions


Headers = Callable[[], Mapping[str, str]]
"""Called for each request to a server: headers to add, which make its work a part of the caller's trace."""


def vector_store(settings: Settings, pack: PackInfo, headers: Headers | None = None) -> VectorStore:
    """Milvus: a server for http(s)://, Milvus Lite for a file."""
    from bentos.stores.milvus.store import MilvusVectorStore

    return MilvusVectorStore(_milvus_options(settings, pack, headers=headers))


def replacement_vector_store(settings: Settings, pack: PackInfo) -> ReplacementVectorStore:
    """The vector store that is filled for another face pack before it replaces the current one."""
    from bentos.stores.milvus.swap import MilvusReplacementStore

    return MilvusReplacementStore(_milvus_options(settings, pack, beside=True))


def _milvus_options(
    settings: Settings, pack: PackInfo, *, beside: bool = False, headers: Headers | None = None
) -> MilvusOptions:
    from bentos.stores.milvus.options import MilvusOptions

    return MilvusOptions(
        uri=settings.milvus_uri,
        token=settings.secrets["milvus_token"].value,
        alias=settings.milvus_collection,
        dim=settings.embedding_dim,
        pack_name=pack.name,
        fingerprint=pack.fingerprint,
        index_type=settings.milvus_index_type,
        hnsw_m=settings.milvus_hnsw_m,
        hnsw_ef_construction=settings.milvus_hnsw_ef_construction,
        ivf_nlist=settings.milvus_ivf_nlist,
        search_ef=settings.milvus_search_ef,
        search_nprobe=settings.milvus_search_nprobe,
        consistency=settings.milvus_consistency,
        timeout_s=settings.milvus_timeout_s,
        beside=beside,
        headers=headers,
    )


def metadata_store(settings: Settings, headers: Headers | None = None) -> MetadataStore:
    """PostgREST for http(s)://, SQLite for sqlite:///path."""
    address = urlsplit(settings.postgrest_url)
    if address.scheme in {"http", "https"}:
        from bentos.stores.postgrest.store import PostgrestMetadataStore, PostgrestOptions

        return PostgrestMetadataStore(
            PostgrestOptions(
                url=settings.postgrest_url,
                token=settings.secrets["postgrest_token"].value,
                timeout_s=settings.postgrest_timeout_s,
                headers=headers,
            )
        )
    if address.scheme == "sqlite":
        from bentos.stores.sqlite.store import SqliteMetadataStore

        return SqliteMetadataStore(_path(settings.postgrest_url, "sqlite:///"))
    raise SettingsError("POSTGREST_URL has to begin with http://, https:// or sqlite:///.")


def image_store(settings: Settings, headers: Headers | None = None) -> ImageStore:
    """S3 for http(s)://, a folder for file:///path."""
    address = urlsplit(settings.s3_endpoint_url)
    if address.scheme in {"http", "https"}:
        from bentos.stores.s3.store import S3Options, S3Store

        return S3Store(
            S3Options(
                endpoint_url=settings.s3_endpoint_url,
                public_endpoint_url=settings.s3_public_endpoint_url,
                region=settings.s3_region,
                bucket=settings.s3_bucket,
                prefix=settings.s3_prefix,
                access_key_id=settings.secrets["s3_access_key_id"].value,
                secret_access_key=settings.secrets["s3_secret_access_key"].value,
                addressing=settings.s3_addressing,
                threads=settings.s3_threads,
                timeout_s=settings.s3_timeout_s,
                headers=headers,
            )
        )
    if address.scheme == "file":
        from bentos.stores.files import FilesStore

        return FilesStore(_path(settings.s3_endpoint_url, "file://"), ImageLinks(settings.api_keys))
    raise SettingsError("S3_ENDPOINT_URL has to begin with http://, https:// or file:///.")


def _path(url: str, prefix: str) -> Path:
    """The path after the scheme; four slashes make it absolute (sqlite:////tmp/x), as in SQLAlchemy."""
    return Path(unquote(url.removeprefix(prefix)))
