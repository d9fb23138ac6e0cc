"""`python -m tests.web.measure`: how smoothly many results scroll, in how much memory, and how fast a selfie is found.

It starts the service over a bucket, fills it with photos of one person, and measures in Chromium without a window.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import Page, sync_playwright

from bentos.config.settings import Settings
from bentos.demo.embedded import SERVICE, embedded_environment
from bentos.demo.servers.s3 import s3_server
from tests.system.conftest import KEY, Live, running
from tests.web.browsing import chromium, s3_settings, until
from tests.web.filling import fill
from tests.web.photos_of_tests import large_selfie

FRAMES = """() => {
    window.frames_ = [];
    let last = performance.now();
    requestAnimationFrame(function frame(now) {
        window.frames_.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    });
}"""
SEARCH = """() => {
    const input = document.querySelector(".who input[type=file]");
    window.found = null;
    input.addEventListener("change", () => { window.begun = performance.now(); }, {capture: true, once: true});
    const seen = new MutationObserver(() => {
        if (!document.querySelector(".search-view .card")) return;
        seen.disconnect();
        requestAnimationFrame(() => { window.found = performance.now() - window.begun; });
    });
    seen.observe(document.querySelector(".search-view .grid"), {childList: true});
}"""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.measure", description=__doc__)
    parser.add_argument("--results", type=int, default=2000)
    parser.add_argument("--width", type=int, default=1200, help="width of the photos, px")
    parser.add_argument("--rounds", type=int, default=9, help="searches with the large selfie")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="page-")))
        (folder / "s3").mkdir()
        bucket = stack.enter_context(s3_server(folder / "s3"))
        environment = {**embedded_environment(folder, KEY), **s3_settings(bucket)}
        settings = Settings(**{name.lower(): value for name, value in environment.items()})
        size = asyncio.run(fill(settings, options.results, width=options.width))
        print(f"{options.results} photos of {options.width} px, {size / options.results / 1024:.0f} KiB each")
        live = stack.enter_context(running(SERVICE, folder, UI_ENABLED="true", **s3_settings(bucket)))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(f"{live.url}/ui/")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        page.locator("dialog").wait_for(state="detached")
        selfie = large_selfie(4.9)
        _selfie(page, live, selfie, options.rounds)
        _scroll(page, options.results)
        browser.close()


def _selfie(page: Page, live: Live, selfie: bytes, rounds: int) -> None:
    """The page and the API in turns: from the choice of the file to the first photos in the grid."""
    in_page, by_api = [], []
    data = {"top_k": "50", "score_threshold": "0", "include_url": "true"}
    with httpx.Client(base_url=live.url, headers={"X-Api-Key": KEY}, timeout=60) as client:
        for _ in range(rounds):
            page.evaluate(SEARCH)
            file = {"name": "selfie.jpg", "mimeType": "image/jpeg", "buffer": selfie}
            page.locator(".who input[type=file]").set_input_files(file)
            until(page, "() => window.found !== null")
            in_page.append(page.evaluate("() => window.found"))
            started = time.perf_counter()
            client.post("/search/", files={"file": selfie}, data=data).raise_for_status()
            by_api.append((time.perf_counter() - started) * 1000)
    print(
        f"selfie of {len(selfie) / 2**20:.1f} MiB, {rounds} rounds, medians: API {statistics.median(by_api):.0f} ms, ",
        end="",
    )
    print(f"page {statistics.median(in_page):.0f} ms (with the photos in the grid)")


def _scroll(page: Page, count: int) -> None:
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable")
    print(f"before scrolling: {_memory(metrics)}")
    page.mouse.move(800, 500)
    page.evaluate(FRAMES)
    peak, wheels = 0.0, 0
    while not _at_end(page, count):
        for _ in range(10):
            page.mouse.wheel(0, 240)
            wheels += 1
            page.wait_for_timeout(30)
        peak = max(peak, _renderer_mib())
    frames = page.evaluate("() => window.frames_")
    slow = sum(1 for ms in frames if ms > 50)
    print(
        f"scrolled through {count} results with {wheels} turns of the wheel: {len(frames)} frames, ", end=""
    )
    print(
        f"{1000 / statistics.mean(frames):.0f} frames/s, median {statistics.median(frames):.1f} ms, ", end=""
    )
    print(
        f"95th percentile {statistics.quantiles(frames, n=20)[-1]:.1f} ms, longest {max(frames):.0f}, {slow} above 50"
    )
    print(f"after: {_memory(metrics)}; renderer at most {peak:.0f} MiB")
    loaded = page.evaluate(
        "() => [...document.querySelectorAll('.card img')].filter(image => image.src).length"
    )
    print(f"images held at the end: {loaded} of {count}")


def _at_end(page: Page, count: int) -> bool:
    shown = "document.querySelectorAll('.search-view .card').length"
    bottom = "scrollY + innerHeight > document.documentElement.scrollHeight - 200"
    return bool(page.evaluate(f"() => {shown} === {count} && {bottom}"))


def _memory(metrics: object) -> str:
    values = {one["name"]: one["value"] for one in metrics.send("Performance.getMetrics")["metrics"]}  # type: ignore[attr-defined]
    heap, nodes = values["JSHeapUsedSize"] / 2**20, values["Nodes"]
    return f"JavaScript heap {heap:.1f} MiB, {nodes:.0f} nodes, renderer {_renderer_mib():.0f} MiB"


def _renderer_mib() -> float:
    """Memory of the renderers that this process has started, without what is shared."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total / 2**20


if __name__ == "__main__":
    main()
