"""The Compare tab as a visitor uses it: types, adds, takes and opens prompts, measures and shares."""

from __future__ import annotations

import csv
import io
import json

import pytest

from playground.app.share import PageState
from tests.app.driver import PATIENCE, START, Visitor
from tests.app.looks import WATCH_SHIFTS, WIDTHS, barriers, spilled
from tests.app.payloads import PAYLOADS, as_template
from tests.app.test_browser_eval import MANY, give

pytestmark = pytest.mark.browser

AGREEMENT = "#compare-agreement"
TEXT = "The plot was thin, but I loved every minute."


def come(visitor: Visitor) -> Visitor:
    """Open the tab, and wait until it has taken what stands in Classify."""
    visitor.tab("Compare")
    visitor.page.locator("#compare-run").wait_for()
    visitor.until_value("compare-template-a", visitor.value("classify-template"))
    visitor.until_value("compare-text", visitor.value("classify-text"))
    return visitor


@pytest.fixture
def comparing(visitor) -> Visitor:
    return come(visitor)


def column(letter: str) -> str:
    return f"#compare-result-{letter}"


def press(visitor: Visitor, act: str, letter: str) -> None:
    visitor.page.locator(f"#compare-head-{letter} [data-act={act}]").click()


def add(visitor: Visitor, letter: str) -> None:
    visitor.page.locator("#compare-add").click()
    visitor.page.locator(f"#compare-head-{letter}").wait_for(timeout=PATIENCE)


def measure(visitor: Visitor) -> None:
    visitor.page.locator("#compare-run").click()
    visitor.page.locator("#compare-rows-csv").wait_for(timeout=4 * PATIENCE)


def saved(visitor: Visitor, button: str) -> str:
    with visitor.page.expect_download() as file:
        visitor.page.locator(f"#{button}").click()
    return file.value.path().read_text("utf-8")


# ---- one text -----------------------------------------------------------------------------------


def test_the_columns_are_scored_while_one_types(comparing, truth):
    box = comparing.box("compare-text")
    box.fill("")
    box.press_sequentially(TEXT)
    box.press("Backspace")
    text = TEXT[:-1]
    for letter in "ab":
        template = comparing.value(f"compare-template-{letter}")
        comparing.until(truth(text=text, template=template), column(letter))
    words = "good: great\nbad: awful, boring*0.5"
    comparing.box("compare-words-b").fill(words)
    template = comparing.value("compare-template-b")
    comparing.until(truth(text=text, template=template, label_words=words), column("b"))
    comparing.choose("compare-calibration-b", "none")
    wanted = truth(text=text, template=template, label_words=words, calibration="none")
    comparing.until(wanted, column("b"))
    template = comparing.value("compare-template-a")
    comparing.until(truth(text=text, template=template), column("a"))


def test_a_column_that_cannot_be_scored_leaves_the_others_alone(comparing, truth):
    old = comparing.bars(column("b"))
    comparing.box("compare-template-b").fill("no gap")
    line = "#compare-notice-b .pp-error"
    comparing.page.locator(line).wait_for(timeout=PATIENCE)
    assert comparing.said(line) == "The template has no {mask}; put {mask} where a label word should stand."  # fmt: skip
    comparing.box("compare-text").fill(TEXT)
    comparing.until(truth(text=TEXT), column("a"))
    assert comparing.bars(column("b")) == old
    assert comparing.page.locator("#compare-notice-a .pp-error").count() == 0


