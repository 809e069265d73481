"""Prompts that would hold the model for minutes are refused before it runs."""

from __future__ import annotations

import threading

import pytest

from playground import PlaygroundError, Prompt, Prompting, Template, Verbalizer
from playground.tasks.entities import EntityTyper


def test_label_words_of_too_many_pieces_are_refused(prompting):
    words = [f"{first}{second}" for first in "qxzvkjwy" for second in ("qxzzvkjq", "xxqqzzkk")]
    prompt = Prompt(Template("{text} It was {mask}."), Verbalizer({"a": words, "b": ["good"]}))
    before = prompting.runner.prompts_run
    with pytest.raises(PlaygroundError, match=r"^The label words that split have \d+ pieces toget"):
        prompting.explain("It was fine.", prompt)
    assert prompting.runner.prompts_run == before


def test_a_template_that_repeats_a_long_text_is_refused(prompting):
    prompt = Prompt(
        Template("{text} " * 100 + "It was {mask}."), Verbalizer({"a": ["good"], "b": ["bad"]})
    )
    message = r"^The filled template holds 1,899,900 characters of text; the most is 20,000\. The"
    with pytest.raises(PlaygroundError, match=message):
        prompting.explain("good " * 3800, prompt)
    assert prompting.classify(["good " * 3800, "good"], prompt).errors.keys() == {0}


def test_models_load_side_by_side():
    errors: list[Exception] = []

    def load() -> None:
        try:
            Prompting()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_spans_with_label_words_of_many_pieces_are_refused(prompting):
    prompt = Prompt(
        Template("{text} {span} is a {mask}."),
        Verbalizer({"person": ["man", "qxzvkjwyqxzzvkjqxxqqzzkk"], "none": ["film"]}),
    )
    text = "Ana met Bo and then she went with Cy to Rome by train. " * 20
    before = prompting.runner.prompts_run
    message = (
        r"^The text has 1,\d{3} candidate spans, and the label words that split have \d\d pieces, "
        r"each a run of its own: \d\d,\d{3} runs a template, and the most is 2,000; choose words of"
    )
    with pytest.raises(PlaygroundError, match=message):
        EntityTyper(prompting, prompt).type_text(text, candidates="all")
    assert prompting.runner.prompts_run - before < 100  # the prior alone
    assert len(EntityTyper(prompting, prompt).type_text("Ana met Bo in Rome.")) == 3
