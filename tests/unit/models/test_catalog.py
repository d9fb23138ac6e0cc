from __future__ import annotations

import re

import pytest

from models.catalog import DEFAULT_PACK, PACKS, find_pack
from models.errors import PackError


def test_the_error_for_an_unknown_name_lists_the_known_names() -> None:
    with pytest.raises(PackError) as raised:
        find_pack("buffalo_xl")
    assert "buffalo_xl" in str(raised.value)
    assert all(pack.name in str(raised.value) for pack in PACKS)


def test_every_file_of_every_pack_has_a_sha256() -> None:
    for pack in PACKS:
        for source in (pack.detector, pack.recogniser):
            assert re.fullmatch(r"[0-9a-f]{64}", source.sha256), source


def test_only_the_default_pack_of_the_catalogue_may_be_used_commercially() -> None:
    assert [pack.name for pack in PACKS if pack.commercial_use] == [DEFAULT_PACK]
    assert all("non-commercial" in pack.licence for pack in PACKS if pack.name != DEFAULT_PACK)
