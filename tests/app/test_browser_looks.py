"""How the page looks and how it is reached: contrast, keyboard, phones, and nothing that jumps."""

from __future__ import annotations

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe

from playground.prompts import Prompt
from tests.app.driver import START, Visitor

pytestmark = pytest.mark.browser

LONG = "It was a long and very slow film about a train that never came. " * 30
# What axe may say inside Gradio's own code box (CodeMirror), and nowhere else.
ALLOWED_IN_CODE = {
    "color-contrast",  # the colours of its light theme for Python
    "scrollable-region-focusable",  # its scroller takes no focus where the code is read-only
}
# Elements that stand out of the page to the right, but for what is scrolled inside its own box.
SPILLED = """() => [...document.querySelectorAll('body *')].filter((element) => {
  if (element.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) return false;
  for (let box = element; box; box = box.parentElement)
    if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(box).overflowX) && box !== element
        && box.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) return false;
  return element.getBoundingClientRect().width > 0;
}).map((element) => element.outerHTML.slice(0, 120))"""
WATCH_SHIFTS = """() => {
  window.shifted = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.shifted += e.value; }))
    .observe({ type: 'layout-shift' });
}"""


def violations(visitor: Visitor) -> list[tuple[str, str, str]]:
    """Return what axe finds once nothing moves: (rule, where, what), without Gradio's own."""
    visitor.page.evaluate("Promise.all(document.getAnimations().map((a) => a.finished))")
    found = Axe().run(visitor.page).response["violations"]
    return [
        (rule["id"], node["target"][0], node["html"][:200])
        for rule in found
        for node in rule["nodes"]
        if not (rule["id"] in ALLOWED_IN_CODE and in_code(visitor, node["target"][0]))
    ]


def in_code(visitor: Visitor, selector: str) -> bool:
    return visitor.page.evaluate(
        "(s) => !!document.querySelector(s).closest('.cm-editor')", selector
    )


@pytest.fixture(params=["light", "dark"])
def themed(request, visitor) -> Visitor:
    """A visitor who likes it light, and one who likes it dark."""
    visitor.open(f"?__theme={request.param}")
    dark = visitor.page.evaluate("document.body.classList.contains('dark')")
    assert dark is (request.param == "dark")
    return visitor


# ---- accessibility ------------------------------------------------------------------------------


def test_classify_has_no_barrier(themed):
    assert violations(themed) == []


def test_classify_has_no_barrier_with_everything_open(themed, truth):
    """A pair, folded choices, a split word, a cut text, the program and the chart."""
    words = "yes: unputdownable*0.5, yes\nno: no"
    themed.choose("classify-card", "nli")
    themed.page.get_by_label("Hypothesis", exact=True).wait_for()
    themed.box("classify-text").fill(LONG)
    themed.box("classify-words").fill(words)
    card = Prompt.load("nli")
    second = themed.value("classify-text-b")
    wanted = truth(text=LONG, second_text=second, template=card.template.source, label_words=words)
    themed.until(wanted)
    themed.click("sample", "negation")
    themed.page.locator("#classify-about .pp-remark").wait_for()
    themed.open_fold("classify-scoring")
    themed.open_fold("classify-chart")
    themed.page.locator("#classify-chart .main-svg").first.wait_for()
    themed.box("classify-text").fill(LONG)
    second = themed.value("classify-text-b")
    wanted = truth(text=LONG, second_text=second, template=card.template.source, label_words=words)
    themed.until(wanted)
    themed.page.locator("#classify-python").click()
    themed.page.locator("#classify-code .cm-line").first.wait_for()
    assert violations(themed) == []


def test_an_error_is_no_barrier(themed):
    themed.box("classify-template").fill("no gap")
    themed.page.get_by_role("alert").wait_for()
    assert violations(themed) == []


def test_fill_has_no_barrier(themed):
    themed.tab("Fill")
    themed.page.locator("#fill-result-b [data-seq]").wait_for()
    assert violations(themed) == []
    themed.radio("Add it to a label")
    themed.page.locator("#fill-label input").wait_for()
    themed.box("fill-a").fill("{mask} " * 5)
    themed.page.get_by_role("alert").wait_for()
    assert violations(themed) == []


def test_compare_has_no_barrier(themed):
    themed.tab("Compare")
    themed.page.locator("#compare-run").wait_for()
    assert violations(themed) == []


def test_ner_has_no_barrier(themed):
    themed.tab("NER")
    themed.page.locator("#ner-result .pp-ent").first.wait_for()
    assert violations(themed) == []
    themed.box("ner-text").fill("?!")
    themed.page.get_by_role("alert").wait_for()
    assert violations(themed) == []


