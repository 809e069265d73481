"""The Pretrain tab as a visitor uses it: plays the training, writes a text, and looks at heads."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from playground import Prompt, Prompting, resources
from playground.app.bars import percent
from playground.app.lens_view import telling
from playground.app.share import PageState
from playground.app.tabs.pretrain import START
from playground.tasks.pretraining.timelapse import FILE, Probe, Timelapse
from tests.app.driver import PATIENCE, Visitor
from tests.app.looks import WATCH_SHIFTS, WIDTHS, barriers, spilled
from tests.app.payloads import PAYLOADS
from tests.app.serving import Site, served
from tests.tasks.pretraining.lapses import TEXTS, small

pytestmark = pytest.mark.browser

RESULT, TABLE = "#pretrain-result", "#pretrain-table"
LAYERS, ATTENTION = "#pretrain-layers-result", "#pretrain-attention-result"
NOTICE = "#pretrain-notice .pp-notice"
COPIED = "The link is copied and in the address bar."


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The shipped model with a small record of a pretraining, whose last sentences are hostile."""
    place = tmp_path_factory.mktemp("models") / "mine"
    shutil.copytree(resources.shipped_models()["playground-mini"], place)
    (place / "SHA256SUMS").unlink(missing_ok=True)
    lapse = small()
    hostile = (Probe(f"{payload} [MASK]", (((payload, 0.5),),) * 3) for payload in PAYLOADS)
    probes = (*lapse.probes, *hostile)
    Timelapse(lapse.curve, lapse.checkpoints, probes).save(place / FILE)
    return place


@pytest.fixture(scope="module")
def site(folder) -> Iterator[Site]:
    """An app that opens with that model; all visitors of this module come to it."""
    with served(model=folder) as running:
        yield running


@pytest.fixture
def tab(visitor) -> Visitor:
    visitor.tab("Pretrain")
    visitor.page.locator(f"{LAYERS} [data-seq]").wait_for()
    visitor.page.locator(f"{RESULT} [data-seq]").wait_for()
    return visitor


def names(visitor: Visitor) -> list[str]:
    """Return the tokens beside the bars that are seen."""
    return [
        bar.locator(".pp-name").text_content()
        for bar in visitor.page.locator(f"{RESULT} .pp-bar").all()
        if bar.is_visible()
    ]


def until(visitor: Visitor, wanted: list[str]) -> None:
    visitor.page.wait_for_function(
        f"(wanted) => JSON.stringify([...document.querySelectorAll('{RESULT} .pp-bar')]"
        ".filter((bar) => bar.style.visibility !== 'hidden')"
        ".map((bar) => bar.querySelector('.pp-name').textContent)) === JSON.stringify(wanted)",
        arg=wanted,
        timeout=PATIENCE,
    )


def guesses(visitor: Visitor) -> list[str]:
    return visitor.page.locator(f"{LAYERS} .pp-guess").all_text_contents()


def until_layers(visitor: Visitor, prompting: Prompting, text: str) -> None:
    """Wait until the layers of a text are shown, all five of each."""
    wanted = [fill.token for row in prompting.layers(text).layers for fill in row]
    visitor.page.wait_for_function(
        f"(wanted) => JSON.stringify([...document.querySelectorAll('{LAYERS} .pp-guess')]"
        ".map((one) => one.textContent)) === JSON.stringify(wanted)",
        arg=wanted,
        timeout=PATIENCE,
    )


def downloaded(visitor: Visitor, button: str) -> tuple[str, str]:
    with visitor.page.expect_download() as waiting:
        visitor.page.locator(f"#{button}").click()
    file = waiting.value
    return file.suggested_filename, Path(file.path()).read_text(encoding="utf-8")


# ---- through training ---------------------------------------------------------------------------


def test_the_slider_moves_through_the_training_without_the_server(tab):
    assert names(tab) == ["france", "paris"]
    tab.page.wait_for_function(  # what opening the tab has asked for is answered
        """() => {
            const asked = performance.getEntriesByType("resource").length;
            const calm = window.asked === asked ? (window.calm || 0) + 1 : 0;
            window.asked = asked; window.calm = calm;
            return calm >= 10;
        }""",
        polling=100,
    )
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    slide = tab.page.locator(f"{RESULT} input[type=range]")
    slide.focus()
    tab.page.keyboard.press("ArrowLeft")
    until(tab, ["the", "france"])
    assert tab.page.locator(f"{RESULT} .pp-number").all_text_contents() == ["20.0 %", "12.5 %"]
    when = "Step 200 · 51 k tokens read · held-out loss 5.50 nats · perplexity 245"
    assert tab.page.locator(f"{RESULT} .pp-when").text_content() == when
    assert slide.get_attribute("aria-valuetext") == when
    row = tab.page.locator(f"{TABLE} .pp-now")
    assert row.get_attribute("data-frame") == "1"
    dot = tab.page.locator(f"{RESULT} circle.pp-here")
    assert (dot.get_attribute("cx"), dot.get_attribute("cy")) == (
        row.get_attribute("data-x"),
        row.get_attribute("data-y"),
    )
    tab.page.keyboard.press("Home")
    until(tab, ["the", "."])
    assert asked == []


