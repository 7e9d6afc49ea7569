"""The pages in a real browser: drawn without an error, and deaf to what hostile text asks for."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

from spanwell.health import free_port
from tests.dashboard.canned import BIG_TRACE_ID, LLM_SPAN_ID, TRACE_ID, Canned, serving
from tests.dashboard.take_screenshots import ARGUMENTS, CHROMIUM, ON_TRACE, wait_until, wait_until_drawn
from tests.dashboard.test_server import wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"needs {CHROMIUM}"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets of playwright's own loop
]
KEY_TEXTS = {
    "": "Cost by model",
    "traces": "Older",
    "cost": "Cost over time",
    "cache": "Answered from the cache",
    "quality": "Judge pass rate, uncorrected",
    "drift": "support-bot",
    "alerts": "Firing now",
    "system": "sent = stored",
}


@dataclass
class Witness:
    """What a page did that it should not have done."""

    url: str
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", self._dismiss)

    def _listen(self, message: ConsoleMessage) -> None:
        # Streamlit looks for its server below the page's own path first, and the browser reports the 404.
        if message.type == "error" and "/_stcore/" not in message.location["url"]:
            self.errors.append(message.text)

    def _dismiss(self, dialog: object) -> None:
        self.dialogs.append(repr(dialog))

    def outside(self) -> list[str]:
        own = (self.url, self.url.replace("http", "ws"), "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A dashboard over a canned collector whose every text tries to reach a listener of ours."""
    with serving(Canned()) as leak, serving(Canned()) as canned:
        beacon = f"http://127.0.0.1:{leak.port}"
        canned.hostile = f"![x]({beacon}/leak.png) <img src={beacon}/raw.png onerror=alert(1)>"
        port = str(free_port())
        process = subprocess.Popen(
            [sys.executable, "-m", "spanwell_dashboard"],
            env={"SPANWELL_COLLECTOR_PORT": str(canned.port), "SPANWELL_DASHBOARD_PORT": port},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=15)
        assert leak.asked == []


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """One for all tests: Streamlit's ten megabytes of scripts are loaded once."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_context(viewport={"width": 1440, "height": 1000})
        browser.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    yield page
    page.close()


def clean(witness: Witness) -> bool:
    return not (witness.errors or witness.dialogs or witness.outside())


@pytest.mark.parametrize("path", KEY_TEXTS)
def test_a_page_is_drawn_without_an_error_or_an_outside_request(page: Page, url: str, path: str) -> None:
    witness = Witness(url)
    witness.watch(page)

    page.goto(f"{url}/{path}")
    wait_until_drawn(page)

    assert KEY_TEXTS[path] in page.inner_text("body")
    assert clean(witness), witness


def test_a_click_opens_a_trace_and_the_keyboard_moves_through_its_spans(page: Page, url: str) -> None:
    witness = Witness(url)
    witness.watch(page)
    page.goto(f"{url}/traces?window=24+h")
    wait_until_drawn(page)

    page.locator(".dvn-scroller").first.click(position={"x": 180, "y": 55})
    wait_until(page, ON_TRACE)
    wait_until_drawn(page)
    page.locator(".waterfall .row").nth(4).click()
    wait_until(page, f"() => location.search.includes('{LLM_SPAN_ID}')")
    page.keyboard.press("ArrowDown")
    wait_until(page, "() => location.search.includes('0000000000000006')")

    assert f"trace={TRACE_ID}" in page.url
    page.get_by_role("link", name="Traces").last.click()
    wait_until(page, "() => location.pathname === '/traces' && location.search.includes('window=24')")
    assert clean(witness), witness


def test_hostile_text_of_a_span_is_shown_and_does_nothing(page: Page, url: str) -> None:
    witness = Witness(url)
    witness.watch(page)

    page.goto(f"{url}/trace?trace={TRACE_ID}&span={LLM_SPAN_ID}")
    wait_until_drawn(page)
    shown = page.inner_text("body")
    for tab in ("Attributes", "Scores"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)

    assert "/leak.png) <img src=" in shown
    assert clean(witness), witness


def test_a_trace_of_five_thousand_spans_draws_only_what_is_seen(page: Page, url: str) -> None:
    page.goto(f"{url}/trace?trace={BIG_TRACE_ID}")
    wait_until_drawn(page)
    wait_until(page, "() => document.body.innerText.includes('5,000')")

    assert "5,000 spans" in page.locator(".waterfall .head").inner_text()
    assert 10 < page.locator(".waterfall .row").count() < 60


def test_a_live_page_draws_itself_again(page: Page, url: str) -> None:
    witness = Witness(url)
    witness.watch(page)
    frames: list[object] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    page.goto(f"{url}/?live=true")
    wait_until_drawn(page)
    before = len(frames)

    page.wait_for_timeout(12_000)

    assert len(frames) > before
    assert page.get_by_text("Cost by model").is_visible()
    assert clean(witness), witness


def test_the_window_chosen_goes_into_the_link_and_along_to_the_next_page(page: Page, url: str) -> None:
    page.goto(url)
    wait_until_drawn(page)

    page.get_by_role("radio", name="6 h").click()
    wait_until(page, "() => location.search.includes('window=6')")
    page.get_by_role("link", name="Cost").click()
    wait_until(page, "() => location.pathname === '/cost'")
    wait_until_drawn(page)

    assert "window=6" in page.url
