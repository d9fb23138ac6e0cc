"""Fixtures: a Chromium, the all-in-one service with UI_ENABLED, and pages that fail on what no page may do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.system.conftest import KEY, Live
from tests.web.browsing import PATIENCE_S, ROOT, UNPACKED, chromium
from tests.web.photos_of_tests import astronaut_selfie, camera_film

SHOTS = ROOT / "reports" / "page"
"""Screenshots of the last run; an artefact, not in git."""
WIDTHS = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 860)}
expect.set_options(timeout=PATIENCE_S * 1000)

# A message that is no fault: the service answers a request with an error, and the page explains it.
ANSWERED = "Failed to load resource: the server responded with a status of 4"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium whose camera shows the astronaut."""
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium here, and tests/web/install_chromium.sh could not install one")
    film = tmp_path_factory.mktemp("camera") / "selfie.mjpeg"
    film.write_bytes(camera_film(astronaut_selfie()))
    libraries = UNPACKED / "usr/lib/x86_64-linux-gnu"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries / 'pulseaudio'}"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            env=environment if program.startswith(str(UNPACKED)) else None,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        )
        yield browser
        browser.close()


@dataclass
class Watched:
    """What a page has said and asked for."""

    hosts: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=lambda: [ANSWERED])

    def listen(self, page: Page) -> None:
        """Keep errors of scripts, messages of the console and the hosts of all requests."""
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._console)
        page.on("request", self._request)

    def _request(self, request: Request) -> None:
        if not request.url.startswith("blob:"):
            self.hosts.add("/".join(request.url.split("/")[:3]))

    def _console(self, message: ConsoleMessage) -> None:
        fault = message.type in {"error", "warning"}
        if fault and not any(text in message.text for text in self.expected):
            self.faults.append(message.text)


@pytest.fixture
def open_page(browser: Browser, site: Live, allowed_hosts: set[str]) -> Iterator[Callable[..., Page]]:
    """Opens the page with a key, in a new context; at the end: no fault, no other host, no cookie."""
    contexts: list[BrowserContext] = []
    watched = Watched()

    def open_one(
        *,
        width: str = "desktop",
        view: str = "search",
        key: str | None = KEY,
        faults: Sequence[str] = (),
        **options: Any,
    ) -> Page:
        watched.expected.extend(faults)
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        context = browser.new_context(viewport=size, **{"locale": "en-GB", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        watched.listen(page)
        page.goto(f"{site.url}/ui/#{view}")
        if key is not None:
            page.get_by_label("Key", exact=True).or_(page.get_by_label("Ключ", exact=True)).fill(key)
            page.keyboard.press("Enter")
            page.locator("dialog").wait_for(state="detached")
        return page

    yield open_one
    cookies = [cookie for context in contexts for cookie in context.cookies()]
    for context in contexts:
        context.close()
    assert watched.faults == []
    assert watched.hosts <= {site.url, *allowed_hosts}
    assert cookies == []


@pytest.fixture
def allowed_hosts() -> set[str]:
    """Hosts that the page may ask besides the service."""
    return set()


def shot(page: Page, name: str) -> None:
    """Keep a screenshot of what is to be seen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page, one line a rule."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']][:3]}" for one in found]