def test_ner_has_no_barrier_with_everything_open(themed):
    """Nine types, nested entities, spans that are none, the choices, the table, lattice and program."""
    kinds = [
        f"type {k}: {word}"
        for k, word in enumerate(("dog", "soup", "car", "book", "sea", "day", "law"))
    ]
    themed.tab("NER")
    themed.box("ner-types").fill("\n".join(["person: man", "place: city", *kinds, "none: stuff"]))
    themed.box("ner-text").fill(f"Ana Lima of Porto met Bo. {LONG} Rome Fell.")
    themed.open_fold("ner-options")
    themed.page.get_by_label("Nested", exact=True).check()
    themed.page.locator("#ner-result .pp-ent-key").get_by_text("type 6").wait_for()
    themed.page.locator("#ner-result .pp-ent, #ner-result .pp-free").first.click()
    themed.page.locator("#ner-result .pp-picked").wait_for()
    for fold, inside in (
        ("ner-all", "#ner-table tbody tr"),
        ("ner-lattice", "#ner-lattice .main-svg"),
    ):
        themed.open_fold(fold)
        # the first figure of a process costs the import of Plotly
        themed.page.locator(inside).first.wait_for(timeout=60_000)
    themed.page.locator("#ner-python").click()
    themed.page.locator("#ner-code .cm-line").first.wait_for()
    assert violations(themed) == []


def test_pretrain_has_no_barrier(themed):
    themed.tab("Pretrain")
    themed.page.locator("#pretrain-layers-result [data-seq]").wait_for()
    assert violations(themed) == []


def test_axe_sees_a_barrier(visitor):
    visitor.page.evaluate("document.querySelector('.pp-caption').style.color = '#eee'")
    assert [rule for rule, _, _ in violations(visitor)] == ["color-contrast"]


def test_headings_are_one_tree(visitor):
    levels = visitor.page.eval_on_selector_all(
        "h1, h2, h3, h4, h5, h6", "all => all.filter(h => h.offsetParent).map(h => +h.tagName[1])"
    )
    assert levels[:3] == [1, 2, 2]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


# ---- keyboard -----------------------------------------------------------------------------------


def focused(visitor: Visitor) -> dict[str, str]:
    return visitor.page.evaluate(
        """() => { const e = document.activeElement, s = getComputedStyle(e);
        return { act: e.dataset.act ?? '', text: e.textContent, id: e.closest('[id]')?.id ?? '',
                 outline: s.outlineStyle + ' ' + s.outlineWidth }; }"""
    )


def tab_to(visitor: Visitor, act: str, most: int = 60) -> dict[str, str]:
    """Press Tab until a button of ours has the focus."""
    for _ in range(most):
        visitor.page.keyboard.press("Tab")
        now = focused(visitor)
        if now["act"] == act:
            return now
    pytest.fail(f"Tab reaches no button that does {act}")


def test_an_example_is_reached_and_taken_by_keyboard(visitor, truth):
    visitor.box("classify-text").focus()
    tab_to(visitor, "example")
    visitor.page.keyboard.press("Tab")
    now = focused(visitor)
    assert now["outline"] == "solid 3px"
    visitor.page.keyboard.press("Enter")
    visitor.until(truth(text=now["text"]))
    assert visitor.value("classify-text") == now["text"] != START.text


def test_a_template_is_taken_with_the_space_bar(visitor, truth):
    visitor.box("classify-text").focus()
    tab_to(visitor, "template")
    visitor.page.keyboard.press("Tab")
    template = focused(visitor)["text"]
    visitor.page.keyboard.press("Space")
    visitor.until(truth(template=template))


def test_a_word_and_a_prediction_are_reached_by_keyboard(visitor, prompting):
    visitor.tab("Fill")
    visitor.box("fill-a").fill("The man ate soup.")
    visitor.until({}, "#fill-result-a")
    visitor.box("fill-a").focus()
    assert tab_to(visitor, "mask")["outline"] == "solid 3px"
    visitor.page.keyboard.press("Enter")
    visitor.until_value("fill-a", "{mask} man ate soup.")
    best = prompting.fill("{mask} man ate soup.", top_k=1)[0].token
    visitor.page.locator("#fill-result-a [data-act=pick]").first.wait_for()
    visitor.box("fill-a").focus()
    assert tab_to(visitor, "pick")["outline"] == "solid 3px"
    visitor.page.keyboard.press("Enter")
    visitor.until_value("fill-a", f"{best} man ate soup.")


def test_a_prompt_that_scrolls_is_reached_by_keyboard(visitor, truth):
    visitor.box("classify-text").fill(LONG)
    visitor.until(truth(text=LONG))
    prompt = visitor.page.locator("#classify-details .pp-prompt")
    prompt.focus()
    assert focused(visitor)["outline"] == "solid 3px"
    visitor.page.keyboard.press("End")
    visitor.page.wait_for_function(
        "document.querySelector('#classify-details .pp-prompt').scrollTop > 0", timeout=5000
    )


# ---- sizes --------------------------------------------------------------------------------------


