"""What listeners share: inputs become a prompt or one sentence, and errors stay in one line."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from playground import Prompt
from playground.app.registry import Registry
from playground.app.session import BROKEN, Inputs, download, explain, joined, live, quiet, said_in
from playground.errors import PlaygroundError
from playground.prompts import ScoringOptions, Template, Verbalizer
from playground.settings import Settings
from tests.app.elements import read

START = Inputs(
    model="",
    text="I like it.",
    second_text="",
    template="{text} It was {mask}.",
    label_words="good: great, fine*0.5\nbad: awful",
    aggregation="mean",
    calibration="contextual",
    domain="",
    prior_texts="",
    fill_order="confidence",
    pieces="sum",
)


def test_inputs_become_a_prompt():
    chosen = replace(
        START,
        aggregation="max",
        calibration="corpus",
        domain=" It was {mask}. ",
        prior_texts="one\n\n  \n two \n",
        fill_order="parallel",
        pieces="mean",
    )
    assert chosen.prompt() == Prompt(
        Template("{text} It was {mask}."),
        Verbalizer({"good": ["great", ("fine", 0.5)], "bad": ["awful"]}),
        ScoringOptions(
            aggregation="max",
            calibration="corpus",
            domain="It was {mask}.",
            prior_texts=("one", " two "),
            fill_order="parallel",
            pieces="mean",
        ),
    )


@pytest.mark.parametrize(
    ("template", "row"),
    [
        ("{text} {mask}", {"text": "a"}),
        ("{premise} {mask} {hypothesis}", {"premise": "a", "hypothesis": "b"}),
        ("{span} {mask} {text}", {"span": "a", "text": "b"}),
        ("It was {mask}.", {}),
    ],
)
def test_texts_go_to_the_templates_fields_in_order(template, row):
    chosen = replace(START, template=template, text="a", second_text="b")
    assert chosen.row(chosen.prompt()) == row


def test_a_cleared_box_is_an_empty_text():
    chosen = replace(START, text=None, second_text=None, domain=None, prior_texts=None)
    assert chosen.row(chosen.prompt()) == {"text": ""}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": ""}, "The template is empty; write a sentence with a {mask} in it."),
        ({"template": None}, "The template is empty; write a sentence with a {mask} in it."),
        ({"template": "{text}"}, "The template has no {mask}; put {mask} where a label word should stand."),
        ({"template": "{mask} {mask}"}, "The template has 2 masks, the second at column 8; scoring labels takes exactly one."),
        ({"template": "{txt} {mask}"}, 'Column 1 of the template has "{txt}"; the slots are {text}, {text_a}, {text_b}, {premise}, {hypothesis}, {head}, {tail}, {span}, {before}, {after}, {mask}, {sep}, {soft:4}, and {{ and }} are literal braces.'),
        ({"template": "{mask"}, 'Column 1 of the template has a "{" without its partner; write {{ for a literal brace.'),
        ({"template": "x" * 2001}, "The template has 2,001 characters; the most is 2,000."),
        ({"label_words": ""}, "There are no label words; write a label a line, such as positive: great, good."),
        ({"label_words": None}, "There are no label words; write a label a line, such as positive: great, good."),
        ({"label_words": "good: great"}, "There is one label; give at least two, one a line."),
        ({"label_words": "good: great\nbad:"}, 'Label "bad" has no words; add at least one after the colon.'),
        ({"label_words": "good: great*x\nbad: b"}, 'The weight of "great" is "x"; write a number, as in good*0.5.'),
        ({"aggregation": "median"}, 'aggregation is "median"; it must be one of mean, sum, geometric, max, logit_sum.'),
        ({"aggregation": None}, 'aggregation is "None"; it must be one of mean, sum, geometric, max, logit_sum.'),
        ({"calibration": "corpus"}, "Corpus calibration has no unlabelled texts; give some, one a line."),
    ],
)  # fmt: skip
def test_inputs_that_make_no_prompt_say_what_is_missing(changes, message):
    with pytest.raises(PlaygroundError) as error:
        replace(START, **changes).prompt()
    assert str(error.value) == message


def test_three_texts_are_one_more_than_the_page_has():
    chosen = replace(START, template="{text} {premise} {mask} {hypothesis}")
    with pytest.raises(PlaygroundError) as error:
        chosen.row(chosen.prompt())
    assert str(error.value) == (
        "The template takes 3 texts and the page has two; use the Python API."
    )


def test_the_live_result_is_the_engines(prompting):
    found = explain(Registry(Settings()), START)
    expected = prompting.explain("I like it.", START.prompt())
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    assert [word.log_prob for word in found.words] == pytest.approx(
        [word.log_prob for word in expected.words], abs=1e-5
    )
    assert [replace(word, log_prob=0.0) for word in found.words] == [
        replace(word, log_prob=0.0) for word in expected.words
    ]


# ---- errors -------------------------------------------------------------------------------------


@pytest.fixture
def line() -> gr.HTML:
    return gr.HTML()


def said(updates: dict, line: gr.HTML) -> tuple[str, set[str]]:
    (element,) = read(updates[line])
    return element.text, element.classes


def test_a_result_clears_the_line(line):
    other = gr.HTML()
    updates = said_in(line)(lambda value: {other: value})("x")
    assert updates.keys() == {line, other}
    assert updates[other] == "x"
    assert said(updates, line) == ("", {"pp-notice"})


def test_a_listener_may_say_something_itself(line):
    assert said_in(line)(lambda: {line: "done"})() == {line: "done"}


def test_a_users_error_is_said_and_nothing_else_changes(line):
    def refuse():
        raise PlaygroundError("Write a {mask} <here>.")

    updates = said_in(line)(refuse)()
    assert updates.keys() == {line}
    assert said(updates, line) == ("Write a {mask} <here>.", {"pp-notice", "pp-error"})


def test_our_own_error_is_logged_and_told_without_its_text(line, caplog):
    def fail():
        raise RuntimeError("/srv/secret.txt: token=hunter2")

    with caplog.at_level(logging.ERROR, logger="playground"):
        updates = said_in(line)(fail)()
    assert updates.keys() == {line}
    assert said(updates, line) == (BROKEN, {"pp-notice", "pp-error"})
    assert "token=hunter2" in caplog.text


def test_a_listener_keeps_its_name_and_arguments_for_gradio(line):
    def listener(text: str, event: gr.EventData):
        """Say it."""

    guarded = said_in(line)(listener)
    assert (guarded.__name__, guarded.__doc__) == ("listener", "Say it.")
    assert gr.utils.get_function_params(guarded) == gr.utils.get_function_params(listener)


# ---- small parts --------------------------------------------------------------------------------


def test_a_download_is_json_of_its_name_type_and_text():
    payload = download("a.csv", "text/csv", 'x,"y"\n</script>ß')
    assert json.loads(payload) == {
        "name": "a.csv",
        "type": "text/csv",
        "text": 'x,"y"\n</script>ß',
    }


@pytest.mark.parametrize(
    ("values", "pair"),
    [((), ("", "")), (("a",), ("a", "")), (("a", "b"), ("a", "b")), (["a", "b", "c"], ("a", "b"))],
)
def test_two_boxes_take_the_first_two_texts(values, pair):
    assert joined(values) == pair


def test_the_wiring_of_live_and_other_events():
    registry = Registry(replace(Settings(), concurrency=5))
    assert live(registry) == {
        "trigger_mode": "always_last",
        "show_progress": "hidden",
        "concurrency_id": "model",
        "concurrency_limit": 5,
        "api_visibility": "private",
    }
    assert quiet() == {"show_progress": "hidden", "api_visibility": "private"}