def test_a_row_of_the_table_opens(tab):
    tab.page.locator(f"{TABLE} [data-go='0']").click()
    until(tab, ["the", "."])
    assert tab.page.locator(f"{RESULT} input[type=range]").input_value() == "0"


def test_play_runs_from_the_first_checkpoint_to_the_last_and_stops(tab):
    button = tab.page.locator(f"{RESULT} [data-play]")
    button.click()
    until(tab, ["the", "."])
    assert button.text_content() == "⏸ Pause"
    until(tab, ["france", "paris"])
    tab.page.wait_for_function(
        f"document.querySelector('{RESULT} [data-play]').textContent === '▶ Play'", timeout=PATIENCE
    )


def test_pause_stays_where_it_is(tab):
    button = tab.page.locator(f"{RESULT} [data-play]")
    button.click()
    until(tab, ["the", "."])
    button.click()
    assert button.text_content() == "▶ Play"
    tab.page.wait_for_timeout(1200)  # longer than a frame
    assert names(tab) == ["the", "."]
    button.click()  # goes on from there
    until(tab, ["the", "france"])


def test_another_sentence_keeps_the_checkpoint_and_fills_the_text(tab, prompting):
    tab.page.locator(f"{TABLE} [data-go='1']").click()
    until(tab, ["the", "france"])
    tab.choose("pretrain-sentence", TEXTS[1])
    until(tab, ["sun", "day"])
    assert tab.page.locator(f"{RESULT} .pp-prompt").text_content() == TEXTS[1]
    tab.until_value("pretrain-text", TEXTS[1])
    until_layers(tab, prompting, TEXTS[1])


def test_fewer_tokens_leave_no_bar_of_before(tab):
    tab.choose("pretrain-sentence", TEXTS[1])
    until(tab, ["<i>", "##s"])
    tab.page.locator(f"{TABLE} [data-go='0']").click()
    until(tab, ["a"])


def test_the_lapse_leaves_as_csv(tab):
    name, text = downloaded(tab, "pretrain-lapse-csv")
    rows = list(csv.reader(io.StringIO(text)))
    assert name == "pretraining.csv"
    assert rows[1] == [TEXTS[0], "0", "0", "8.5", "1", "the", "0.05"]
    assert len(rows) == 7


def test_payloads_in_the_file_are_text_on_the_page(tab):
    """The strings of a model's folder go through the script too, which writes text and no HTML."""
    for payload in PAYLOADS[::3]:
        tab.page.locator("#pretrain-sentence input").fill(f"{payload} [MASK]")
        tab.page.get_by_role("option", name=f"{payload} [MASK]", exact=True).click()
        until(tab, [payload])
        tab.page.locator(f"{TABLE} [data-go='0']").click()
        until(tab, [payload])
    inside = "#pretrain-lapse :is(script, img, iframe, xss, [onerror], [onload], [onfocus])"
    assert tab.page.locator(inside).count() == 0


# ---- inside one prediction ----------------------------------------------------------------------


def test_the_layers_follow_the_text(tab, prompting):
    until_layers(tab, prompting, START)
    box = tab.box("pretrain-text")
    box.fill("The film was {mask}.")
    until_layers(tab, prompting, "The film was {mask}.")
    shares = tab.page.locator(f"{LAYERS} .pp-grows").all_text_contents()
    view = prompting.layers("The film was {mask}.")
    assert shares == [
        f"{percent(share)} #{rank:,}"
        for share, rank in zip(view.probabilities, view.ranks, strict=True)
    ]
    found = prompting.attention("The film was {mask}.")
    assert tab.page.locator(f"{ATTENTION} .pp-from").all_text_contents() == list(found.tokens)


