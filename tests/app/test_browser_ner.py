"""The NER tab as a visitor uses it: types, invents a type, looks at a span, and takes it all away."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import TimeoutError as TooLate

from playground import Prompt, Prompting
from playground.app.bars import percent
from playground.app.share import PageState
from playground.app.tabs.classify import default_prompt
from playground.app.tabs.ner import CARD, EXAMPLES, Choices, NerInputs, card_text
from playground.prompts import link
from playground.tasks.entities import Entity, EntityTyper, TypedSpans, decode
from tests.app.driver import PATIENCE, Visitor
from tests.app.payloads import PAYLOADS, as_word
from tests.app.test_browser_looks import focused, tab_to

pytestmark = pytest.mark.browser

RESULT, SPAN, NOTICE = "#ner-result", "#ner-span", "#ner-notice .pp-notice"
TYPES, TEMPLATES = card_text(Prompt.load(CARD))
START = NerInputs("", EXAMPLES[0], TYPES, TEMPLATES, "names", 4, "contextual")
COPIED = "The link is copied and in the address bar."
# The entities on the page: what each mark covers without the names of types, and its own type.
_MARKED = """() => [...document.querySelectorAll('#ner-result .pp-ent')].map((mark) => {
  const own = mark.cloneNode(true), label = own.lastElementChild.textContent;
  own.querySelectorAll('.pp-tag').forEach((tag) => tag.remove());
  return [own.textContent, label];
})"""
_PLAIN = """() => {
  const own = document.querySelector('#ner-result .pp-entities')?.cloneNode(true);
  own?.querySelectorAll('.pp-tag').forEach((tag) => tag.remove());
  return own?.textContent;
}"""
_SAYS = f"(wanted) => JSON.stringify(({_MARKED})()) === JSON.stringify(wanted)"


@pytest.fixture
def ner(visitor) -> Visitor:
    visitor.tab("NER")
    visitor.page.locator(f"{RESULT} [data-seq]").wait_for()
    return visitor


@pytest.fixture(scope="module")
def find(prompting: Prompting):
    """Return what the engine finds with the page's inputs, changed by name."""

    def found(**changes: object) -> tuple[TypedSpans, list[Entity]]:
        own = {k: v for k, v in changes.items() if k in NerInputs.__annotations__}
        how = Choices(**{k: v for k, v in changes.items() if k not in own})
        chosen = replace(START, **own)
        typer = EntityTyper(prompting, chosen.prompt(), prior=chosen.prior)
        typed = typer.type_text(
            chosen.text, candidates=chosen.candidates, most_words=chosen.most_words
        )
        return typed, decode(typed, **asdict(how))

    return found


def marked(found: list[Entity]) -> list[list[str]]:
    """Return the entities as the page's marks stand."""
    return [[entity.text, entity.label] for entity in found]


def until(visitor: Visitor, wanted: list[list[str]]) -> None:
    """Wait until the marks on the page are ``wanted``."""
    try:
        visitor.page.wait_for_function(_SAYS, arg=wanted, timeout=PATIENCE)
    except TooLate:
        assert visitor.page.evaluate(_MARKED) == wanted
        raise


def reads(visitor: Visitor, text: str) -> None:
    """Wait until the drawn text without the names of types is ``text``, letter by letter."""
    try:
        visitor.page.wait_for_function(
            f"(text) => ({_PLAIN})() === text", arg=text, timeout=PATIENCE
        )
    except TooLate:
        assert visitor.page.evaluate(_PLAIN) == text
        raise


