"""Tests of misspelt and misplaced fields: if ignored, more would be removed or searched than was meant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.conftest import Api


@pytest.mark.parametrize(
    ("path", "sent", "named"),
    [
        ("/remove/p?face-id=x", {}, "face-id"),
        ("/remove/p?collection_id=other", {}, "collection_id"),
        ("/remove/p", {"data": {"face_id": "x"}}, "body"),
        ("/remove/p", {"files": {"face_id": (None, "x")}}, "body"),
        ("/remove/p/", {"json": {"face_id": "x"}}, "body"),
        ("/remove_all/?collection=other", {}, "collection"),
        ("/remove_all/?photo_id=other", {}, "photo_id"),
        ("/remove_all", {"data": {"collection_id": "other"}}, "body"),
    ],
)
async def test_a_request_that_would_remove_more_than_it_says_removes_nothing(
    api: Api, astronaut: bytes, path: str, sent: dict[str, Any], named: str
) -> None:
    await api.detect(astronaut, photo_id="p", index="true")
    refused = await api.client.request("DELETE", path, **sent)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert list(refused.json()["details"]["fields"]) == [named]
    assert (await api.status(status="indexed"))["total"] == 1


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", "/search/", "collection_id=a"),
        ("POST", "/search/", "face=largest"),
        ("POST", "/search/", "face_id=x"),
        ("POST", "/detect_faces/", "index=true"),
        ("PUT", "/add_face/", "collection_id=a"),
    ],
)
async def test_a_field_of_the_form_that_is_sent_in_the_address_is_refused(
    api: Api, method: str, path: str, query: str
) -> None:
    refused = await api.client.request(method, f"{path}?{query}", files={"file": ("photo", b"x")})
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert refused.json()["details"]["fields"] == {query.split("=", maxsplit=1)[0]: "belongs in the form"}
    assert (await api.status())["total"] == 0


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/search/"), ("POST", "/detect_faces/"), ("PUT", "/add_face/")]
)
@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"face_id": "517c0243-c2d5-5642-8b98-4c439ff6deec", "photo_id": "p"}},
        {"content": b"bytes of an image", "headers": {"Content-Type": "image/jpeg"}},
        {"content": b"bytes without a type"},
    ],
    ids=["json", "image", "no type"],
)
async def test_a_body_that_is_no_form_is_refused_as_such(
    api: Api, method: str, path: str, sent: dict[str, Any]
) -> None:
    """Its fields are not read: an error about a missing field would name one that was sent."""
    refused = await api.client.request(method, path, **sent)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert list(refused.json()["details"]["fields"]) == ["body"]
    assert "multipart/form-data" in refused.json()["details"]["fields"]["body"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/search/"), ("PUT", "/add_face/")])
async def test_a_request_without_a_body_is_told_which_fields_to_send(
    api: Api, method: str, path: str
) -> None:
    refused = await api.client.request(method, path)
    assert refused.status_code == 422
    assert list(refused.json()["details"]["fields"]) != ["body"]
