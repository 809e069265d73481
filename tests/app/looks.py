"""How a page looks: barriers that axe finds in either theme, what spills over the side, what jumps."""

from __future__ import annotations

from contextlib import suppress

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError as TooLate

from tests.app.driver import Visitor

WIDTHS = (320, 390, 768, 1280)
# What axe may say inside Gradio's own code box (CodeMirror), and nowhere else.
_ALLOWED_IN_CODE = {
    "color-contrast",  # the colours of its light theme for Python
    "scrollable-region-focusable",  # its scroller takes no focus where the code is read-only
}
# Elements that stand out of the page to the right, but for what is scrolled inside its own box.
_SPILLED = """(width) => {
  const page = document.documentElement;
  const ends = (element) => element.getBoundingClientRect().right <= page.clientWidth + 1;
  const scrolled = (element) => {
    // Gradio's own container clips what stands out of it, which would only hide it
    for (let box = element.parentElement; box && !box.matches('.gradio-container'); box = box.parentElement)
      if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(box).overflowX) && ends(box)) return true;
    return false;
  };
  const found = [...document.querySelectorAll('body *')]
    .filter((e) => !ends(e) && !scrolled(e) && e.getBoundingClientRect().width > 0)
    .map((e) => e.outerHTML.slice(0, 120));
  return page.scrollWidth === width ? found : [...found, `the page, ${page.scrollWidth} wide`];
}"""
WATCH_SHIFTS = """() => {
  window.shifted = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.shifted += e.value; }))
    .observe({ type: 'layout-shift' });
}"""


def barriers(visitor: Visitor) -> list[tuple[str, str, str, str]]:
    """Return what axe finds in the light and in the dark theme: (theme, rule, where, what).

    It looks once nothing moves, and leaves Gradio's own code box out. The theme is the class that
    Gradio puts on the body; the page is light again afterwards.
    """
    found = []
    for theme in ("light", "dark"):
        visitor.page.evaluate(
            "(dark) => document.body.classList.toggle('dark', dark)", theme == "dark"
        )
        visitor.page.evaluate("Promise.all(document.getAnimations().map((a) => a.finished))")
        for rule in Axe().run(visitor.page).response["violations"]:
            for node in rule["nodes"]:
                where = node["target"][0]
                if not (rule["id"] in _ALLOWED_IN_CODE and _in_code(visitor, where)):
                    found.append((theme, rule["id"], where, node["html"][:200]))
    visitor.page.evaluate("document.body.classList.remove('dark')")
    return found


def spilled(visitor: Visitor, *widths: int) -> list[tuple[int, str]]:
    """Return what stands out of the page at each width: (width, element); then it is 1280 wide again.

    A chart takes a moment to follow the page's width, so what stands out may go within three seconds.
    """
    page, found = visitor.page, []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        with suppress(TooLate):
            page.wait_for_function(
                f"(wide) => ({_SPILLED})(wide).length === 0", arg=width, timeout=3000
            )
        found += [(width, element) for element in page.evaluate(_SPILLED, width)]
    page.set_viewport_size({"width": 1280, "height": 900})
    return found


def _in_code(visitor: Visitor, selector: str) -> bool:
    return visitor.page.evaluate(
        "(s) => !!document.querySelector(s).closest('.cm-editor')", selector
    )