@pytest.fixture
def phone(visitor):
    """A visitor with a phone."""
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    yield visitor
    visitor.page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_nothing_spills_over_the_side(visitor, truth, width):
    page = visitor.page
    words = f"a label of many letters {'x' * 30}: {'y' * 60}, great\nnegative: unputdownable"
    text = "w" * 300
    page.set_viewport_size({"width": width, "height": 844})
    visitor.box("classify-text").fill(text)
    visitor.box("classify-words").fill(words)
    visitor.until(truth(text=text, label_words=words))
    visitor.open_fold("classify-scoring")
    for tab in ("Classify", "Fill", "Compare"):
        visitor.tab(tab)
        page.locator(f"#{tab.lower()}-link").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(SPILLED) == []
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_of_ner_spills_over_the_side(visitor, width):
    page = visitor.page
    visitor.tab("NER")  # before a narrow page moves it into a menu
    page.set_viewport_size({"width": width, "height": 844})
    visitor.box("ner-types").fill(f"a type of many letters {'x' * 30}: man, {'y' * 50}\nnone: film")
    visitor.box("ner-text").fill(f"Ana {'W' * 300} met {'Xy ' * 40} in Rome")
    visitor.open_fold("ner-options")
    visitor.open_fold("ner-all")
    page.locator("#ner-result .pp-ent-key").get_by_text("a type of many").wait_for()
    page.locator("#ner-table tbody tr").get_by_text("a type of many").first.wait_for()
    page.locator("#ner-python").click()
    page.locator("#ner-code .cm-line").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(SPILLED) == []
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_entities_come_first_on_a_phone(visitor):
    visitor.tab("NER")
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    visitor.page.locator("#ner-result .pp-ent").first.wait_for()
    tops = {
        name: visitor.page.locator(name).bounding_box()["y"]
        for name in ("#ner-result", "#ner-text", "#ner-span", "#ner-all")
    }
    visitor.page.set_viewport_size({"width": 1280, "height": 900})
    assert sorted(tops, key=tops.get) == list(tops)


def test_nothing_jumps_while_one_types_a_name(visitor):
    visitor.tab("NER")
    visitor.page.locator("#ner-result .pp-ent").first.wait_for()
    visitor.page.evaluate(WATCH_SHIFTS)
    box = visitor.box("ner-text")
    box.press("End")
    for word in ("Then", "she", "met", "Bo."):
        old = visitor.seq("#ner-result")
        box.press_sequentially(f" {word}")
        visitor.until_new(old, "#ner-result")
    visitor.page.locator("#ner-result .pp-entities").get_by_text("Then she met").wait_for()
    assert visitor.page.evaluate("window.shifted") < 0.02


def test_all_tabs_are_equally_wide(visitor):
    widths = set()
    for tab in ("Classify", "Fill", "NER", "Compare", "Eval", "Train", "NLI", "Pretrain"):
        visitor.tab(tab)
        widths.add(visitor.page.locator("#tabs").bounding_box()["width"])
    assert len(widths) == 1
    assert widths.pop() > 1000


def test_the_bars_stay_in_sight_on_a_phone(phone, truth):
    for box in ("classify-text", "classify-template", "classify-words"):
        typed = phone.box(box)
        typed.scroll_into_view_if_needed()
        typed.press("End")
        typed.press("Space")
        typed.press("Backspace")
        phone.page.mouse.wheel(0, 0)
        bars = phone.page.locator("#classify-result .pp-bars")
        area, field = bars.bounding_box(), typed.bounding_box()
        assert area["y"] >= 0
        assert area["y"] + area["height"] <= 844
        assert field["y"] >= area["y"] + area["height"]  # they do not cover what one types
    phone.until(truth())


def test_the_bars_come_first_on_a_phone(phone):
    tops = {
        name: phone.page.locator(name).bounding_box()["y"]
        for name in ("#classify-result", "#classify-text", "#classify-details", "#classify-link")
    }
    assert sorted(tops, key=tops.get) == list(tops)


def test_nothing_jumps_while_one_types(visitor, truth):
    visitor.page.evaluate(WATCH_SHIFTS)
    box = visitor.box("classify-text")
    box.press("End")
    for word in ("It", "was", "awful", "and", "dull."):
        old = visitor.seq()
        box.press_sequentially(f" {word}")
        visitor.until_new(old)
    visitor.until(truth(text=f"{START.text} It was awful and dull."))
    assert visitor.page.evaluate("window.shifted") < 0.02


def test_nothing_jumps_when_something_is_missing_for_a_moment(visitor, truth):
    visitor.page.evaluate(WATCH_SHIFTS)
    box = visitor.box("classify-template")
    box.fill("{text} It was")
    visitor.page.get_by_role("alert").wait_for()
    box.fill("{text} It was {mask}")
    visitor.until(truth(template="{text} It was {mask}"))
    assert visitor.page.evaluate("window.shifted") < 0.02


def test_the_watch_over_jumps_sees_one(visitor):
    visitor.page.evaluate(WATCH_SHIFTS)
    visitor.page.evaluate("document.querySelector('#tabs').style.marginTop = '200px'")
    visitor.page.wait_for_function("window.shifted > 0.02", timeout=5000)
