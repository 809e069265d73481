"""``bench app``: cold start, keystroke to paint, page weight and memory, in headless Chromium."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from playground.bench.report import Cell, Report, Table, circumstances
from playground.bench.serving import resident, started
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_TEXT, _WORDS = "#classify-text textarea", "#classify-words textarea"
_RESULT = "#classify-result [data-seq]"
_START_MILLISECONDS, _ANSWER_MILLISECONDS = 180_000, 20_000
_SETTLE_MILLISECONDS = 3_000
_TYPED = " and the music was lovely"
_LABEL_WORDS = "positive: great, good\nnegative: awful, bad*0.1"

# From the key's own time stamp to the first task behind the frame that shows another data-seq.
_CLOCK = """() => {
  const seq = () => document.querySelector('#classify-result [data-seq]')?.dataset.seq;
  const clock = window.__clock = {pressed: null, before: null, times: []};
  addEventListener('keydown', event => {
    clock.pressed = event.timeStamp; clock.before = seq();
  }, true);
  new MutationObserver(() => {
    if (clock.pressed === null || !seq() || seq() === clock.before) return;
    const pressed = clock.pressed;
    clock.pressed = null;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => clock.times.push(performance.now() - pressed);
      channel.port2.postMessage(0);
    });
  }).observe(document.querySelector('#classify-result'),
             {subtree: true, childList: true, attributes: true});
}"""


def measure_app(*, model: str | None, say: Callable[[str], None]) -> Report:
    """Start the app, open it in a browser, type into it, and say how long things took."""
    try:
        from playwright.sync_api import TimeoutError as TooLate
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise PlaygroundError(
            "bench app needs playwright; install the project with its dev extra."
        ) from None
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise PlaygroundError("bench app needs the chromium command; install the package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        try:
            with started(model, say) as (process, address, start):
                rows = _visit(browser, process, address, start, say)
        except TooLate as error:
            raise PlaygroundError(
                f"The app did not answer in time ({str(error).splitlines()[0]})."
            ) from None
        finally:
            browser.close()
    notes = (
        "Keystroke to paint: from the key event to the first task behind the frame that shows the "
        "new result.",
    )
    table = Table(
        "The app, headless Chromium", {"": "", "measured": ",.1f", "unit": ""}, rows, notes
    )
    return Report("app", "Prompt Playground, Classify tab", (table,), circumstances())


def _visit(
    browser: Browser,
    process: subprocess.Popen,
    address: str,
    start: float,
    say: Callable[[str], None],
) -> tuple[tuple[Cell, ...], ...]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    weight = _Weight(page)
    opened = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(_RESULT, timeout=_START_MILLISECONDS)
    scored = time.perf_counter()
    page.wait_for_timeout(_SETTLE_MILLISECONDS)  # never network-idle: Gradio keeps a line open
    idle = resident(process.pid)
    say("typing")
    page.evaluate(_CLOCK)
    page.locator(_TEXT).press("End")
    text = _typed(page, _TEXT, list(_TYPED))
    _set_words(page)
    words = _typed(page, _WORDS, ["5", "Backspace"] * 12)
    rows: list[tuple[Cell, ...]] = [
        ("cold start: process to first scored page", scored - start, "s"),
        ("page: request to first scored page", scored - opened, "s"),
        ("text edit: keystroke to paint, median", statistics.median(text), "ms"),
        ("text edit: slowest", max(text), "ms"),
        ("label-word edit: keystroke to paint, median", statistics.median(words), "ms"),
        ("label-word edit: slowest", max(words), "ms"),
        ("page weight, transferred", weight.bytes / 1000, "kB"),
        ("requests", weight.requests, ""),
        ("requests to other hosts", weight.foreign, ""),
        ("resident memory, page open", idle, "MiB"),
        ("resident memory, after typing", resident(process.pid), "MiB"),
    ]
    return tuple(row for row in rows if row[1] is not None)


def _set_words(page: Page) -> None:
    """Put label words that stay valid under each key of the clock's typing, and await their result."""
    before = page.locator(_RESULT).first.get_attribute("data-seq")
    page.locator(_WORDS).fill(_LABEL_WORDS)
    page.wait_for_function(
        "before => document.querySelector('#classify-result [data-seq]')?.dataset.seq !== before",
        arg=before,
        timeout=_ANSWER_MILLISECONDS,
    )
    page.locator(_WORDS).press("Control+End")
    page.wait_for_timeout(300)


def _typed(page: Page, target: str, keys: list[str]) -> list[float]:
    """Press the keys one by one, each after the answer to the last; return milliseconds to paint."""
    page.evaluate("() => { window.__clock.times = []; window.__clock.pressed = null; }")
    page.locator(target).focus()
    for count, key in enumerate(keys, start=1):
        page.keyboard.press("Space" if key == " " else key)
        page.wait_for_function(
            "count => window.__clock.times.length >= count",
            arg=count,
            timeout=_ANSWER_MILLISECONDS,
        )
        page.wait_for_timeout(120)  # a person's pause; the last frame is done
    return page.evaluate("() => window.__clock.times")


class _Weight:
    """Counts what the page fetches: requests, bytes on the wire, and hosts that are not ours."""

    def __init__(self, page: Page) -> None:
        self.bytes = self.requests = self.foreign = 0
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.loadingFinished", self._finished)
        session.on("Network.requestWillBeSent", self._sent)

    def _finished(self, event: dict[str, Any]) -> None:
        self.bytes += int(event.get("encodedDataLength", 0))

    def _sent(self, event: dict[str, Any]) -> None:
        url = event["request"]["url"]
        self.requests += 1
        self.foreign += url.startswith("http") and not url.startswith("http://127.0.0.1:")
