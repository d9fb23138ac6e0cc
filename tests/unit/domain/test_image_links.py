"""Tests of signed links to images."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from bentos.domain.image_links import ImageLinks

KEY, OTHER = "0123456789abcdef-key-of-the-tests", "fedcba9876543210-second-key"
NOW = 1_800_000_000.0


def links(*keys: str) -> ImageLinks:
    return ImageLinks(lambda: keys)


def parts(link: str) -> tuple[str, dict[str, str]]:
    address = urlsplit(link)
    return address.path.removeprefix("/images/"), dict(parse_qsl(address.query))


def test_a_link_is_valid_until_it_expires() -> None:
    [link] = links(KEY).sign(["photo.jpg"], expires_s=300, now=NOW)
    photo_id, query = parts(link)
    assert photo_id == "photo.jpg"
    assert links(KEY).allows(photo_id, **query, now=NOW)
    assert links(KEY).allows(photo_id, **query, now=NOW + 299)
    assert not links(KEY).allows(photo_id, **query, now=NOW + 300)


def test_a_link_is_valid_with_any_present_key_and_no_other() -> None:
    [link] = links(KEY).sign(["p"], expires_s=300, now=NOW)
    photo_id, query = parts(link)
    assert links(OTHER, KEY).allows(photo_id, **query, now=NOW)
    assert not links(OTHER).allows(photo_id, **query, now=NOW)
    assert KEY not in link


@pytest.mark.parametrize(
    "change",
    [
        {"photo_id": "q"},
        {"photo_id": "p "},
        {"expires": "1800000301"},
        {"expires": "01800000300"},
        {"expires": "+1800000300"},
        {"expires": "1800000300.0"},
        {"expires": "9" * 400},
        {"expires": "\u0661\u0668"},
        {"expires": ""},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "\u00e9" * 64},
    ],
)
def test_a_link_that_was_changed_is_not_valid(change: dict[str, str]) -> None:
    [link] = links(KEY).sign(["p"], expires_s=300, now=NOW)
    photo_id, query = parts(link)
    assert not links(KEY).allows(**{"photo_id": photo_id, **query, **change}, now=NOW)


def test_id_and_expiry_cannot_be_shifted_into_each_other() -> None:
    signed = [parts(link)[1]["signature"] for link in links(KEY).sign(["p1", "p"], expires_s=300, now=NOW)]
    assert not links(KEY).allows("p", expires="11800000300", signature=signed[0], now=NOW)
    assert signed[0] != signed[1]
