"""Rows that people type: what is read of them, and which of them choose the step."""

from __future__ import annotations

import re

import numpy as np
import pytest

from playground import PlaygroundError, Prompt, Template, Verbalizer
from playground.engine.tuning.recipe import Recipe
from playground.tasks.evaluation import LabelledRows
from playground.tasks.tuning.runs import SeedRun
from playground.tasks.tuning.typed import typed_draws, typed_rows, unseen

PAIR = Prompt(
    Template("{premise} ? {mask}, {hypothesis}"), Verbalizer({"one": ["yes"], "other": ["no"]})
)


def test_lines_are_rows_in_their_order(prompt):
    found = typed_rows(
        "negative: A bad film: it drags.\n\n  Positive : Fine.  \npositive：Good.", prompt
    )
    assert found.rows == [{"text": "A bad film: it drags."}, {"text": "Fine."}, {"text": "Good."}]
    assert found.gold.tolist() == [1, 0, 0]
    assert found.labels == ("positive", "negative")


def test_a_colon_of_the_text_stays_as_it_is(prompt):
    found = typed_rows("positive: 他说：很好\nnegative：他说: no", prompt)
    assert [row["text"] for row in found.rows] == ["他说：很好", "他说: no"]


def test_labels_that_differ_in_case_alone_stay_apart():
    countries = Prompt(Template("{text} {mask}"), Verbalizer({"US": ["country"], "us": ["we"]}))
    assert typed_rows("us: a\nUS: b", countries).gold.tolist() == [1, 0]


def test_a_row_may_have_two_texts():
    found = typed_rows("one: One: 1 | two\nOTHER: b | c", PAIR)
    assert found.rows == [
        {"premise": "One: 1", "hypothesis": "two"},
        {"premise": "b", "hypothesis": "c"},
    ]
    assert found.gold.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("positive", 'Line 1 of the typed rows is "positive"; write a label (positive, negative), a colon, and its text.'),
        ("\nfine: x", 'Line 2 of the typed rows is "fine: x"; write a label (positive, negative), a colon, and its text.'),
        ("positive: ", 'Line 1 of the typed rows is "positive:"; write a label (positive, negative), a colon, and its text.'),
        ("positive: x", 'No row is typed for the label "negative"; write at least one line for each of positive, negative.'),
        ("", 'No row is typed for the label "positive"; write at least one line for each of positive, negative.'),
    ],
)  # fmt: skip
def test_a_line_that_is_no_row_is_named(prompt, source, sentence):
    with pytest.raises(PlaygroundError, match=f"^{re.escape(sentence)}$"):
        typed_rows(source, prompt)


def test_a_pair_with_one_text_says_what_is_missing():
    with pytest.raises(PlaygroundError, match=r"a colon, and its premise \| its hypothesis\.$"):
        typed_rows("one: alone", PAIR)


def test_every_fourth_row_of_a_label_chooses(prompt):
    lines = [f"{label}: {k}" for k in range(8) for label in ("positive", "negative")]
    one, other = typed_draws(typed_rows("\n".join(lines), prompt), [3, 4])
    assert [row["text"] for row in one.dev.rows] == ["3", "3", "7", "7"]
    assert len(one.train) == 12
    assert (one.seed, other.seed) == (3, 4)
    assert one.train.rows == other.train.rows
    few = typed_draws(typed_rows("positive: a\nnegative: b", prompt), [0])[0]
    assert (len(few.train), few.dev) == (2, None)


def test_they_are_tuned_as_fine_tune_does_it(model, prompt):
    lines = [f"{label}: A {label} film {k}." for k in range(5) for label in prompt.verbalizer.names]
    typed = typed_rows("\n".join(lines), prompt)
    recipe = Recipe(method="bias", steps=3, batch_size=4, evaluate_every=1, seed=5)
    run = SeedRun(model, prompt, typed_draws(typed, [5])[0], recipe)
    list(run.run())
    texts, labels = [r["text"] for r in typed.rows], [typed.labels[k] for k in typed.gold]
    tuned = model.fine_tune(
        texts, labels, prompt, method="bias", steps=3, batch_size=4, evaluate_every=1, seed=5
    )
    assert tuned.backbone.delta.digest == run.finish().delta.digest


def test_rows_that_were_typed_are_not_measured_on(prompt, labelled):
    first = labelled.rows[0]["text"]
    typed = typed_rows(f"positive:  {first.upper()}\nnegative: x", prompt)
    rest = unseen(labelled, typed)
    assert rest.rows == labelled.rows[1:]
    assert rest.gold.tolist() == labelled.gold[1:].tolist()
    alone = LabelledRows("One row", labelled.labels, labelled.rows[:1], np.array([0]))
    with pytest.raises(PlaygroundError, match=r"^All rows of One row are among the typed ones; "):
        unseen(alone, typed)