def test_prompts_come_and_go(comparing, truth):
    head = "#compare-head-a [data-act=remove]"
    assert not comparing.page.locator(head).is_visible()
    for letter in "cd":
        add(comparing, letter)
    comparing.page.locator("#compare-add").click()
    comparing.until_text(
        "#compare-notice .pp-error", "4 prompts fit side by side; remove one first."
    )
    press(comparing, "remove", "b")
    comparing.page.locator("#compare-head-b").wait_for(state="hidden", timeout=PATIENCE)
    template = comparing.value("compare-template-c")
    comparing.until(truth(template=template), column("c"))
    said = comparing.page.locator(f"{AGREEMENT} .pp-agreement")
    comparing.page.wait_for_function(
        "(s) => !document.querySelector(s).textContent.includes(' B ')",
        arg=f"{AGREEMENT} .pp-agreement",
        timeout=PATIENCE,
    )
    assert " C " in said.text_content()
    press(comparing, "remove", "d")
    comparing.page.locator("#compare-head-d").wait_for(state="hidden", timeout=PATIENCE)
    assert not comparing.page.locator(head).is_visible()


def test_the_first_column_is_the_prompt_of_classify(visitor, truth):
    template, text = "{text} I would say it is {mask}.", "The soup was cold."
    visitor.box("classify-template").fill(template)
    visitor.box("classify-text").fill(text)
    visitor.until(truth(template=template, text=text))
    come(visitor)
    visitor.until(truth(template=template, text=text), column("a"))
    assert visitor.value("compare-template-b") == START.template  # the card's, which A is not now
    visitor.tab("Classify")
    visitor.box("classify-template").fill(START.template)
    visitor.tab("Compare")
    visitor.page.wait_for_timeout(500)
    assert visitor.value("compare-template-a") == template  # only the first opening takes it
    press(visitor, "take", "a")
    visitor.until(truth(text=text), column("a"))


def test_choices_without_a_box_go_both_ways(visitor, truth):
    visitor.open_fold("classify-scoring")
    visitor.radio("max")
    visitor.until(truth(aggregation="max"))
    come(visitor)
    visitor.until(truth(aggregation="max"), column("a"))
    caption = visitor.page.locator("#compare-head-a .pp-caption")
    caption.wait_for(timeout=PATIENCE)
    assert caption.text_content() == "From Classify: aggregation max"
    visitor.tab("Classify")
    mean = visitor.page.locator("#classify-scoring").get_by_role("radio", name="mean", exact=True)
    mean.first.click()  # the pieces of a word have a mean too
    visitor.until(truth())
    visitor.tab("Compare")
    visitor.box("compare-text").fill(TEXT)
    visitor.until(truth(aggregation="max", text=TEXT), column("a"))
    press(visitor, "open", "a")
    visitor.page.locator("#classify-text textarea").wait_for(timeout=PATIENCE)
    visitor.until(truth(aggregation="max", text=TEXT))


def test_a_template_with_two_slots_brings_its_box(comparing, truth):
    assert not comparing.page.locator("#compare-text-b").is_visible()
    template = "{text_a} {mask} {text_b}"
    comparing.box("compare-template-b").fill(template)
    comparing.page.locator("#compare-text-b textarea").wait_for(timeout=PATIENCE)
    comparing.box("compare-text-b").fill("It was cold.")
    wanted = truth(template=template, second_text="It was cold.")
    comparing.until(wanted, column("b"))
    comparing.until(truth(), column("a"))


# ---- what leaves --------------------------------------------------------------------------------


def test_a_link_brings_the_prompts_back(comparing, arrive, truth):
    add(comparing, "c")
    comparing.box("compare-text").fill(TEXT)
    comparing.box("compare-words-c").fill("good: great\nbad: awful")
    template = comparing.value("compare-template-c")
    wanted = truth(text=TEXT, template=template, label_words="good: great\nbad: awful")
    comparing.until(wanted, column("c"))
    comparing.page.locator("#compare-link").click()
    comparing.until_text("#compare-notice .pp-note", "The link is copied and in the address bar.")
    token = comparing.clipboard().partition("?p=")[2]
    state = PageState.from_token(token)
    assert (state.tab, state.compared_texts, len(state.compared)) == ("compare", (TEXT,), 3)
    other = arrive(f"?p={token}")
    other.page.locator("#compare-run").wait_for(timeout=PATIENCE)
    other.until(wanted, column("c"))
    assert other.value("compare-text") == TEXT
    other.page.wait_for_timeout(500)
    assert other.value("compare-text") == TEXT  # the opening of the tab takes nothing over it
    assert not other.page.locator("#compare-head-d").is_visible()


