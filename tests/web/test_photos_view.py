"""Tests of the view "Photos" in Chromium: a base in a folder, filled and corrected through the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from bentos.demo import photos
from bentos.demo.embedded import SERVICE
from bentos.domain.faces import BoundingBox
from tests.system.conftest import Live, running
from tests.web.browsing import until
from tests.web.conftest import shot, violations
from tests.web.photos_of_tests import astronaut_photo

pytestmark = pytest.mark.system

Open = Callable[..., Page]
IMAGE_SHOWN = (
    "() => [...document.querySelectorAll('.photos-view .card img')].some(image => image.naturalWidth > 0)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service whose base is empty; each test adds photos to a collection of its own."""
    with running(SERVICE, tmp_path_factory.mktemp("page"), UI_ENABLED="true") as live:
        yield live


def add(page: Page, files: list[Path], collection: str, *, index: bool = True) -> None:
    """Upload files and show their collection."""
    page.get_by_label("Collection of these photos").fill(collection)
    page.get_by_label("Index every face").set_checked(index)
    page.locator(".upload input[type=file]:not([webkitdirectory])").set_input_files(files)
    expect(page.locator(".upload-text")).to_contain_text(f"{len(files)} of {len(files)} photos done")
    show(page, collection)


def show(page: Page, collection: str) -> None:
    page.get_by_label("Collection", exact=True).fill(collection)
    page.get_by_label("Collection", exact=True).press("Enter")


def stored(live: Live, collection: str) -> list[dict[str, Any]]:
    """The photos of a collection with their faces, as the API has them."""
    with live.client() as client:
        items = client.get("/embed_status/", params={"collection_id": collection}).json()["items"]
        return [client.get(f"/embed_status/{item['photo_id']}").json() for item in items]


def open_photo(page: Page) -> Locator:
    page.locator(".photos-view .card:not(:has(.no_faces)) .card-photo").first.click()
    dialog = page.get_by_role("dialog", name="Photo")
    expect(dialog.locator("dl")).to_be_visible()
    return dialog


@pytest.fixture
def group(tmp_path: Path) -> list[Path]:
    """The group photo with bytes of its own, so that no two tests share a photo."""
    path = tmp_path / "group.jpg"
    path.write_bytes(photos.group_photo().read_bytes())
    return [path]


def test_a_folder_is_indexed_and_what_is_left_out_has_a_reason(
    open_page: Open, site: Live, tmp_path: Path
) -> None:
    folder = tmp_path / "fair"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(astronaut_photo(number))
    (folder / "group.jpg").write_bytes(photos.group_photo().read_bytes())
    (folder / "cup.png").write_bytes(photos.coffee_cup().read_bytes())
    (folder / "cut.jpg").write_bytes(photos.group_photo().read_bytes()[:50_000])
    (folder / "notes.txt").write_text("not a photo")
    page = open_page(view="photos")
    expect(page.locator(".photos-view > .main > .status")).to_contain_text("No photos here yet")
    page.get_by_label("Collection of these photos").fill("fair")
    page.locator(".upload input[webkitdirectory]").set_input_files(folder)
    expect(page.locator(".upload-text")).to_contain_text("6 of 6 photos done")
    expect(page.locator(".upload-text")).to_contain_text("9 of 9 faces indexed")
    page.locator(".left-out summary").click()
    expect(page.locator(".left-out li")).to_have_count(2)
    expect(page.locator(".left-out")).to_contain_text("fair/cup.png No face was found.")
    expect(page.locator(".left-out")).to_contain_text("fair/cut.jpg This file is not a readable JPEG")
    show(page, "fair")
    expect(page.locator(".photos-view .card")).to_have_count(5)
    assert sorted(photo["faces_indexed"] for photo in stored(site, "fair")) == [0, 1, 1, 1, 6]


def test_photos_can_be_filtered_by_status_and_collection(open_page: Open, tmp_path: Path) -> None:
    files = []
    for number, image in enumerate(
        [astronaut_photo(10), astronaut_photo(11), photos.coffee_cup().read_bytes()]
    ):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(image)
    page = open_page(view="photos")
    add(page, files, "filtered")
    cards = page.locator(".photos-view .card")
    expect(cards).to_have_count(3)
    page.get_by_role("button", name=re.compile("^No face")).click()
    expect(cards).to_have_count(1)
    expect(cards.first).to_contain_text("0 of 0 faces")
    page.get_by_role("button", name=re.compile("^Indexed")).click()
    expect(cards).to_have_count(2)
    expect(page.get_by_role("button", name="All 3")).to_be_visible()
    show(page, "no-such-collection")
    expect(cards).to_have_count(0)


