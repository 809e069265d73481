"""How the page looks and how it is reached: contrast, keyboard, phones, and nothing that jumps."""

from __future__ import annotations

import itertools

import pytest

from playground.prompts import Prompt
from tests.app.driver import START, Visitor
from tests.app.looks import WATCH_SHIFTS, WIDTHS, barriers, spilled

pytestmark = pytest.mark.browser

LONG = "It was a long and very slow film about a train that never came. " * 30


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_address_chooses_the_theme(visitor, theme):
    visitor.open(f"?__theme={theme}")
    dark = visitor.page.evaluate("document.body.classList.contains('dark')")
    assert dark is (theme == "dark")


# ---- accessibility ------------------------------------------------------------------------------


def test_classify_has_no_barrier(visitor):
    assert barriers(visitor) == []


def test_classify_has_no_barrier_with_everything_open(visitor, truth):
    """A pair, folded choices, a split word, a cut text, the program and the chart."""
    words = "yes: unputdownable*0.5, yes\nno: no"
    visitor.choose("classify-card", "nli")
    visitor.page.get_by_label("Hypothesis", exact=True).wait_for()
    visitor.box("classify-text").fill(LONG)
    visitor.box("classify-words").fill(words)
    card = Prompt.load("nli")
    second = visitor.value("classify-text-b")
    wanted = truth(text=LONG, second_text=second, template=card.template.source, label_words=words)
    visitor.until(wanted)
    visitor.click("sample", "negation")
    visitor.page.locator("#classify-about .pp-remark").wait_for()
    visitor.open_fold("classify-scoring")
    visitor.open_fold("classify-chart")
    visitor.page.locator("#classify-chart .main-svg").first.wait_for()
    visitor.box("classify-text").fill(LONG)
    second = visitor.value("classify-text-b")
    wanted = truth(text=LONG, second_text=second, template=card.template.source, label_words=words)
    visitor.until(wanted)
    visitor.page.locator("#classify-python").click()
    visitor.page.locator("#classify-code .cm-line").first.wait_for()
    assert barriers(visitor) == []


def test_an_error_is_no_barrier(visitor):
    visitor.box("classify-template").fill("no gap")
    visitor.page.get_by_role("alert").wait_for()
    assert barriers(visitor) == []


def test_fill_has_no_barrier(visitor):
    visitor.tab("Fill")
    visitor.page.locator("#fill-result-b [data-seq]").wait_for()
    assert barriers(visitor) == []
    visitor.radio("Add it to a label")
    visitor.page.locator("#fill-label input").wait_for()
    visitor.box("fill-a").fill("{mask} " * 5)
    visitor.page.get_by_role("alert").wait_for()
    assert barriers(visitor) == []


def test_compare_has_no_barrier(visitor):
    visitor.tab("Compare")
    visitor.page.locator("#compare-run").wait_for()
    assert barriers(visitor) == []


def test_ner_has_no_barrier(visitor):
    visitor.tab("NER")
    visitor.page.locator("#ner-result .pp-ent").first.wait_for()
    assert barriers(visitor) == []
    visitor.box("ner-text").fill("?!")
    visitor.page.get_by_role("alert").wait_for()
    assert barriers(visitor) == []


def test_ner_has_no_barrier_with_everything_open(visitor):
    """Nine types, nested entities, spans that are none, the choices, the table, lattice and program."""
    kinds = [
        f"type {k}: {word}"
        for k, word in enumerate(("dog", "soup", "car", "book", "sea", "day", "law"))
    ]
    visitor.tab("NER")
    visitor.box("ner-types").fill("\n".join(["person: man", "place: city", *kinds, "none: stuff"]))
    visitor.box("ner-text").fill(f"Ana Lima of Porto met Bo. {LONG} Rome Fell.")
    visitor.open_fold("ner-options")
    visitor.page.get_by_label("Nested", exact=True).check()
    visitor.page.locator("#ner-result .pp-ent-key").get_by_text("type 6").wait_for()
    visitor.page.locator("#ner-result .pp-ent, #ner-result .pp-free").first.click()
    visitor.page.locator("#ner-result .pp-picked").wait_for()
    for fold, inside in (
        ("ner-all", "#ner-table tbody tr"),
        ("ner-lattice", "#ner-lattice .main-svg"),
    ):
        visitor.open_fold(fold)
        # the first figure of a process costs the import of Plotly
        visitor.page.locator(inside).first.wait_for(timeout=60_000)
    visitor.page.locator("#ner-python").click()
    visitor.page.locator("#ner-code .cm-line").first.wait_for()
    assert barriers(visitor) == []


def test_pretrain_has_no_barrier(visitor):
    visitor.tab("Pretrain")
    visitor.page.locator("#pretrain-layers-result [data-seq]").wait_for()
    assert barriers(visitor) == []


def test_axe_sees_a_barrier(visitor):
    visitor.page.evaluate("document.querySelector('.pp-caption').style.color = '#eee'")
    found = [(theme, rule) for theme, rule, _, _ in barriers(visitor)]
    assert found == [("light", "color-contrast")]


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


def test_nothing_spills_over_the_side(visitor, truth):
    words = f"a label of many letters {'x' * 30}: {'y' * 60}, great\nnegative: unputdownable"
    text = "w" * 300
    visitor.box("classify-text").fill(text)
    visitor.box("classify-words").fill(words)
    visitor.until(truth(text=text, label_words=words))
    visitor.open_fold("classify-scoring")
    for tab in ("Classify", "Fill", "Compare"):
        visitor.tab(tab)
        visitor.page.locator(f"#{tab.lower()}-link").wait_for()
        assert spilled(visitor, *WIDTHS, 1920) == []


def test_what_spills_is_seen(visitor):
    visitor.page.evaluate("document.querySelector('#classify-result').style.width = '560px'")
    assert {width for width, _ in spilled(visitor, 390, 1280)} == {390}


def test_nothing_of_ner_spills_over_the_side(visitor):
    page = visitor.page
    visitor.tab("NER")
    page.locator("#ner-result .pp-ent").first.wait_for()
    visitor.box("ner-types").fill(f"a type of many letters {'x' * 30}: man, {'y' * 12}\nnone: film")
    visitor.box("ner-text").fill(f"Ana {'W' * 300} met {'Xy ' * 40} in Rome")
    visitor.open_fold("ner-options")
    visitor.open_fold("ner-all")
    page.locator("#ner-result .pp-ent-key").get_by_text("a type of many").wait_for()
    page.locator("#ner-table tbody tr").get_by_text("a type of many").first.wait_for()
    page.locator("#ner-python").click()
    page.locator("#ner-code .cm-line").first.wait_for()
    assert spilled(visitor, *WIDTHS) == []


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
