"""Tests of the view "Search" in Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from playwright.sync_api import Page, expect

from bentos.demo import photos
from bentos.demo.embedded import SERVICE
from tests.system.conftest import KEY, Live, running
from tests.web.browsing import s3_settings, until
from tests.web.conftest import shot, violations
from tests.web.photos_of_tests import astronaut_photo, astronaut_selfie

pytestmark = pytest.mark.system

Open = Callable[..., Page]
PHOTOS = 56
"""Photos of the astronaut: more than one page of the API."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[Live]:
    """A service over a bucket; its base has 56 photos of the astronaut in two collections, and the group photo."""
    with running(
        SERVICE, tmp_path_factory.mktemp("page"), UI_ENABLED="true", **s3_settings(s3_endpoint)
    ) as live:
        with live.client() as client, ThreadPoolExecutor(4) as pool:
            index(client, photos.group_photo().read_bytes(), "party")
            list(
                pool.map(
                    lambda n: index(client, astronaut_photo(n), "odd" if n % 2 else "even"), range(PHOTOS)
                )
            )
        yield live


@pytest.fixture
def allowed_hosts(s3_endpoint: str) -> set[str]:
    """The links to the images lead to the bucket."""
    return {s3_endpoint}


def index(client: httpx.Client, image: bytes, collection: str) -> None:
    fields = {"collection_id": collection, "index": "true"}
    response = client.post("/detect_faces/", files={"file": ("photo", image)}, data=fields)
    assert response.status_code == 200, response.text


def choose_selfie(page: Page, image: bytes) -> None:
    selfie = {"name": "selfie.jpg", "mimeType": "image/jpeg", "buffer": image}
    page.locator(".who input[type=file]").set_input_files(selfie)


def shown_cards(page: Page) -> int:
    return page.locator(".search-view .card:visible").count()


def loaded(page: Page, selector: str = ".search-view .card img") -> None:
    """Wait until the first image is shown."""
    until(page, "selector => document.querySelector(selector)?.naturalWidth > 0", selector)


def test_a_selfie_finds_photos_whose_frames_lie_on_the_face(open_page: Open, site: Live) -> None:
    page = open_page()
    choose_selfie(page, astronaut_selfie())
    loaded(page)
    with site.client() as client:
        data = {"top_k": "50", "score_threshold": "0"}
        best = client.post("/search/", files={"file": astronaut_selfie()}, data=data).json()["results"][0]
    image = page.locator(".search-view .card img").first.bounding_box()
    frame = page.locator(".search-view .card .frame").first.bounding_box()
    width = page.locator(".search-view .card img").first.evaluate("image => image.naturalWidth")
    assert image is not None
    assert frame is not None
    scale = image["width"] / width
    expected = [image["x"] + best["bbox"][0] * scale, image["y"] + best["bbox"][1] * scale]
    assert [frame["x"], frame["y"]] == pytest.approx(expected, abs=1.5)
    assert frame["width"] == pytest.approx((best["bbox"][2] - best["bbox"][0]) * scale, abs=2)
    expect(page.locator(".search-view .score").first).to_have_text(f"{best['score']:.2f}")
    expect(page.locator(".who .frame")).to_have_count(1)


def test_a_dropped_a_pasted_and_a_camera_selfie_find_the_same(open_page: Open) -> None:
    page = open_page()
    bytes_ = list(astronaut_selfie())
    make = """bytes => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "selfie.jpg", {type: "image/jpeg"}));
        return transfer;
    }"""
    transfer = page.evaluate_handle(make, bytes_)
    page.dispatch_event(".who", "drop", {"dataTransfer": transfer})
    expect(page.locator(".search-view .status")).to_contain_text("photos from a score of")
    paste = """transfer => document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer}))"""
    page.evaluate("() => document.querySelector('.grid').replaceChildren()")
    transfer.evaluate(paste)
    expect(page.locator(".search-view .card").first).to_be_visible()
    page.evaluate("() => document.querySelector('.grid').replaceChildren()")
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the selfie").click()
    expect(page.locator(".search-view .card").first).to_be_visible()
    expect(page.locator(".who .frame")).to_have_count(1)


def test_the_slider_narrows_what_is_shown_and_says_what_a_score_means(open_page: Open) -> None:
    page = open_page()
    choose_selfie(page, astronaut_selfie())
    expect(page.locator(".search-view .card").first).to_be_visible()
    before = shown_cards(page)
    scores = [float(text) for text in page.locator(".search-view .score").all_text_contents()]
    middle = sorted(scores, reverse=True)[10]
    slider = page.get_by_role("slider", name="Lowest score")
    slider.fill(f"{middle:.2f}")
    assert 0 < shown_cards(page) < before
    expect(page.get_by_text("1,080 labelled pairs")).to_be_visible()
    slider.fill("0.4")
    expect(page.get_by_text("some of other people")).to_be_visible()
    slider.fill("0.1")
    expect(page.get_by_text("photos of other people are usual")).to_be_visible()
    slider.fill("1")
    expect(page.locator(".search-view .status")).to_contain_text("No photo reaches a score of 1.00")