def test_the_scores_and_the_program_leave(comparing, prompting):
    data = json.loads(saved(comparing, "compare-json"))
    assert [one["name"] for one in data] == ["A", "B"]
    found = prompting.explain({"text": START.text}, START.prompt())
    assert list(data[0]["scores"].values()) == pytest.approx(found.probabilities, abs=1e-6)
    comparing.page.locator("#compare-python").click()
    comparing.page.locator("#compare-code .cm-line").first.wait_for(timeout=PATIENCE)
    assert comparing.clipboard().startswith("from playground import Prompt, Prompting")


def test_two_visitors_are_apart(comparing, arrive, truth):
    other = come(arrive())
    add(other, "c")
    other.box("compare-text").fill("The soup was cold.")
    other.until(truth(text="The soup was cold."), column("a"))
    comparing.box("compare-text").fill(TEXT)
    comparing.until(truth(text=TEXT), column("a"))
    assert not comparing.page.locator("#compare-head-c").is_visible()
    assert other.value("compare-text") == "The soup was cold."


# ---- on rows ------------------------------------------------------------------------------------


def test_our_reviews_say_whether_one_wins_and_a_row_opens_above(comparing, truth):
    measure(comparing)
    told = comparing.page.locator("#compare-measured").text_content()
    assert "Done: 200 of 200 rows" in told
    assert "No winner on these 200 rows" in told
    row = comparing.page.locator("#compare-measured [data-act=row]").first
    start = row.text_content().rstrip("…")
    row.click()
    comparing.page.wait_for_function(
        "(start) => document.querySelector('#compare-text textarea').value.startsWith(start)",
        arg=start,
        timeout=PATIENCE,
    )
    text = comparing.value("compare-text")
    comparing.until(truth(text=text), column("a"))
    shown = comparing.page.locator(f"{AGREEMENT} .pp-agreement").text_content()
    assert shown.startswith("They disagree: ")
    rows = list(csv.DictReader(io.StringIO(saved(comparing, "compare-rows-csv"))))
    assert len(rows) == 200
    assert sum(name.startswith(("A · ", "B · ")) for name in rows[0]) == 6
    numbers = json.loads(saved(comparing, "compare-rows-json"))
    assert (numbers["rows"], numbers["winner"]) == (200, None)


def test_a_file_opened_in_eval_is_measured(comparing):
    comparing.tab("Eval")
    content = "body,label\n" + "I love it.,positive\nI hate it.,negative\n" * 20
    comparing.page.locator("#eval-run").wait_for()
    give(comparing, content)
    comparing.page.locator("#eval-preview").get_by_text("I love it.").first.wait_for()
    comparing.tab("Compare")
    measure(comparing)
    assert "Done: 40 of 40 rows" in comparing.page.locator("#compare-measured").text_content()


def test_prompts_with_other_labels_are_not_measured_together(comparing):
    comparing.box("compare-words-b").fill("yes: yes\nno: no")
    comparing.page.locator("#compare-run").click()
    comparing.until_text(
        "#compare-rows-notice .pp-error",
        "Prompt B has the labels yes, no and Prompt A has positive, negative; "
        "prompts are measured together only with the same labels.",
    )
    assert comparing.page.locator("#compare-run").is_enabled()


