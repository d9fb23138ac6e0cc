"""Tests that settings come from the environment, and that contradictions end the start with one sentence."""

from __future__ import annotations

import pytest

from bentos.config.loading import load_settings
from bentos.config.settings import Settings, SettingsError

GOOD = {
    "API_KEY": "0123456789abcdef",
    "MILVUS_URI": "http://milvus:19530",
    "POSTGREST_URL": "http://postgrest:3000",
    "S3_BUCKET": "photos",
    "S3_ACCESS_KEY_ID": "id",
    "S3_SECRET_ACCESS_KEY": "secret",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def _set(monkeypatch: pytest.MonkeyPatch, **environment: str | None) -> None:
    for name, value in {**GOOD, **environment}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def test_the_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch)
    settings = load_settings("face-search")
    assert settings.search_max_image_mb == 5
    assert settings.vectorize_max_image_mb == 20
    assert settings.max_image_pixels == 50_000_000
    assert (settings.embedding_dim, settings.top_k_default, settings.top_k_max) == (512, 10, 50)
    assert settings.score_threshold == 0.5
    assert settings.milvus_collection == "faces"
    assert settings.s3_endpoint_url == "https://storage.yandexcloud.net"
    assert settings.s3_region == "ru-central1"
    assert settings.url_expires_s == 300


def test_several_keys_are_valid_at_once_so_that_they_can_be_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, API_KEY="0123456789abcdef, fedcba9876543210 ,")
    assert load_settings("image-search").api_keys() == ("0123456789abcdef", "fedcba9876543210")


CUDA: dict[str, str | None] = {"ONNX_PROVIDERS": "CUDAExecutionProvider"}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"API_KEY": None}, "API_KEY"),
        ({"API_KEY": "  , "}, "API_KEY"),
        ({"API_KEY": "fifteen-letters"}, "API_KEY"),
        ({"API_KEY": "change-me-change-me"}, "API_KEY"),
        ({"API_KEY": "CHANGE_ME_0123456789"}, "API_KEY"),
        ({"API_KEY": "aaaaaaaaaaaaaaaaaaaa"}, "API_KEY"),
        ({"API_KEY": "0123456789abcdef,short"}, "API_KEY"),
        ({"TOP_K_DEFAULT": "51"}, "TOP_K_DEFAULT"),
        ({"TOP_K_MAX": "many"}, "TOP_K_MAX"),
        ({"SCORE_THRESHOLD": "1.5"}, "SCORE_THRESHOLD"),
        ({"SEARCH_MAX_IMAGE_MB": "0"}, "SEARCH_MAX_IMAGE_MB"),
        ({"DETECTION_SIZE": "333"}, "DETECTION_SIZE"),
        ({"ONNX_PROVIDERS": " , "}, "ONNX_PROVIDERS"),
        ({"ONNX_PROVIDER_OPTIONS": "use_tf32=0"}, "it is not JSON"),
        ({"ONNX_PROVIDER_OPTIONS": '{"CUDAExecutionProvider": {}}'}, "which ONNX_PROVIDERS does not"),
        (CUDA | {"ONNX_PROVIDER_OPTIONS": '{"CUDAExecutionProvider": "use_tf32"}'}, "one object of options"),
        (CUDA | {"ONNX_PROVIDER_OPTIONS": '{"CUDAExecutionProvider": {"use_tf32": null}}'}, "use_tf32"),
        (
            CUDA | {"ONNX_PROVIDER_OPTIONS": '{"CUDAExecutionProvider": {"device_id": 1}}'},
            "CUDA_VISIBLE_DEVICES",
        ),
        ({"MILVUS_URI": None}, "MILVUS_URI"),
        ({"MILVUS_COLLECTION": "fa-ces"}, "MILVUS_COLLECTION"),
        ({"MILVUS_TIMEOUT_S": "60"}, "MILVUS_TIMEOUT_S"),
        ({"LEASE_S": "20"}, "LEASE_S (20) has to be longer than 20 s"),
        ({"LEASE_S": "20", "S3_TIMEOUT_S": "6"}, "longer than 21 s"),
        ({"LEASE_S": "20", "POSTGREST_TIMEOUT_S": "6"}, "longer than 22 s"),
        ({"POSTGREST_URL": None}, "POSTGREST_URL"),
        ({"S3_BUCKET": None}, "S3_BUCKET"),
        ({"S3_SECRET_ACCESS_KEY": None}, "S3_SECRET_ACCESS_KEY"),
    ],
)
def test_a_contradiction_gives_one_sentence_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str | None], named: str
) -> None:
    _set(monkeypatch, **environment)
    with pytest.raises(SettingsError) as caught:
        load_settings("face-search")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_message_and_no_dump_contains_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, API_KEY="s3cr3t-k", S3_SECRET_ACCESS_KEY="b0tt0m-secret")
    with pytest.raises(SettingsError) as caught:
        load_settings("face-search")
    assert "s3cr3t-k" not in str(caught.value)
    assert "b0tt0m-secret" not in repr(Settings())


def test_image_search_needs_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, POSTGREST_URL=None)
    assert load_settings("image-search").postgrest_url == ""


def test_images_in_a_folder_need_no_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, S3_ENDPOINT_URL="file:///tmp/images", S3_BUCKET=None, S3_ACCESS_KEY_ID=None)
    assert load_settings("face-search").images_in_folder


@pytest.mark.parametrize(
    ("asked", "providers", "size"),
    [
        (0, "CPUExecutionProvider", 1),
        (0, "CUDAExecutionProvider,CPUExecutionProvider", 64),
        (4, "CPUExecutionProvider", 4),
    ],
)
def test_batches_are_used_on_a_gpu_or_if_the_setting_says_so(asked: int, providers: str, size: int) -> None:
    assert Settings(runner_max_batch_size=asked, onnx_providers=providers).batch_size == size  # type: ignore[arg-type]