def set_slider(visitor: Visitor, name: str, value: float) -> None:
    box = visitor.page.locator(f"#{name} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def download(visitor: Visitor, button: str) -> tuple[str, str]:
    with visitor.page.expect_download() as file:
        visitor.page.locator(f"#{button}").click()
    return file.value.suggested_filename, Path(file.value.path()).read_text(encoding="utf-8")


# ---- what is drawn ------------------------------------------------------------------------------


def test_the_tab_opens_filled_and_drawn(ner, find):
    typed, found = find()
    assert (ner.value("ner-text"), ner.value("ner-types")) == (EXAMPLES[0], TYPES)
    assert len(found) >= 4
    until(ner, marked(found))
    reads(ner, EXAMPLES[0])
    assert "Closely: Maria Lopez" in ner.page.locator(SPAN).text_content()
    cost = ner.page.locator(f"{RESULT} .pp-legend").text_content()
    assert cost.startswith(
        f"{len(typed)} candidate spans × 3 templates: {typed.prompts} different prompts in "
    )


def test_each_edit_moves_the_entities(ner, find):
    box = ner.box("ner-text")
    box.fill("")
    ner.until_text(NOTICE, "The text has no words; write a sentence with a name in it.")
    text = "Ana met Bo in Rome 👩‍👩‍👧 & <b>Lima</b>."
    box.press_sequentially(text)
    until(ner, marked(find(text=text)[1]))
    ner.until_text(NOTICE, "")
    reads(ner, text)
    for _ in range(len("& <b>Lima</b>.")):
        box.press("Backspace")
    until(ner, marked(find(text=text.removesuffix("& <b>Lima</b>."))[1]))
    reads(ner, text.removesuffix("& <b>Lima</b>."))


def test_a_type_that_one_invents_appears_at_once(ner, find):
    text = "Ana cooked Soup and Bread in Rome."
    types = f"{TYPES}\nfood: food, dish, meal, soup"
    ner.box("ner-text").fill(text)
    ner.box("ner-types").fill(types)
    _, found = find(text=text, types=types)
    assert "food" in {entity.label for entity in found}
    until(ner, marked(found))
    keys = ner.page.locator(f"{RESULT} .pp-ent-key").all_text_contents()
    counts = {label: sum(e.label == label for e in found) for label in ("person", "location", "organization", "food")}  # fmt: skip
    assert keys == [f"{label} {count}" for label, count in counts.items()]


def test_the_threshold_moves_the_drawing_and_nothing_else(ner, find, prompting: Prompting):
    until(ner, marked(find()[1]))
    cost = ner.page.locator(f"{RESULT} .pp-legend").text_content()
    for threshold in (4.7, 8, -2):
        wanted = marked(find(threshold=threshold)[1])
        set_slider(ner, "ner-threshold", threshold)
        until(ner, wanted)
        assert ner.page.locator(f"{RESULT} .pp-legend").text_content() == cost  # its time too
    assert len(marked(find(threshold=4.7)[1])) not in (0, 5)


def test_overlaps_nesting_candidates_and_prior_are_the_engines(ner, find):
    text = "Ana Lima of Porto met Bo"
    ner.box("ner-text").fill(text)
    ner.open_fold("ner-options")
    changes: dict[str, object] = {"text": text}
    for name, value, act in (
        ("candidates", "all", lambda: ner.radio("all")),
        ("threshold", -1, lambda: set_slider(ner, "ner-threshold", -1)),
        ("decoding", "best total", lambda: ner.radio("best total")),
        ("nested", True, lambda: ner.page.get_by_label("Nested", exact=True).check()),
        ("most_words", 2, lambda: set_slider(ner, "ner-most-words", 2)),
        ("prior", "span", lambda: ner.radio("span")),
    ):
        act()
        changes[name] = value
        until(ner, marked(find(**changes)[1]))
        reads(ner, text)
    infos = ner.page.locator("#ner-prior").text_content()
    assert "Divided by what the prompt says of the span alone" in infos


def test_a_span_shows_its_scores_and_its_prompts(ner, find):
    typed, found = find()
    until(ner, marked(found))
    place = [typed.words(k) for k in range(len(typed))].index("Madrid")
    ner.page.locator(f"{RESULT} mark.pp-ent").get_by_text("location").nth(1).click()
    ner.until_text(f"{SPAN} h2", "Closely: Madrid")
    shares = dict(zip(typed.labels, map(percent, np.exp(typed.log_probs[place])), strict=True))
    ner.until(shares, SPAN)
    prompts = ner.page.locator(f"{SPAN} .pp-prompt").all_text_contents()
    assert prompts == [
        EXAMPLES[0].replace("Madrid", "the [MASK] Madrid"),
        EXAMPLES[0].replace("Madrid", "[MASK] Madrid"),
        "The [MASK] of Madrid.",
    ]
    picked = ner.page.locator(f"{RESULT} .pp-picked")
    assert picked.get_attribute("data-arg") == str(place)
    set_slider(ner, "ner-threshold", 8)  # it stays in sight when it is no entity any more
    until(ner, [])
    ner.page.locator(SPAN).get_by_text("is not over the threshold of 8").wait_for(timeout=PATIENCE)
    assert ner.page.locator(f"{SPAN} h2").text_content() == "Closely: Madrid"


def test_what_is_none_says_why(ner, find):
    set_slider(ner, "ner-threshold", 8)
    until(ner, [])
    ner.page.locator(f"{RESULT} .pp-free").get_by_text("Oslo", exact=True).click()
    ner.until_text(f"{SPAN} h2", "Closely: Oslo")
    assert "is not over the threshold of 8" in ner.page.locator(SPAN).text_content()


def test_an_example_is_taken_with_one_click(ner, find):
    for k in (1, 4):
        ner.page.locator("#ner-examples [data-act=example]").nth(k).click()
        ner.until_value("ner-text", EXAMPLES[k])
        until(ner, marked(find(text=EXAMPLES[k])[1]))


def test_names_without_capitals_are_found_among_all_spans(ner, find):
    text = EXAMPLES[-1]
    ner.page.locator("#ner-examples [data-act=example]").last.click()
    ner.until_value("ner-text", text)
    until(ner, [])
    ner.page.locator(SPAN).get_by_text("No span to look at").wait_for(timeout=PATIENCE)
    ner.open_fold("ner-options")
    ner.radio("all")
    _, found = find(text=text, candidates="all")
    assert found
    until(ner, marked(found))


@pytest.mark.parametrize("name", ["entity_fine", "entity_tutorial"])
def test_a_card_opens_with_its_types_and_templates(ner, find, name):
    types, templates = card_text(Prompt.load(name))
    ner.choose("ner-card", name)
    ner.until_value("ner-types", types)
    until(ner, marked(find(types=types, templates=templates)[1]))
    ner.open_fold("ner-options")
    assert ner.value("ner-templates") == templates


@pytest.mark.parametrize(
    ("box", "value", "sentence"),
    [
        ("ner-types", "person: man\nfood:\nnone: thing", 'Label "food" has no words; add at least one after the colon.'),
        ("ner-types", "", "There are no label words; write a label a line, such as positive: great, good."),
        ("ner-templates", "It is a {mask}.", 'The template "It is a {mask}." has no {span}; put {span} where the name should stand.'),
        ("ner-templates", "{span} is it.", "The template has no {mask}; put {mask} where a label word should stand."),
        ("ner-templates", "", "There is no template; write one with {span} and {mask}."),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_sentence_and_the_drawing_stays(ner, find, box, value, sentence):
    wanted = marked(find()[1])
    until(ner, wanted)
    ner.open_fold("ner-options")
    good = ner.value(box)
    ner.box(box).fill(value)
    ner.until_text(NOTICE, sentence)
    assert ner.page.evaluate(_MARKED) == wanted
    ner.box(box).fill(good)
    ner.until_text(NOTICE, "")


def test_the_result_is_read_out_once_one_stops_typing(ner, find):
    ner.box("ner-text").fill(EXAMPLES[1])
    _, found = find(text=EXAMPLES[1])
    ner.until_text("#pp-live", ", ".join(f"{e.text}: {e.label}" for e in found))


def test_the_table_and_the_lattice_open(ner, find):
    typed, _ = find()
    ner.open_fold("ner-all")
    rows = ner.page.locator("#ner-table tbody tr")
    rows.first.wait_for(timeout=PATIENCE)
    order = sorted(range(len(typed)), key=lambda k: -typed.best(k)[1])
    names = ner.page.locator("#ner-table tbody [data-act=span]").all_text_contents()
    assert names == [typed.words(k) for k in order]
    ner.page.locator("#ner-table tbody [data-act=span]").last.click()
    ner.until_text(f"{SPAN} h2", f"Closely: {typed.words(order[-1])}")
    ner.open_fold("ner-lattice")
    # the first figure of a process costs the import of Plotly
    ner.page.locator("#ner-lattice .main-svg").first.wait_for(timeout=4 * PATIENCE)
    drawn = ner.page.locator("#ner-lattice .xaxislayer-above text").all_text_contents()
    assert drawn[:3] == ["Maria", "Lopez", "moved"]
    ner.box("ner-text").fill(EXAMPLES[1])
    until(ner, marked(find(text=EXAMPLES[1])[1]))
    ner.page.locator("#ner-table").get_by_text("Savaş").wait_for(timeout=PATIENCE)  # it follows
    assert rows.count() == len(find(text=EXAMPLES[1])[0])
    set_slider(ner, "ner-threshold", 8)
    until(ner, [])
    ner.page.wait_for_function(
        "() => !document.querySelector('#ner-table').textContent.includes('yes')"
    )
    assert ner.page.locator("#ner-lattice .main-svg").count() == 0  # that of the old text is gone


# ---- what leaves the page -----------------------------------------------------------------------


def test_the_files_agree_with_the_page(ner, find):
    text = 'Ana "Lima", =1+1 of Porto; 👩‍👩‍👧 met Bo\nin Rome'
    ner.box("ner-text").fill(text)
    typed, found = find(text=text)
    assert len(found) >= 2
    until(ner, marked(found))
    name, table = download(ner, "ner-csv")
    assert name == "spans.csv"
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [(int(r["start"]), int(r["end"]), r["span"]) for r in rows] == [
        (s.start, s.end, text[s.start : s.end]) for s in typed.spans
    ]
    assert [r["entity"] for r in rows].count("yes") == len(found)
    for place, row in enumerate(rows):
        label, margin = typed.best(place)
        assert row["type"] == label
        assert float(row["margin"]) == pytest.approx(margin, abs=1e-3)
        assert sum(float(row[f"p_{one}"]) for one in typed.labels) == pytest.approx(1, abs=1e-4)
    name, numbers = download(ner, "ner-json")
    data = json.loads(numbers)
    assert (name, data["text"], data["threshold"]) == ("entities.json", text, Choices().threshold)
    assert [(e["start"], e["end"], e["label"], e["text"]) for e in data["entities"]] == [
        (e.start, e.end, e.label, e.text) for e in found
    ]
    name, line = download(ner, "ner-spacy")
    assert name == "spacy.jsonl"
    assert json.loads(line) == {
        "text": text,
        "entities": [[e.start, e.end, e.label.upper()] for e in found],
    }
    ner.page.get_by_label("Nested", exact=True).check()
    _, line = download(ner, "ner-spacy")
    assert list(json.loads(line)) == ["text", "spans"]


def test_the_program_is_copied_and_goes_away_with_an_edit(ner, find):
    ner.page.locator("#ner-python").click()
    ner.page.locator("#ner-code .cm-line").first.wait_for()
    program = ner.clipboard()
    assert program.startswith("from playground import Prompt, Prompting, Template, Verbalizer\n")
    assert repr(EXAMPLES[0]) in program
    compile(program, "program", "exec")
    set_slider(ner, "ner-threshold", 4.7)
    ner.page.locator("#ner-code").wait_for(state="hidden")


def test_nothing_leaves_while_something_is_missing(ner):
    ner.open_fold("ner-options")
    ner.box("ner-templates").fill("no gap")
    ner.page.locator("#ner-notice .pp-error").wait_for(timeout=PATIENCE)
    said, address = ner.said(NOTICE), ner.page.url
    for button in ("ner-link", "ner-csv", "ner-json", "ner-spacy", "ner-python"):
        ner.page.locator(f"#{button}").click()
    ner.until_text(NOTICE, said)
    assert ner.page.url == address
    assert not ner.page.locator("#ner-code").is_visible()


def test_a_link_restores_everything_for_somebody_else(ner, arrive, find):
    changes = {
        "text": "Ana Lima of Porto <b>met</b> Bo & {x}",
        "types": "person: man, friend*0.5\nplace: city, country\nnone: thing, film",
        "templates": "The {mask} {span}.\n{before}the {mask} {span}{after}",
        "candidates": "all",
        "most_words": 3,
        "prior": "span",
        "threshold": -0.5,
        "decoding": "best total",
        "nested": True,
    }
    ner.open_fold("ner-options")
    for box in ("text", "types", "templates"):
        ner.box(f"ner-{box}").fill(changes[box])
    for choice in ("all", "span", "best total"):
        ner.radio(choice)
    set_slider(ner, "ner-most-words", 3)
    set_slider(ner, "ner-threshold", -0.5)
    ner.page.get_by_label("Nested", exact=True).check()
    wanted = marked(find(**changes)[1])
    assert wanted
    until(ner, wanted)
    ner.page.locator("#ner-link").click()
    ner.until_text(NOTICE, COPIED)
    ner.page.wait_for_url("**/?p=1.*")
    assert ner.clipboard() == ner.page.url

    friend = arrive(ner.page.url.removeprefix(f"{ner.url}/"))
    friend.page.locator(f"{RESULT} [data-seq]").wait_for(timeout=PATIENCE)  # its tab is open
    until(friend, wanted)
    friend.open_fold("ner-options")
    assert [friend.value(f"ner-{box}") for box in ("text", "types", "templates")] == [
        changes[box] for box in ("text", "types", "templates")
    ]
    checked = friend.page.locator("#ner-options input[type=radio]:checked, #ner-decoding input[type=radio]:checked")  # fmt: skip
    assert sorted(radio.get_attribute("value") for radio in checked.all()) == [
        *("all", "best total", "span"),
    ]
    numbers = [
        friend.page.locator(f"#{name} input[type=number]").input_value()
        for name in ("ner-most-words", "ner-threshold")
    ]
    assert [float(number) for number in numbers] == [3, -0.5]
    assert friend.page.get_by_label("Nested", exact=True).is_checked()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"candidates": "some"}, 'The link\'s candidates of NER is "some"; choose one of names, names and numbers, all.'),
        ({"prior": "<b>magic</b>"}, 'The link\'s prior of NER is "<b>magic</b>"; choose one of contextual, none, span.'),
        ({"decoding": "worst"}, 'The link\'s decoding of NER is "worst"; choose one of greedy, best total.'),
        ({"most_words": 50}, 'The link\'s most words of NER is "50"; it must be from 1 to 6.'),
        ({"threshold": -50}, 'The link\'s threshold of NER is "-50"; it must be from -2 to 8.'),
    ],
)  # fmt: skip
def test_a_link_with_a_choice_that_is_not_offered_says_so_and_the_page_works(
    arrive, find, state, sentence
):
    page = PageState(default_prompt(), tab="ner", ner={"text": "Ana in Rome", **state})
    visitor = arrive(f"?p={page.token()}")
    visitor.until_text(NOTICE, sentence)
    until(visitor, marked(find()[1]))
    visitor.box("ner-text").fill("Bo in Rome")
    until(visitor, marked(find(text="Bo in Rome")[1]))
    visitor.until_text(NOTICE, "")