def test_a_single_face_is_indexed_and_then_all(open_page: Open, site: Live, group: list[Path]) -> None:
    page = open_page(view="photos")
    add(page, group, "faces", index=False)
    dialog = open_photo(page)
    expect(dialog.locator(".faces li")).to_have_count(6)
    expect(dialog.locator(".frame.detected")).to_have_count(6)
    dialog.get_by_role("button", name="Index this face").nth(2).click()
    expect(dialog.locator(".frame.indexed")).to_have_count(1)
    assert stored(site, "faces")[0]["status"] == "partial"
    assert stored(site, "faces")[0]["faces"][2]["status"] == "indexed"
    dialog.get_by_role("button", name="Index all faces").click()
    expect(dialog.locator(".frame.indexed")).to_have_count(6)
    expect(dialog.get_by_role("button", name="Index all faces")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator(".photos-view .card")).to_contain_text("6 of 6 faces")


def test_a_face_is_removed_after_a_question_and_the_others_stay(
    open_page: Open, site: Live, group: list[Path]
) -> None:
    page = open_page(view="photos")
    add(page, group, "corrected")
    face = stored(site, "corrected")[0]["faces"][1]
    dialog = open_photo(page)
    dialog.get_by_role("button", name="Remove this face").nth(1).click()
    question = page.get_by_role("dialog", name="Remove this face")
    expect(question).to_contain_text("Remove face 2 from the search")
    assert violations(page) == []
    question.get_by_role("button", name="Cancel").click()
    expect(dialog.locator(".faces li")).to_have_count(6)
    dialog.get_by_role("button", name="Remove this face").nth(1).click()
    question.get_by_role("button", name="Remove this face").click()
    expect(dialog.locator(".faces li")).to_have_count(5)
    assert face["face_id"] not in [one["face_id"] for one in stored(site, "corrected")[0]["faces"]]
    selfie = photos.selfie_of(photos.group_photo(), BoundingBox(*face["bbox"]))
    with site.client() as client:
        fields = {"collection_id": "corrected"}
        found = client.post("/search/", files={"file": selfie}, data=fields).json()
    assert found["results"] == []


def test_a_person_is_searched_for_from_a_photo(open_page: Open, group: list[Path]) -> None:
    page = open_page(view="photos")
    add(page, group, "looked-for")
    open_photo(page).get_by_role("button", name="Find this person").first.click()
    expect(page.locator(".who-note")).to_contain_text("Searching for the framed face of photo")
    expect(page.locator(".search-view .score").first).to_have_text("1.00")
    assert page.url.endswith("#search")


def test_the_images_of_photos_with_indexed_faces_are_shown_after_a_reload(
    open_page: Open, group: list[Path]
) -> None:
    page = open_page(view="photos")
    add(page, group, "reloaded")
    page.reload()
    show(page, "reloaded")
    until(page, IMAGE_SHOWN)
    expect(page.locator(".photos-view .card .frame.indexed")).to_have_count(6)


def test_a_photo_is_deleted_after_a_question(open_page: Open, site: Live, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(astronaut_photo(20))
    page = open_page(view="photos")
    add(page, [path], "deleted")
    dialog = open_photo(page)
    dialog.get_by_role("button", name="Remove all faces").click()
    page.get_by_role("dialog", name="Remove all faces").get_by_role("button", name="Remove all faces").click()
    expect(dialog.locator(".faces li")).to_have_count(0)
    dialog.get_by_role("button", name="Delete the photo").click()
    page.get_by_role("dialog", name="Delete the photo").get_by_role("button", name="Delete the photo").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".photos-view .card")).to_have_count(0)
    assert stored(site, "deleted") == []


def test_an_upload_waits_while_the_service_cannot_be_reached(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(astronaut_photo(30))
    page = open_page(view="photos", faults=["net::ERR_INTERNET_DISCONNECTED"])
    page.context.set_offline(True)
    page.get_by_label("Collection of these photos").fill("offline")
    page.locator(".upload input[type=file]:not([webkitdirectory])").set_input_files([path])
    expect(page.locator(".upload-text")).to_contain_text("Waiting, nothing is lost.")
    page.context.set_offline(False)
    expect(page.locator(".upload-text")).to_contain_text("1 of 1 photos done")


@pytest.mark.parametrize(("width", "scheme"), [("phone", "dark"), ("tablet", "light"), ("desktop", "light")])
def test_the_view_is_accessible_at_three_widths(
    open_page: Open, tmp_path: Path, width: str, scheme: str
) -> None:
    files = []
    for number in range(40, 45):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(astronaut_photo(number))
    files.append(tmp_path / "cup.png")
    files[-1].write_bytes(photos.coffee_cup().read_bytes())
    page = open_page(width=width, view="photos", color_scheme=scheme)
    add(page, files, "widths")
    expect(page.locator(".photos-view .card img")).to_have_count(6)
    until(page, IMAGE_SHOWN)
    shot(page, f"photos-{width}-{scheme}")
    assert violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth") <= 0
    open_photo(page)
    shot(page, f"photos-photo-{width}-{scheme}")
    assert violations(page) == []
