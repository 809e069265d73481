"""A stranger at the page: what he types, clicks and reads. Waits are for results, never for time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as TooLate

from playground import Prompting
from playground.app.bars import percent
from playground.app.session import Inputs
from playground.app.tabs.cards import first_texts
from playground.app.tabs.classify import default_prompt, input_values
from playground.engine import Explanation
from tests.app.serving import Site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
PATIENCE = 15_000  # ms; a result takes about 100
START = Inputs("", *input_values(default_prompt(), first_texts(default_prompt())))

_READ = """(result) => Object.fromEntries([...document.querySelectorAll(result + ' .pp-bar')].map(
  (bar) => [bar.querySelector('.pp-name').textContent, bar.querySelector('.pp-number').textContent]))"""
_AGREES = f"""([result, wanted]) => {{
  const read = {_READ};
  return JSON.stringify(Object.entries(read(result))) === JSON.stringify(wanted);
}}"""


def shown(found: Explanation) -> dict[str, str]:
    """Return the numbers beside the bars of a result."""
    shares = map(percent, found.probabilities)
    return dict(zip(found.labels, shares, strict=True))


@dataclass
class Visitor:
    """One visitor with a page of his own; ``problems`` are what no page may do."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def open(self, query: str = "") -> Visitor:
        """Open the page and wait for its first result."""
        self.leave()
        self.page.goto(f"{self.url}/{query}")
        self.page.wait_for_selector("#classify-result [data-seq]", state="attached")
        return self

    def leave(self) -> None:
        """Leave the page; that it gives up what is on its way is no problem of its own."""
        met = list(self.problems)
        self.page.goto("about:blank")
        self.problems[:] = met

    # ---- what he reads --------------------------------------------------------------------------

    def bars(self, result: str = "#classify-result") -> dict[str, str]:
        """Return the numbers by label as they stand."""
        return self.page.evaluate(_READ, result)

    def until(self, wanted: Mapping[str, str], result: str = "#classify-result") -> None:
        """Wait until the bars say ``wanted``, label by label in order."""
        try:
            pairs = [list(pair) for pair in wanted.items()]
            self.page.wait_for_function(_AGREES, arg=[result, pairs], timeout=PATIENCE)
        except TooLate:
            assert self.bars(result) == dict(wanted)
            raise

    def seq(self, result: str = "#classify-result") -> int:
        """Return the number of the result on the page."""
        return int(self.page.locator(f"{result} [data-seq]").get_attribute("data-seq"))

    def until_new(self, old: int, result: str = "#classify-result") -> None:
        """Wait for a result after number ``old``."""
        self.page.wait_for_function(
            "([result, old]) => +document.querySelector(result + ' [data-seq]').dataset.seq > old",
            arg=[result, old],
            timeout=PATIENCE,
        )

    def until_text(self, selector: str, text: str) -> None:
        """Wait until an element's text is ``text``."""
        try:
            self.page.wait_for_function(
                "([s, t]) => document.querySelector(s)?.textContent.trim() === t",
                arg=[selector, text],
                timeout=PATIENCE,
            )
        except TooLate:
            assert self.page.locator(selector).text_content().strip() == text
            raise

    def until_value(self, box: str, value: str) -> None:
        """Wait until a text box holds ``value``."""
        try:
            self.page.wait_for_function(
                "([s, v]) => document.querySelector(s)?.value === v",
                arg=[f"#{box} textarea", value],
                timeout=PATIENCE,
            )
        except TooLate:
            assert self.value(box) == value
            raise

    def said(self, line: str = "#classify-notice .pp-notice") -> str:
        return self.page.locator(line).text_content()

    def box(self, name: str) -> Locator:
        return self.page.locator(f"#{name} textarea")

    def value(self, box: str) -> str:
        return self.box(box).input_value()

    # ---- what he does ---------------------------------------------------------------------------

    def tab(self, name: str) -> None:
        listed = self.page.get_by_role("tab", name=name, exact=True)
        if not listed.count():  # a narrow page keeps it in a menu
            self.page.get_by_role("button", name="More tabs").click()
            listed = self.page.locator(".overflow-dropdown").get_by_text(name, exact=True)
        listed.click()

    def click(self, act: str, text: str, inside: str = "#classify-about") -> None:
        """Click the button of ours that reports ``act`` and shows ``text``."""
        buttons = self.page.locator(f"{inside} [data-act={act}]")
        buttons.get_by_text(text, exact=True).first.click()

    def choose(self, dropdown: str, option: str) -> None:
        self.page.locator(f"#{dropdown} input").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def radio(self, name: str) -> None:
        self.page.get_by_role("radio", name=name, exact=True).click()

    def open_fold(self, name: str) -> None:
        self.page.locator(f"#{name} > button").click()

    def open_card(self, card: object) -> None:
        """Give a card file to the page."""
        content = card if isinstance(card, bytes) else json.dumps(card).encode()
        file = {"name": "card.json", "mimeType": "application/json", "buffer": content}
        self.page.locator("#classify-about input[type=file]").set_input_files(files=[file])

    def clipboard(self) -> str:
        return self.page.evaluate("navigator.clipboard.readText()")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium that finds no host but this machine."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


Arrive = Callable[..., Visitor]


def _context(browser: Browser, width: int, height: int) -> BrowserContext:
    return browser.new_context(
        viewport={"width": width, "height": height},
        permissions=["clipboard-read", "clipboard-write"],
        reduced_motion="reduce",  # nothing to wait for until it stands still
    )


@pytest.fixture(scope="module")
def desk(browser: Browser, site: Site) -> Iterator[Visitor]:
    """A page that the visitors of a module use one after the other: to open it again is quick."""
    context = _context(browser, 1280, 900)
    shared = Visitor(context.new_page(), site.url)
    _watch(shared)
    yield shared
    context.close()


@pytest.fixture
def visitor(desk: Visitor) -> Iterator[Visitor]:
    """A visitor at the page as it opens, who meets no dialog, no error, no request to elsewhere."""
    desk.problems.clear()
    yield desk.open()
    desk.leave()
    assert desk.problems == []


@pytest.fixture
def arrive(browser: Browser, site: Site) -> Iterator[Arrive]:
    """Return a builder of further visitors, each in a context of his own, as watched over."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def make(query: str = "", *, width: int = 1280, height: int = 900, url: str = "") -> Visitor:
        contexts.append(_context(browser, width, height))
        visitors.append(Visitor(contexts[-1].new_page(), url or site.url))
        _watch(visitors[-1])
        return visitors[-1].open(query)

    yield make
    for context in contexts:
        context.close()
    assert [visitor.problems for visitor in visitors] == [[] for _ in visitors]


def _watch(visitor: Visitor) -> None:
    page, problems = visitor.page, visitor.problems

    def dialog(opened) -> None:
        problems.append(f"dialog: {opened.message}")
        opened.dismiss()

    def request(sent) -> None:
        if not sent.url.startswith((f"{visitor.url}/", "data:", "blob:")):
            problems.append(f"request: {sent.url}")

    def console(message) -> None:
        if message.type == "error":
            problems.append(f"console: {message.text}")

    page.on("dialog", dialog)
    page.on("request", request)
    page.on("console", console)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))


Truth = Callable[..., dict[str, str]]


@pytest.fixture
def truth(prompting: Prompting) -> Truth:
    """Return what the engine says of the page's inputs, changed by name, as the bars show it."""

    def say(**changes: str) -> dict[str, str]:
        inputs = Inputs(**(vars(START) | changes))
        prompt = inputs.prompt()
        return shown(prompting.explain(inputs.row(prompt), prompt))

    return say