def test_a_link_with_a_value_of_the_wrong_kind_says_so_and_leaves_the_page(visitor, find):
    card = default_prompt().to_json()
    visitor.open(f"?p={link.pack({'card': card, 'tab': 'ner', 'ner': {'text': 5}})}")
    said = 'The link\'s text of NER is "5"; copy the link again.'
    visitor.until_text("#classify-notice .pp-notice", said)
    visitor.tab("NER")
    until(visitor, marked(find()[1]))


# ---- visitors, keyboard, hostile text -----------------------------------------------------------


def test_two_visitors_are_apart(ner, arrive, find):
    other = arrive()
    other.tab("NER")
    types = "person: man\nplace: city\nnone: thing"
    other.box("ner-types").fill(types)
    ner.box("ner-text").fill(EXAMPLES[1])
    until(other, marked(find(types=types)[1]))
    until(ner, marked(find(text=EXAMPLES[1])[1]))
    set_slider(other, "ner-threshold", 8)  # the spans that a visitor keeps are his own
    set_slider(ner, "ner-threshold", -2)
    until(other, marked(find(types=types, threshold=8)[1]))
    until(ner, marked(find(text=EXAMPLES[1], threshold=-2)[1]))
    assert (other.value("ner-text"), ner.value("ner-types")) == (EXAMPLES[0], TYPES)