def test_pages_follow_as_one_scrolls_and_only_near_photos_hold_their_images(open_page: Open) -> None:
    page = open_page()
    choose_selfie(page, astronaut_selfie())
    loaded(page)
    assert page.locator(".search-view .card").count() == 50
    for _ in range(10):
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(50)
    expect(page.locator(".search-view .card:visible")).to_have_count(PHOTOS)
    expect(page.locator(".search-view .status")).to_contain_text(f"{PHOTOS} photos from a score of 0.50 on")
    page.mouse.move(700, 500)
    until(page, "() => document.querySelector('.search-view .card').childNodes.length === 0")
    page.locator(".search-view .card").first.scroll_into_view_if_needed()
    loaded(page)


def test_a_collection_narrows_the_search(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Collections").fill("odd, party")
    choose_selfie(page, astronaut_selfie())
    expect(page.locator(".search-view .status")).to_contain_text(f"{PHOTOS // 2} photos from")
    assert set(page.locator(".search-view .collection:visible").all_text_contents()) == {"odd"}


def test_a_photo_opens_large_and_the_keyboard_goes_through_all(open_page: Open) -> None:
    page = open_page()
    choose_selfie(page, astronaut_selfie())
    loaded(page)
    page.locator(".search-view .card button").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".search-view .card button.card-photo").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Photo")
    loaded(page, "dialog img")
    expect(dialog).to_contain_text("Same person, most likely")
    shot(page, "search-photo-desktop")
    assert violations(page) == []
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator(".search-view .card button.card-photo").nth(2)).to_be_focused()


def test_an_image_without_a_face_and_a_broken_one_are_explained(open_page: Open) -> None:
    page = open_page()
    choose_selfie(page, photos.coffee_cup().read_bytes())
    expect(page.get_by_role("alert")).to_contain_text("No face was found.")
    choose_selfie(page, b"no image at all")
    expect(page.get_by_role("alert")).to_contain_text("not a readable JPEG, PNG or WebP image")
    page.get_by_text("Details").click()
    expect(page.get_by_role("alert")).to_contain_text("Request id in the log of the service")


def test_every_error_of_the_api_has_plain_words_in_both_languages(open_page: Open) -> None:
    from bentos.http.error_responses import STATUS

    page = open_page()
    languages = page.evaluate(
        """async () => Object.fromEntries(await Promise.all(["en", "ru"].map(
            async name => [name, (await import(`/ui/js/lang/${name}.js`)).default])))"""
    )
    assert languages["en"].keys() == languages["ru"].keys()
    for language in languages.values():
        assert {f"error.{code}" for code in STATUS} <= language.keys()
    names = [
        {key: set(re.findall(r"\{(\w+)\}", json.dumps(text))) for key, text in one.items()}
        for one in languages.values()
    ]
    assert {key for key in names[0] if names[0][key] != names[1][key]} <= {"error.invalid_image_format"}


def test_a_wrong_key_is_asked_for_again_and_the_right_one_stays_in_the_tab(open_page: Open) -> None:
    page = open_page(key=None)
    field = page.get_by_label("Key", exact=True)
    for wrong in ("a-wrong-key-of-some-length", "ключ"):
        field.fill(wrong)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    assert violations(page) == []
    field.fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_have_count(0)
    stored = page.evaluate(
        "() => [JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]"
    )
    assert KEY in stored[0]
    assert KEY not in stored[1] + stored[2]
    page.reload()
    expect(page.get_by_role("button", name="Forget the key")).to_be_visible()
    expect(page.locator("dialog")).to_have_count(0)
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [("phone", "light"), ("tablet", "light"), ("desktop", "dark")])
def test_the_view_is_accessible_at_three_widths(open_page: Open, width: str, scheme: str) -> None:
    page = open_page(width=width, color_scheme=scheme)
    assert violations(page) == []
    choose_selfie(page, astronaut_selfie())
    loaded(page)
    page.wait_for_timeout(300)
    shot(page, f"search-{width}-{scheme}")
    assert violations(page) == []
    overflow = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0


def test_the_language_and_the_colours_can_be_changed(open_page: Open) -> None:
    page = open_page(locale="ru-RU")
    expect(page).to_have_title("Поиск по лицу")
    choose_selfie(page, astronaut_selfie())
    expect(page.locator(".search-view .status")).to_contain_text("фотографий с оценкой от 0,50")
    page.get_by_label("Язык").select_option("en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator(".search-view .status")).to_contain_text("photos from a score of 0.50 on")
    page.get_by_label("Colours").select_option("dark")
    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Colours").select_option("light")
    assert dark != page.evaluate("() => getComputedStyle(document.body).backgroundColor")
