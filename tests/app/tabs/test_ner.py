"""The NER tab's own functions: what is asked, what is drawn without a model, and what leaves the page."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from playground import Prompt, resources
from playground.app import build
from playground.app.markup import notice
from playground.app.registry import Registry
from playground.app.share import PageState
from playground.app.tabs.classify import build_classify, default_prompt
from playground.app.tabs.ner import (
    CARD,
    EXAMPLES,
    Choices,
    Found,
    NerInputs,
    NerTab,
    _place,
    build_ner,
    card_text,
    drawn,
)
from playground.errors import PlaygroundError
from playground.prompts import ScoringOptions
from playground.settings import Settings
from playground.tasks.entities import CANDIDATES, DECODINGS, PRIORS, EntityTyper, decode, export
from tests.app.elements import buttons, select, texts

ROOT = Path(__file__).resolve().parents[3]
TYPES, TEMPLATES = card_text(Prompt.load(CARD))
START = NerInputs("", EXAMPLES[0], TYPES, TEMPLATES, "names", 4, "contextual")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(Settings())


@pytest.fixture(scope="module")
def opened(registry):
    """The spans of the first example."""
    return START.typed(registry)


# ---- what is asked ------------------------------------------------------------------------------


def test_the_boxes_hold_the_card_and_give_it_back():
    card, prompt = Prompt.load(CARD), START.prompt()
    assert prompt.templates == card.templates
    assert prompt.verbalizer == card.verbalizer
    assert (prompt.scoring, prompt.task) == (ScoringOptions(), "entity")


@pytest.mark.parametrize(
    "name", [n for n in resources.card_names() if Prompt.load(n).task == "entity"]
)
def test_every_card_of_entities_types_the_first_example(name, registry):
    types, templates = card_text(Prompt.load(name))
    chosen = replace(START, types=types, templates=templates)
    assert chosen.prompt().templates == Prompt.load(name).templates
    found = chosen.typed(registry)
    assert len(found) == 5
    np.testing.assert_allclose(np.exp(found.log_probs).sum(1), 1, atol=1e-6)


def test_templates_are_one_a_line_and_said_twice_count_once():
    chosen = replace(
        START, templates="\n  The {mask} {span}. \n\nA {span} {mask}\nThe {mask} {span}.\n"
    )
    assert [t.source for t in chosen.prompt().templates] == [
        "The {mask} {span}.",
        "A {span} {mask}",
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"templates": " \n\n"}, "There is no template; write one with {span} and {mask}."),
        ({"templates": None}, "There is no template; write one with {span} and {mask}."),
        ({"templates": "{span} {mask}\n" * 7}, "There are 7 templates; the page averages 6 at most."),
        ({"templates": "{span} is it."}, "The template has no {mask}; put {mask} where a label word should stand."),
        ({"types": ""}, "There are no label words; write a label a line, such as positive: great, good."),
        ({"types": None}, "There are no label words; write a label a line, such as positive: great, good."),
        ({"types": "person: man"}, "There is one label; give at least two, one a line."),
    ],
)  # fmt: skip
def test_a_prompt_that_cannot_be_is_one_sentence(changes, sentence):
    with pytest.raises(PlaygroundError) as error:
        replace(START, **changes).prompt()
    assert str(error.value) == sentence


def test_six_templates_are_averaged(registry):
    lines = [f"{start} {{mask}} {{span}}." for start in ("The", "A", "This", "That", "Our", "My")]
    assert START.typed(registry).prompts == 3 * 5
    assert replace(START, templates="\n".join(lines)).typed(registry).prompts == 6 * 5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"templates": "It is a {mask}."}, 'The template "It is a {mask}." has no {span}; put {span} where the name should stand.'),
        ({"templates": "{span} {premise} {mask}"}, 'The template "{span} {premise} {mask}" takes {premise}; one that types spans takes {span}, {text}, {before} and {after}.'),
        ({"types": "none: thing\nNone : stuff"}, "There is no type but none; add one, such as person: man, woman."),
        ({"text": ""}, "The text has no words; write a sentence with a name in it."),
        ({"text": None}, "The text has no words; write a sentence with a name in it."),
        ({"text": "?! …"}, "The text has no words; write a sentence with a name in it."),
        ({"text": "x" * 20_001}, "The text has 20,001 characters; the most is 20,000."),
        ({"text": "a " * 600, "candidates": "all"}, "The text has 2,394 candidate spans and the most is 2,000; shorten it, take fewer words a span, or candidates that look like names."),
        ({"candidates": "some"}, 'There are no candidates "some"; choose one of names, names and numbers, all.'),
        ({"prior": "magic"}, 'There is no prior "magic"; choose one of contextual, none, span.'),
        ({"candidates": "all", "most_words": 0}, "A span has at least 1 word; 0 is asked for."),
    ],
)  # fmt: skip
def test_what_cannot_be_typed_is_one_sentence(registry, changes, sentence):
    with pytest.raises(PlaygroundError) as error:
        replace(START, **changes).typed(registry)
    assert str(error.value) == sentence


def test_every_choice_reaches_the_typer(registry, prompting):
    chosen = replace(START, candidates="all", most_words=2, prior="span")
    own = EntityTyper(prompting, START.prompt(), prior="span")
    expected = own.type_text(START.text, candidates="all", most_words=2)
    found = chosen.typed(registry)
    assert found.spans == expected.spans
    np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=1e-5)
    assert np.abs(found.log_probs[:5] - replace(chosen, prior="none").typed(registry).log_probs[:5]).max() > 0.1  # fmt: skip


# ---- what is drawn without a model --------------------------------------------------------------


def entities(shown: str) -> list[tuple[str, str]]:
    """Return the drawn entities: which span, and its type."""
    return [(e.attributes["data-arg"], e.text) for e in select(shown, "pp-tag")]


def test_moving_a_choice_draws_anew_and_runs_no_model(registry, opened):
    runner = registry.get().runner
    before = runner.prompts_run
    pictures = {}
    for threshold in (-2.0, 1.0, 4.7, 8.0):
        shown, _, _ = drawn(registry, Found(START, opened), Choices(threshold=threshold))
        expected = decode(opened, threshold=threshold)
        pictures[threshold] = entities(shown)
        assert pictures[threshold] == [
            (str(opened.spans.index(entity.span)), entity.label) for entity in expected
        ]
    assert len({tuple(one) for one in pictures.values()}) == 3
    assert (len(pictures[1.0]), pictures[8.0]) == (5, [])
    assert runner.prompts_run == before


def test_overlaps_and_nesting_run_no_model(registry):
    chosen = replace(START, text="Ana Lima of Porto met Bo", candidates="all")
    found = chosen.typed(registry)
    before = registry.get().runner.prompts_run
    seen = set()
    for decoding in DECODINGS:
        for nested in (False, True):
            how = Choices(-2.0, decoding, nested)
            shown, _, _ = drawn(registry, Found(chosen, found), how)
            expected = [
                (str(found.spans.index(e.span)), e.label) for e in decode(found, **asdict(how))
            ]
            assert sorted(entities(shown)) == sorted(expected)
            seen.add(tuple(sorted(expected)))
    assert len(seen) >= 2
    assert registry.get().runner.prompts_run == before


def test_the_span_that_is_looked_at_stays_and_is_otherwise_the_first_entity(registry, opened):
    assert drawn(registry, Found(START, opened), Choices())[2] == 0
    margins = {opened.spans.index(e.span): e.margin for e in decode(opened, threshold=-100.0)}
    below, above = margins[0] - 0.01, margins[0] + 0.01
    assert drawn(registry, Found(START, opened), Choices(below))[2] == 0
    first = decode(opened, threshold=above)[0]
    assert (
        drawn(registry, Found(START, opened), Choices(above))[2]
        == opened.spans.index(first.span)
        > 0
    )
    shown, closely, place = drawn(registry, Found(START, opened), Choices(8.0), 3)
    assert (place, "<h2>Closely: Tom</h2>" in closely) == (3, True)
    assert [e.attributes["data-arg"] for e in select(shown, "pp-picked")] == ["3"]
    assert drawn(registry, Found(START, opened), Choices(8.0), 99)[2] == 0  # of a text that is gone


def test_a_span_is_shown_with_the_prompts_that_typed_it(registry, opened):
    _, closely, _ = drawn(registry, Found(START, opened), Choices(), 2)
    prompt, text = START.prompt(), START.text
    at = text.index("Madrid")
    row = {"span": "Madrid", "before": text[:at], "after": text[at + 6 :], "text": text}
    assert texts(closely, "pp-prompt") == [
        template.fill({slot: row[slot] for slot in template.slots}) for template in prompt.templates
    ]


def test_scores_serve_as_long_as_they_are_of_the_inputs(registry, opened):
    kept = Found(START, opened)
    assert Found.of(registry, replace(START, most_words=4.0), kept) is kept
    for change in (
        {"text": "Ana met Bo."},
        {"types": "person: man\nnone: thing"},
        {"prior": "none"},
    ):
        chosen = replace(START, **change)  # as when a threshold moves while the text is still read
        found = Found.of(registry, chosen, kept)
        assert found.inputs == chosen
        assert (found.typed.text, list(found.typed.labels)) == (
            chosen.text,
            list(chosen.prompt().verbalizer.names),
        )
        assert entities(drawn(registry, found, Choices())[0]) == entities(
            drawn(registry, Found(chosen, chosen.typed(registry)), Choices())[0]
        )


def test_a_text_without_a_candidate_is_drawn_plain(registry):
    chosen = replace(START, text=EXAMPLES[-1])
    shown, closely, place = drawn(registry, Found.of(registry, chosen, None), Choices())
    assert (texts(shown, "pp-entities"), place) == ([EXAMPLES[-1]], None)
    assert "No span to look at" in closely
    found = replace(chosen, candidates="all").typed(registry)
    assert "tulsa" in [e.text for e in decode(found)]  # all spans find it


@pytest.mark.parametrize("argument", ["", "-1", "5", "x", "²", "1.0", "[0]", "9" * 5000, "0x1"])
def test_a_place_that_was_made_up_is_refused(opened, argument):
    with pytest.raises(PlaygroundError, match=r"^The text has changed since; click again\.$"):
        _place(argument, opened)


# ---- the page's state in a link -----------------------------------------------------------------

STATE = {
    "text": "Ana & <b>Bo</b> 👩‍👩‍👧\nin Rome",
    "types": "person: man\nfood: soup, dish*0.5\nnone: thing",
    "templates": "The {mask} {span}.\n{before}{mask} {span}{after}",
    "candidates": "all",
    "most_words": 2,
    "prior": "span",
    "threshold": -0.3,
    "decoding": "best total",
    "nested": True,
}


@pytest.fixture(scope="module")
def tab(registry) -> NerTab:
    with gr.Blocks():
        model = gr.Dropdown(["playground-mini"], value="playground-mini")
        ready = gr.Textbox()
        return build_ner(registry, model, ready, build_classify(registry, model, ready))


def values(tab: NerTab, state: dict) -> dict[str, object]:
    """Return what a link sets, by the name of the box."""
    names = {box: name for name, box in tab.boxes.items()}
    return {names[box]: value for box, value in tab.restored(state).items()}


@pytest.mark.parametrize("name", STATE)
def test_each_box_comes_back_from_a_link(name, tab):
    page = PageState(default_prompt(), tab="ner", ner={name: STATE[name]})
    state = PageState.from_token(page.token())
    assert (state.tab, state.ner) == ("ner", {name: STATE[name]})
    assert values(tab, state.ner) == {name: STATE[name]}


def test_a_link_holds_every_box_but_the_model():
    fields = {*NerInputs.__annotations__, *Choices.__annotations__}
    assert set(STATE) == fields - {"model"}


def test_a_link_without_the_tab_changes_nothing(tab):
    assert tab.restored({}) == {}


@pytest.mark.parametrize(
    ("name", "known"), [("candidates", CANDIDATES), ("prior", PRIORS), ("decoding", DECODINGS)]
)
def test_each_known_choice_opens(name, known, tab):
    for value in known:
        assert values(tab, {name: value}) == {name: value}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("candidates", "some", 'The link\'s candidates of NER is "some"; choose one of names, names and numbers, all.'),
        ("prior", "", 'The link\'s prior of NER is ""; choose one of contextual, none, span.'),
        ("decoding", "<b>x</b>", 'The link\'s decoding of NER is "<b>x</b>"; choose one of greedy, best total.'),
        ("most_words", 0, 'The link\'s most words of NER is "0"; it must be from 1 to 6.'),
        ("most_words", 7, 'The link\'s most words of NER is "7"; it must be from 1 to 6.'),
        ("threshold", 8.1, 'The link\'s threshold of NER is "8.1"; it must be from -2 to 8.'),
        ("threshold", -3, 'The link\'s threshold of NER is "-3"; it must be from -2 to 8.'),
    ],
)  # fmt: skip
def test_a_value_that_no_box_can_hold_is_told_and_sets_nothing(name, value, sentence, tab):
    """A radio that holds what it does not offer would answer no event from then on."""
    page = PageState(default_prompt(), tab="ner", ner={"text": "Ana", name: value})
    state = PageState.from_token(page.token())
    assert tab.restored(state.ner) == {tab.boxes["told"]: notice(sentence, error=True)}


@pytest.mark.parametrize(("name", "edges"), [("most_words", (1, 6)), ("threshold", (-2, 8))])
def test_the_edges_of_a_slider_open(name, edges, tab):
    for value in edges:
        assert values(tab, {name: value}) == {name: value}
    slider = tab.boxes[name]
    assert (slider.minimum, slider.maximum) == edges


# ---- what leaves the page -----------------------------------------------------------------------


def program(chosen: NerInputs, how: Choices) -> str:
    return export.to_python(
        chosen.prompt(), chosen.text, model=None, prior=chosen.prior,
        candidates=chosen.candidates, most_words=chosen.most_words, **asdict(how),
    )  # fmt: skip


def lines(registry, chosen: NerInputs, how: Choices) -> list[str]:
    found = decode(chosen.typed(registry), **asdict(how))
    return [f"{e.text} {e.label} {round(e.margin, 2)}" for e in found]


def test_the_copied_program_finds_the_same_entities_in_a_process_of_its_own(registry):
    chosen = replace(
        START,
        text=""" "Ana" & Bo's <b>soup</b> {span} in Rome \\n ${x} 👩‍👩‍👧 """,
        types='person: man, friend*0.5\nthe food\'s "kind": soup, dish\nnone: thing',
        candidates="all",
        most_words=2,
        prior="span",
    )
    how = Choices(-0.5, "best total", True)
    expected = lines(registry, chosen, how)
    assert len(expected) >= 3
    done = subprocess.run(
        [sys.executable, "-c", program(chosen, how)],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize("name", ["entity", "entity_fine", "entity_tutorial"])
@pytest.mark.parametrize("text", EXAMPLES[:1] + EXAMPLES[4:])
def test_the_program_of_each_card_prints_the_pages_entities(name, text, registry, capsys):
    types, templates = card_text(Prompt.load(name))
    chosen = replace(START, text=text, types=types, templates=templates)
    for how in (Choices(), Choices(-2.0, "best total", nested=True)):
        exec(compile(program(chosen, how), "program", "exec"), {})  # noqa: S102 - our own text
        assert capsys.readouterr().out.splitlines() == lines(registry, chosen, how)


def test_the_examples_are_buttons_of_their_texts(registry):
    page = build(registry)
    (box,) = (b for b in page.blocks.values() if getattr(b, "elem_id", None) == "ner-examples")
    assert buttons(box.value) == [("example", str(k), text) for k, text in enumerate(EXAMPLES)]