def test_a_tag_is_reached_and_opened_by_keyboard(ner, find):
    until(ner, marked(find()[1]))
    ner.box("ner-text").press("End")  # he has left his mouse
    ner.page.locator(f"{RESULT} .pp-entities").focus()
    assert focused(ner)["outline"] == "solid 3px"
    first = tab_to(ner, "span", 1)
    assert (first["text"], first["outline"]) == ("person", "solid 3px")
    assert tab_to(ner, "span", 1)["text"] == "location"
    ner.page.keyboard.press("Enter")
    ner.until_text(f"{SPAN} h2", "Closely: Norway")
    ner.box("ner-text").focus()
    tab_to(ner, "example")
    ner.page.keyboard.press("Tab")
    taken = focused(ner)["text"]
    ner.page.keyboard.press("Space")
    ner.until_value("ner-text", taken)
    assert taken == EXAMPLES[1]


def test_what_is_typed_is_only_text(ner, find):
    """The visitor of this page meets no dialog, no request and no error of the console."""
    for payload in PAYLOADS[::6]:
        text = f"Ana {payload} Bo"
        types = f"person: man, {as_word(payload)[:20] or 'x'}\nplace: city\nnone: thing"
        ner.box("ner-text").fill(text)
        ner.box("ner-types").fill(types)
        until(ner, marked(find(text=text, types=types)[1]))
        reads(ner, text)
    assert ner.page.locator(f"{RESULT} script, {RESULT} img, {RESULT} svg").count() == 0


def test_a_model_that_is_not_there_is_told_in_the_tab(ner, find):
    box = ner.page.locator("#model input")
    box.fill("no such model!")
    box.press("Enter")
    ner.page.locator("#ner-notice .pp-error").wait_for(timeout=PATIENCE)
    assert ner.said(NOTICE).startswith('The model "no such model!" is neither a folder here')
    box.fill("playground-mini")
    box.press("Enter")
    ner.until_text(NOTICE, "")
    until(ner, marked(find()[1]))