def test_a_run_is_stopped_and_keeps_what_it_has(comparing):
    comparing.tab("Eval")
    comparing.page.locator("#eval-run").wait_for()
    give(comparing, MANY)
    comparing.page.get_by_text("20,000 rows").wait_for(timeout=PATIENCE)
    comparing.tab("Compare")
    comparing.page.locator("#compare-run").click()
    comparing.page.locator("#compare-measured progress").wait_for(timeout=PATIENCE)
    comparing.page.locator("#compare-stop").click()
    comparing.page.locator("#compare-rows-csv").wait_for(timeout=PATIENCE)
    comparing.page.locator("#compare-measured").get_by_text("Stopped after ").wait_for(timeout=PATIENCE)  # fmt: skip
    comparing.page.wait_for_timeout(1000)  # nothing that was on its way paints over it
    assert "Stopped after " in comparing.page.locator("#compare-measured").text_content()


# ---- looks --------------------------------------------------------------------------------------


def test_the_tab_has_no_barrier(visitor):
    come(visitor)
    add(visitor, "c")
    visitor.box("compare-template-c").fill("no gap")
    visitor.page.locator("#compare-notice-c .pp-error").wait_for(timeout=PATIENCE)
    press(visitor, "remove", "c")
    measure(visitor)
    assert barriers(visitor) == []


def test_nothing_spills_over_the_side(arrive):
    visitor = come(arrive(width=390, height=844))
    for letter in "cd":
        add(visitor, letter)
    visitor.box("compare-text").fill("w" * 300)
    visitor.page.wait_for_timeout(500)
    measure(visitor)
    assert spilled(visitor, 390, *WIDTHS) == []


def test_on_a_phone_the_bars_of_a_prompt_come_before_its_boxes(arrive):
    phone = come(arrive(width=390, height=844))
    names = ("#compare-text", "#compare-agreement", "#compare-result-a", "#compare-template-a",
             "#compare-result-b", "#compare-template-b", "#compare-run")  # fmt: skip
    tops = {name: phone.page.locator(name).bounding_box()["y"] for name in names}
    assert sorted(tops, key=tops.get) == list(names)


def test_nothing_jumps_while_one_types(comparing, truth):
    comparing.page.evaluate(WATCH_SHIFTS)
    box = comparing.box("compare-text")
    box.press("End")
    for word in ("It", "was", "awful", "and", "dull."):
        old = comparing.seq(AGREEMENT)
        box.press_sequentially(f" {word}")
        comparing.until_new(old, AGREEMENT)
    comparing.box("compare-template-b").fill("{text} It was")
    comparing.page.locator("#compare-notice-b .pp-error").wait_for(timeout=PATIENCE)
    assert comparing.page.evaluate("window.shifted") < 0.02


def test_the_buttons_are_reached_by_keyboard(comparing):
    comparing.box("compare-text").focus()
    comparing.page.keyboard.press("Tab")
    focused = "document.activeElement.dataset.act + ' ' + getComputedStyle(document.activeElement).outlineStyle"  # fmt: skip
    assert comparing.page.evaluate(focused) == "take solid"
    comparing.page.keyboard.press("Tab")
    comparing.page.keyboard.press("Enter")
    comparing.page.locator("#classify-text textarea").wait_for(timeout=PATIENCE)


def test_payloads_are_only_text(comparing):
    alien = (
        "document.querySelectorAll('xss, iframe, marquee, [onerror], [onload], img[src=x]').length"
    )
    for payload in PAYLOADS[::4]:
        comparing.box("compare-text").fill(payload)
        comparing.box("compare-template-b").fill(as_template(payload))
        comparing.until_text(f"{column('b')} .pp-prompt", f"{payload} {payload} [MASK].")
        comparing.box("compare-words-b").fill(
            f"{payload.replace(':', '')}: x\nb: y\nno colon {payload.replace(':', '')}"
        )
        comparing.page.locator("#compare-notice-b .pp-error").wait_for(timeout=PATIENCE)
        comparing.box("compare-words-b").fill("a: x\nb: y")
        comparing.page.locator("#compare-notice-b .pp-error").wait_for(state="detached", timeout=PATIENCE)  # fmt: skip
        assert comparing.page.evaluate(alien) == 0
