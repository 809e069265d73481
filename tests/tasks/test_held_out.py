"""Rows to search on and rows to measure on: drawn with a seed, and never the same text in both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from playground import Prompt, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks.evaluation import Candidate, LabelledRows, evaluate
from playground.tasks.held_out import changes, check_apart, row_key, split_rows

LABELS = ("positive", "negative")


def labelled(each: int = 10, more: tuple[tuple[str, int], ...] = ()) -> LabelledRows:
    texts = [(f"good film {i}", 0) for i in range(each)] + [
        (f"bad film {i}", 1) for i in range(each)
    ]
    rows = [*texts, *more]
    return LabelledRows(
        "The test",
        LABELS,
        [{"text": t} for t, _ in rows],
        np.array([k for _, k in rows]),
        3,
        ("x",),
    )


def test_a_split_draws_shots_of_each_label_and_leaves_the_rest():
    rows = labelled()
    split = split_rows(rows, shots=3, seed=4)
    assert np.bincount(split.search.gold).tolist() == [3, 3]
    assert np.bincount(split.held_out.gold).tolist() == [7, 7]
    assert (split.shots, split.seed, split.repeated) == (3, 4, 0)
    texts = [row["text"] for part in (split.search, split.held_out) for row in part.rows]
    assert sorted(texts) == sorted(row["text"] for row in rows.rows)
    for part in (split.search, split.held_out):
        assert all(
            row["text"].startswith("bad") == bool(k)
            for row, k in zip(part.rows, part.gold, strict=True)
        )
        assert (part.labels, part.faulty, part.problems) == (LABELS, 0, ())


def test_the_same_seed_draws_the_same_rows():
    one, same, other = (split_rows(labelled(), shots=3, seed=seed) for seed in (1, 1, 2))
    assert one.search.rows == same.search.rows
    assert one.search.rows != other.search.rows


def test_a_text_that_repeats_is_drawn_once_and_never_held_out():
    more = (*((f"  GOOD   film {i} ", 0) for i in range(10)), ("good film 0", 1))
    for seed in range(10):
        split = split_rows(labelled(more=more), shots=6, seed=seed)
        searched = {row_key(row) for row in split.search.rows}
        assert len(searched) == 12
        assert not searched & {row_key(row) for row in split.held_out.rows}
        assert split.repeated == 31 - 12 - len(split.held_out)
        assert split.repeated >= 5
        check_apart(searched, split.held_out)


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        (labelled(), {"shots": 0}, r"^The number of shots is 0; draw at least 1 row of each label\.$"),
        (labelled(5), {"shots": 6}, r'^The test has 5 different rows with the label "positive" and 6 are to'),
        (
            replace(labelled(), gold=np.zeros(20, dtype=int)),
            {},
            r'^All rows of The test have the label "positive"; give rows of at least two labels\.$',
        ),
        (
            labelled(0, (("a b", 0), ("A  b", 0), ("c", 1), ("d", 1))),
            {"shots": 2},
            r'^The test has 1 different rows with the label "positive"',
        ),
        (labelled(3), {"shots": 3}, r"^Nothing of The test is left to measure on behind 3 rows of each"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_split_say_why(rows, options, sentence):
    with pytest.raises(PlaygroundError, match=sentence):
        split_rows(rows, **options)


def test_rows_that_were_searched_on_are_refused(prompting):
    split = split_rows(labelled(), shots=3)
    leaked = replace(
        split.held_out,
        rows=[{"text": f" {split.search.rows[0]['text'].upper()}"}, *split.held_out.rows[1:]],
    )
    searched = [row_key(row) for row in split.search.rows]
    prompt = Prompt.load("sentiment")
    message = (
        r'^1 of the rows to measure on were searched on, such as "GOOD FILM \d"; measure on rows'
    )
    with pytest.raises(PlaygroundError, match=message):
        changes(prompting, prompt, prompt, leaked, searched=searched)


def test_a_change_is_measured_as_eval_measures(prompting):
    split = split_rows(labelled(), shots=3)
    before = Prompt.load("sentiment")
    after = replace(before, verbalizer=Verbalizer({"positive": ["good"], "negative": ["bad"]}))
    texts = tuple(row["text"] for row in split.search.rows)
    found = changes(prompting, before, after, split.held_out, searched=[("x",)], prior_texts=texts)
    assert [change.calibration for change in found] == ["none", "contextual", "corpus"]
    for change in found:
        for prompt, got in ((before, change.before), (after, change.after)):
            prior = texts if change.calibration == "corpus" else ()
            scoring = replace(prompt.scoring, calibration=change.calibration, prior_texts=prior)
            tried = [Candidate("", replace(prompt, scoring=scoring))]
            (expected,) = evaluate(prompting, tried, split.held_out)
            np.testing.assert_allclose(got.probabilities, expected.probabilities, atol=1e-6)
        gain = change.after.metrics.accuracy - change.before.metrics.accuracy
        assert change.comparison.difference == pytest.approx(gain)


def test_prompts_of_one_template_are_measured_in_one_pass_a_row(prompting):
    split = split_rows(labelled(), shots=3)
    before = Prompt.load("sentiment")
    after = replace(before, verbalizer=Verbalizer({"positive": ["good"], "negative": ["bad"]}))
    changes(prompting, before, after, split.held_out, searched=[])  # priors are remembered
    ran = prompting.runner.prompts_run
    told: list[tuple[int, int]] = []
    changes(
        prompting, before, after, split.held_out, searched=[], progress=lambda *n: told.append(n)
    )
    assert prompting.runner.prompts_run - ran == 14
    assert told == [(14, 14)]