def test_what_is_missing_is_said_and_the_last_result_stays(tab, prompting):
    until_layers(tab, prompting, START)
    for text, said in (
        ("no gap", '"no gap" has no mask; write {mask} where a word is missing.'),
        (
            "{mask} {mask}",
            "The text has 2 masks and the layers are read at one; write {mask} once.",
        ),
    ):
        tab.box("pretrain-text").fill(text)
        tab.until_text(NOTICE, said)
    until_layers(tab, prompting, START)
    tab.box("pretrain-text").fill("It is {mask}.")
    until_layers(tab, prompting, "It is {mask}.")
    tab.until_text(NOTICE, "")


def test_pointing_at_a_token_shows_where_it_looks(tab, prompting):
    found = prompting.attention(START)
    layer, head = telling(found)
    title = tab.page.locator(f"{ATTENTION} h2")
    assert title.text_content() == f"Attention: layer {layer}, head {head}"
    token = tab.page.locator(f"{ATTENTION} [data-look='1']")
    token.hover()
    tab.page.wait_for_function(
        f"document.querySelector('{ATTENTION} [data-look=\"1\"]').ariaPressed === 'true'"
    )
    row = found.weights[layer - 1, head - 1, 1].astype(float).round(3)
    shown = tab.page.locator(f"{ATTENTION} .pp-to .pp-small").all_text_contents()
    assert shown == [f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %" for share in row]
    said = tab.page.locator(f"{ATTENTION} .pp-looks").text_content()
    assert said.startswith(f"{found.tokens[1]} looks at {found.tokens[row.argmax()]} ")
    lit = tab.page.locator(f"{ATTENTION} line.pp-on")
    assert {one.get_attribute("data-from") for one in lit.all()} == {"1"}


def test_a_tap_holds_a_token_when_another_head_is_picked(tab):
    tab.page.locator(f"{ATTENTION} [data-look='2']").click()
    tab.page.locator("#pretrain-heads [data-arg='3|2']").click()
    tab.until_text(f"{ATTENTION} h2", "Attention: layer 3, head 2")
    tab.page.wait_for_function(
        f"document.querySelector('{ATTENTION} [data-look=\"2\"]').ariaPressed === 'true'"
    )
    assert tab.page.locator("#pretrain-heads .pp-picked").get_attribute("data-arg") == "3|2"


def test_a_head_stays_when_the_text_changes(tab, prompting):
    tab.page.locator("#pretrain-heads [data-arg='3|2']").click()
    tab.until_text(f"{ATTENTION} h2", "Attention: layer 3, head 2")
    tab.box("pretrain-text").fill("It is {mask}.")
    until_layers(tab, prompting, "It is {mask}.")
    assert tab.page.locator(f"{ATTENTION} h2").text_content() == "Attention: layer 3, head 2"


def test_heads_and_tokens_are_reached_by_keyboard(tab):
    for place in ("#pretrain-heads [data-arg='2|2']", f"{ATTENTION} [data-look='3']"):
        tab.page.locator(place).focus()
        tab.page.keyboard.press("Enter")
    tab.until_text(f"{ATTENTION} h2", "Attention: layer 2, head 2")


def test_payloads_as_text_are_tokens(tab, prompting):
    for payload in PAYLOADS[1::4]:
        text = f"{payload} {{mask}}"
        tab.box("pretrain-text").fill(text)
        until_layers(tab, prompting, text)
        tokens = list(prompting.attention(text).tokens)
        assert tab.page.locator(f"{ATTENTION} .pp-from").all_text_contents() == tokens
    inside = "#pretrain-inside :is(script, img, iframe, xss, [onerror], [onload], [onfocus])"
    assert tab.page.locator(inside).count() == 0


# ---- what leaves, and what comes back -----------------------------------------------------------


def test_a_link_brings_all_of_it_back(tab, arrive, prompting, site):
    tab.choose("pretrain-sentence", TEXTS[1])
    tab.until_value("pretrain-text", TEXTS[1])
    text = "A dog is a <b>{mask}</b>."
    tab.box("pretrain-text").fill(text)
    until_layers(tab, prompting, text)
    tab.page.locator("#pretrain-heads [data-arg='4|3']").click()
    tab.until_text(f"{ATTENTION} h2", "Attention: layer 4, head 3")
    tab.page.locator("#pretrain-link").click()
    tab.until_text(NOTICE, COPIED)
    url = tab.clipboard()
    state = PageState.from_token(url.partition("?p=")[2])
    wanted = {"text": text, "sentence": TEXTS[1], "layer": 4, "head": 3}
    assert (state.tab, dict(state.pretrain)) == ("pretrain", wanted)
    other = arrive(f"?p={url.partition('?p=')[2]}")
    other.until_value("pretrain-text", text)
    until_layers(other, prompting, text)
    other.until_text(f"{ATTENTION} h2", "Attention: layer 4, head 3")
    until(other, ["<i>", "##s"])
    assert other.page.get_by_role("tab", name="Pretrain").get_attribute("aria-selected") == "true"


def test_a_link_with_what_is_not_there_still_answers(arrive, prompting):
    card = PageState(
        Prompt.load("sentiment"),
        tab="pretrain",
        pretrain={
            "text": "It is {mask}.",
            "sentence": "none of these [MASK]",
            "layer": 99,
            "head": 1,
        },
    )
    other = arrive(f"?p={card.token()}")
    other.until_value("pretrain-text", "It is {mask}.")
    until_layers(other, prompting, "It is {mask}.")
    other.choose("pretrain-sentence", TEXTS[1])  # the box still answers
    until(other, ["<i>", "##s"])


def test_files_leave_with_the_numbers_on_the_page(tab, prompting):
    tab.page.locator("#pretrain-heads [data-arg='2|3']").click()
    tab.until_text(f"{ATTENTION} h2", "Attention: layer 2, head 3")
    name, text = downloaded(tab, "pretrain-json")
    data = json.loads(text)
    assert (name, data["text"]) == ("inside.json", START)
    assert data["layers"] == prompting.layers(START).to_json()
    assert data["attention"] == prompting.attention(START).to_json(2, 3)
    name, text = downloaded(tab, "pretrain-layers-csv")
    assert (name, len(text.splitlines())) == ("layers.csv", 1 + 5 * len(prompting.layers(START)))
    name, text = downloaded(tab, "pretrain-attention-csv")
    tokens = prompting.attention(START).tokens
    assert (name, len(text.splitlines())) == ("attention.csv", 1 + len(tokens))
    tab.page.locator("#pretrain-python").click()
    tab.page.locator("#pretrain-code .cm-line").first.wait_for()
    assert "prompting.layers(text)" in tab.clipboard()


# ---- looks --------------------------------------------------------------------------------------


def test_the_tab_has_no_barrier(visitor):
    visitor.tab("Pretrain")
    visitor.page.locator(f"{LAYERS} [data-seq]").wait_for()
    visitor.page.locator(f"{TABLE} [data-go='1']").click()
    visitor.page.locator(f"{ATTENTION} [data-look='1']").click()
    assert barriers(visitor) == []
    visitor.box("pretrain-text").fill("no gap")
    visitor.page.get_by_role("alert").wait_for()
    assert barriers(visitor) == []


def test_nothing_spills_over_the_side(tab, prompting):
    text = f"An unputdownable {'w' * 60} of {'Xy ' * 20} {{mask}}"
    tab.box("pretrain-text").fill(text)
    until_layers(tab, prompting, text)
    assert spilled(tab, *WIDTHS) == []


def test_results_come_first_on_a_phone(tab):
    tab.page.set_viewport_size({"width": 390, "height": 844})
    tops = {
        name: tab.page.locator(name).bounding_box()["y"]
        for name in (RESULT, "#pretrain-sentence", TABLE, LAYERS, "#pretrain-text", ATTENTION, "#pretrain-heads")
    }  # fmt: skip
    tab.page.set_viewport_size({"width": 1280, "height": 900})
    assert sorted(tops, key=tops.get) == list(tops)


def test_nothing_jumps_while_the_training_plays(tab):
    tab.page.evaluate(WATCH_SHIFTS)
    tab.page.locator(f"{RESULT} [data-play]").click()
    until(tab, ["the", "."])
    until(tab, ["france", "paris"])
    assert tab.page.evaluate("window.shifted") < 0.02


def test_a_model_without_a_record_says_so_and_comes_back(tab, folder, tmp_path, prompting):
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    (bare / FILE).unlink()
    until_layers(tab, prompting, START)

    def take(model: Path) -> None:
        tab.page.locator("#model input").fill(str(model))
        tab.page.locator("#model input").press("Enter")

    take(bare)
    tab.until_text(
        "#pretrain-lapse-notice .pp-notice",
        'The model "bare" brings no record of its pretraining; choose one that playground pretrain has made.',
    )
    assert tab.page.locator("#pretrain-sentence").count() == 0
    assert tab.page.locator(f"{RESULT} .pp-bar").count() == 0
    until_layers(tab, prompting, START)
    take(folder)
    until(tab, ["france", "paris"])
    tab.page.locator(f"{TABLE} [data-go='0']").click()
    until(tab, ["the", "."])
