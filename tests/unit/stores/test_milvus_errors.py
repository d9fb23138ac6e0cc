"""Tests that failures of Milvus become fixed sentences."""

from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata
from pymilvus import MilvusException

from bentos.stores.milvus.errors import Failure, failure_of
from bentos.stores.milvus.options import MilvusOptions

TOKEN = "somebody:a-secret-password"
FOREIGN = f"text of the server at 10.0.0.7 with {TOKEN}, then a-secret-password\nand a second line"
OPTIONS = MilvusOptions(uri="http://milvus", alias="faces", dim=8, pack_name="p", fingerprint="0" * 16)


def failure(error: Exception) -> Failure:
    return failure_of(error, OPTIONS, (TOKEN, ""))


def rpc_error(code: grpc.StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details=FOREIGN)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 8, 9, 100, 101, 503, 700, 1100, 1401, 65535])
def test_each_code_of_the_server_has_a_sentence_that_quotes_nothing(code: int) -> None:
    seen = failure(MilvusException(code, FOREIGN))
    assert seen.reason.endswith(f"(code {code})")
    assert seen.reason == failure(MilvusException(code, "another text")).reason


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_each_status_of_grpc_has_a_sentence_that_quotes_nothing(code: grpc.StatusCode) -> None:
    seen = failure(rpc_error(code))
    assert seen.reason
    assert "text of the server" not in seen.reason


def test_the_servers_text_is_kept_for_the_log_in_one_line_without_the_token() -> None:
    detail = failure(MilvusException(5, FOREIGN)).detail
    assert detail == "text of the server at 10.0.0.7 with ***, then ***"
    assert len(failure(MilvusException(5, "x" * 10_000)).detail) <= 200


def test_a_refused_token_is_reported_although_pymilvus_reports_no_connection() -> None:
    error = MilvusException(2, "Fail connecting to server")
    error.__cause__ = rpc_error(grpc.StatusCode.UNAUTHENTICATED)
    assert failure(error).reason == "it refuses MILVUS_TOKEN"


def test_an_error_that_is_its_own_cause_is_described() -> None:
    """pymilvus raises `e from e`."""
    error = MilvusException(101, "collection not loaded")
    error.__cause__ = error
    assert failure(error).needs_reopening


@pytest.mark.parametrize("code", [100, 101])
def test_errors_of_a_lost_collection_start_a_reopening(code: int) -> None:
    assert failure(MilvusException(code, "")).needs_reopening


@pytest.mark.parametrize("code", [2, 3, 8, 1100])
def test_other_errors_start_no_reopening(code: int) -> None:
    assert not failure(MilvusException(code, "")).needs_reopening
