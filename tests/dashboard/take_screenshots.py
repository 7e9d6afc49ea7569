"""Photograph every page: `python tests/dashboard/take_screenshots.py http://127.0.0.1:8501 [folder] [page ...]`.

Writes <folder>/<page>-{light,dark}.png at 1440x1000; the folder is docs/screenshots unless told.
"""

import sys
import time
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES: Final = ("overview", "traces", "trace", "cost", "cache", "quality", "drift", "alerts", "system")
DRAWN: Final = """() => document.querySelectorAll('[data-testid="stMain"] [data-testid="stElementContainer"]')[3]
    && document.querySelector('[data-testid="stApp"]').dataset.testScriptState === "notRunning"
    && !document.querySelector('[data-testid="stSkeleton"]')
    && [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].every((c) => c.querySelector(".main-svg"))"""
ON_TRACE: Final = "() => location.pathname === '/trace'"
WINDOWS: Final = {"overview": "6+h", "cost": "6+h", "cache": "6+h"}
SETTLE_MS: Final = 700
TIMEOUT_S: Final = 30


def wait_until(page: Page, condition: str) -> None:
    """Poll a JavaScript condition; Playwright's own wait needs animation frames, which a page in the back has not."""
    deadline = time.monotonic() + TIMEOUT_S
    while not page.evaluate(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{page.url}: {condition} did not become true in {TIMEOUT_S} s")
        page.wait_for_timeout(100)


def wait_until_drawn(page: Page) -> None:
    """Until the script has run, every chart and waterfall is on the screen, and nothing is a skeleton any more."""
    wait_until(page, DRAWN)
    page.wait_for_timeout(SETTLE_MS)


def open_first_trace(page: Page, url: str) -> None:
    """Click the newest trace of the demo's agent, as a viewer would."""
    page.goto(f"{url}/traces?window=24+h&app=docs-agent")
    wait_until_drawn(page)
    page.locator(".dvn-scroller").first.click(position={"x": 180, "y": 55})
    wait_until(page, ON_TRACE)
    wait_until_drawn(page)


def photograph(browser: Browser, url: str, name: str, scheme: Literal["light", "dark"], folder: Path) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme=scheme)
    if name == "trace":
        open_first_trace(page, url)
    else:
        page.goto(f"{url}/{'' if name == 'overview' else name}?window={WINDOWS.get(name, '24+h')}")
        wait_until_drawn(page)
    page.screenshot(path=folder / f"{name}-{scheme}.png")
    page.close()


def main(url: str, folder: Path, names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in names:
            for scheme in schemes:
                photograph(browser, url.rstrip("/"), name, scheme, folder)
        browser.close()


if __name__ == "__main__":
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[2] / "docs" / "screenshots"
    main(sys.argv[1], target, tuple(sys.argv[3:]) or PAGES)
