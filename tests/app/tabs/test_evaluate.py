"""The Eval tab's own functions: what opens, what is measured, and what is drawn of it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from playground import Prompt, Prompting, resources
from playground.app import eval_view
from playground.app.eval_view import Measured
from playground.app.markup import esc
from playground.app.registry import Registry
from playground.app.session import Inputs
from playground.app.tabs.classify import default_prompt, input_values
from playground.app.tabs.evaluate import (
    from_file,
    guessed,
    label_names,
    measured,
    sample,
    with_card_templates,
)
from playground.errors import PlaygroundError
from playground.settings import Settings
from tests.app.elements import buttons, read
from tests.app.payloads import PAYLOADS

INPUTS = Inputs("", *input_values(default_prompt(), ("",)))
FILE = "text,label\nI love it.,positive\nA wonderful day.,positive\nI hate it.,negative\n"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(Settings())


def last(registry, content: str = FILE, mapping: str = "", all_templates: bool = False) -> Measured:
    found = from_file(content, 1000)
    columns = guessed(found.columns)
    *_, end = measured(registry, INPUTS, found, columns[:2], columns[2], mapping, all_templates)
    return end


def test_our_reviews_get_the_engines_numbers(registry, prompting: Prompting):
    found = sample("reviews")
    first, other, gold = guessed(found.columns)
    assert (first, other, gold) == ("text", None, "label")
    parts = list(measured(registry, INPUTS, found, (first, other), gold, "", False))
    assert [part.done for part in parts] == [64, 128, 192, 200]
    assert [part.finished for part in parts] == [False, False, False, True]
    end = parts[-1]
    assert [result.name.rpartition(" · ")[2] for result in end.results] == ["none", "contextual"]
    rows = resources.load_examples("reviews")
    scores = prompting.classify([row["text"] for row in rows], default_prompt(), words=False)
    right = [a == row["label"] for a, row in zip(scores.predictions, rows, strict=True)]
    assert end.results[1].metrics.accuracy == pytest.approx(np.mean(right))
    assert end.results[1].probabilities == pytest.approx(scores.probabilities, abs=1e-5)


def test_all_templates_of_the_card_are_measured(registry):
    end = last(registry, all_templates=True)
    card = Prompt.load("sentiment")
    assert len(end.results) == 2 * len(card.templates)
    edited = INPUTS.prompt().with_template("{text} I say: {mask}.")
    assert [t.source for t in with_card_templates(edited).templates] == [
        "{text} I say: {mask}.",
        *(t.source for t in card.templates),
    ]


def test_labels_of_the_data_are_named_line_by_line(registry):
    content = FILE.replace("positive", "1").replace("negative", "a=0")
    end = last(registry, content, "1 = positive\n\na=0 = negative\n")
    assert end.gold.tolist() == [0, 0, 1]
    with pytest.raises(
        PlaygroundError, match=r'^Line 2 of the labels is "nothing"; write their name'
    ):
        label_names("1 = positive\nnothing")


@pytest.mark.parametrize(
    ("columns", "guess"),
    [
        (("id", "premise", "hypothesis", "gold_label"), ("premise", "hypothesis", "gold_label")),
        (("sentence", "label"), ("sentence", None, "label")),
        (("body", "stars"), ("body", None, "stars")),
        (("only",), (None, None, "only")),
    ],
)
def test_columns_are_guessed_by_their_usual_names(columns, guess):
    assert guessed(columns) == guess


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", r"^The file has no rows; there is nothing to score\.$"),
        ("a\x00b", r"^The file is not text; save the table as CSV in UTF-8\.$"),
        (
            FILE + "x,positive\n" * 1000,
            r"^The file has more than 1,000 rows; use playground eval, or",
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content, sentence):
    with pytest.raises(PlaygroundError, match=sentence):
        from_file(content, 1000)


def test_what_is_gone_or_unknown_says_so(registry):
    with pytest.raises(
        PlaygroundError, match=r"^There is no such sample set; open a file, or take"
    ):
        sample("../../etc")
    gone = measured(registry, INPUTS, None, ("text", None), "label", "", False)
    with pytest.raises(
        PlaygroundError, match=r"^The rows are gone from the page's memory; open the"
    ):
        next(gone)


# ---- what is drawn ------------------------------------------------------------------------------


def test_the_report_names_each_candidate_and_each_cell(registry):
    end = last(registry)
    drawn = eval_view.report(end)
    made = buttons(drawn)
    chosen = {text for act, _, text in made if act == "choose"}
    assert chosen == {result.name for result in end.results}
    cells = {argument: text for act, argument, text in made if act == "cell"}
    confusion = end.results[0].metrics.confusion
    assert cells == {f"{g}|{p}": f"{confusion[g][p]:,}" for g in range(2) for p in range(2)}
    assert "Done: 3 of 3 rows" in drawn
    assert "Done: 3 of 3 rows" in eval_view.report(end, stopped=True)
    part = next(measured(registry, INPUTS, sample("reviews"), ("text", None), "label", "", False))
    assert "Stopped after 64 of 200 rows" in eval_view.report(part, stopped=True)
    assert "Running: 64 of 200 rows" in eval_view.report(part)


def test_the_page_that_leaves_names_what_was_measured(registry):
    end = last(registry)
    page = eval_view.report_page(end, "")
    assert "Measured with playground-mini on 3 rows." in page
    assert esc(default_prompt().template.source) in page
    assert (end.prompt.template, end.model) == (default_prompt().template, "playground-mini")


def test_a_cell_shows_its_rows_surest_first(registry):
    end = last(registry)
    result = end.results[0]
    for gold in range(2):
        for taken in range(2):
            rows = eval_view.shown_rows(replace(end, cell=(gold, taken)))
            assert len(rows) == result.metrics.confusion[gold][taken]
            shares = [result.probabilities[i].max() for i in rows]
            assert shares == sorted(shares, reverse=True)
    wrong = eval_view.shown_rows(end)
    assert len(wrong) == round((1 - result.metrics.accuracy) * 3)


def test_the_file_that_leaves_has_every_row_and_candidate(registry):
    end = last(registry, FILE + '"=1+1",positive\n')
    rows = list(csv.DictReader(io.StringIO(eval_view.rows_csv(end))))
    assert len(rows) == 4
    assert rows[3]["text"] == "'=1+1"
    for result in end.results:
        named = [row[result.name] for row in rows]
        assert named == [end.labelled.labels[k] for k in result.found]
        shares = [float(row[f"{result.name} · p_positive"]) for row in rows]
        assert shares == pytest.approx(result.probabilities[:, 0], abs=1e-5)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_and_columns_are_only_text(registry, payload):
    stream = io.StringIO()
    csv.writer(stream).writerows([("label", payload), ("positive", payload), (payload, payload)])
    found = from_file(stream.getvalue(), 100)
    (end,) = measured(registry, INPUTS, found, (found.columns[1], None), "label", "", False)
    allowed = {"div", "progress", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span",
               "button", "h2", "ul", "li", "br"}  # fmt: skip
    rows = [record.values for record in found.table.records()]
    for drawn in (eval_view.report(end), eval_view.preview(found.table, rows, found.rows)):
        assert {element.tag for element in read(drawn)} <= allowed
