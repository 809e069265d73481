"""What Compare draws and hands out: agreement, verdicts, tables, JSON and a program that runs."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest

from playground import Prompt, Template, Verbalizer
from playground.app import compare_view
from playground.app.compare_view import Compared, Side
from playground.app.eval_view import Measured
from playground.app.markup import percent
from playground.prompts import ScoringOptions
from playground.tasks.comparison import rank
from playground.tasks.evaluation import LabelledRows, Result
from playground.tasks.metrics import measure
from tests.app.elements import buttons, read, select, texts
from tests.app.payloads import PAYLOADS

LABELS = ("good", "bad")
PROMPT = Prompt(Template("{text} {mask}."), Verbalizer({"good": ["fine"], "bad": ["awful"]}))
TAGS = {"div", "progress", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span",
        "button", "h2", "h3", "ul", "li", "br", "mark"}  # fmt: skip


def results(rights: list[list[int]], rows: int) -> tuple[list[Result], np.ndarray]:
    """Return results of two labels, each right on its own rows, and the gold places."""
    gold = np.zeros(rows, dtype=int)
    found = []
    for k, right in enumerate(rights):
        shares = np.full((rows, 2), [0.2, 0.8])
        shares[right] = [0.9, 0.1]
        found.append(Result(f"{'ABCD'[k]} · a template · none", shares, measure(shares, gold)))
    return found, gold


def compared(rights: list[list[int]], rows: int = 40, text: str = "a text") -> Compared:
    found, gold = results(rights, rows)
    labelled = LabelledRows("The test", LABELS, [{"text": text} for _ in range(rows)], gold)
    prompts = tuple(("ABCD"[k], PROMPT, "mini") for k in range(len(rights)))
    return Compared(Measured(labelled, found, rows), prompts)


# ---- one text -----------------------------------------------------------------------------------


def test_agreement_names_each_prompt_and_its_label(made):
    one = Side("A", PROMPT, "mini", made())
    other = Side("C", PROMPT, "mini", made(probabilities=np.array([0.6, 0.4])))
    assert texts(compare_view.agreement([one, other]), "pp-agreement") == [
        "They disagree: A bad 75.0 %, C good 60.0 %."
    ]
    assert texts(compare_view.agreement([one, one]), "pp-agreement") == [
        "They agree: A bad 75.0 %, A bad 75.0 %."
    ]
    assert texts(compare_view.agreement([one]), "pp-agreement") == [
        "One prompt is scored: A bad 75.0 %."
    ]
    assert texts(compare_view.agreement([]), "pp-agreement") == ["No prompt can be scored yet."]
    (element,) = select(compare_view.agreement([one, other]), "pp-result")
    assert element.attributes["data-summary"] == "They disagree: A bad 75.0 %, C good 60.0 %."


def test_a_column_has_the_scores_and_the_prompt(made):
    drawn = compare_view.column(made())
    assert texts(drawn, "pp-name") == ["good", "bad"]
    assert texts(drawn, "pp-number") == ["25.0 %", "75.0 %"]
    (best,) = select(drawn, "pp-win")
    assert "bad" in best.text
    assert texts(drawn, "pp-prompt") == ["A film was [MASK]."]
    assert compare_view.column_note(made()) == (
        "Label words hold 14.0 % of the mask · 9 of 128 tokens"
    )
    assert compare_view.column_note(made(dropped=3)).endswith("tokens, 3 cut off")


def test_a_head_has_its_buttons_and_tells_the_choices_that_have_no_box():
    drawn = compare_view.head("B", ScoringOptions())
    assert [(act, argument) for act, argument, _ in buttons(drawn)] == [
        ("take", "B"),
        ("open", "B"),
        ("remove", "B"),
    ]
    assert texts(drawn, "pp-caption") == []
    chosen = ScoringOptions(aggregation="max", prior_texts=("a", "b"))
    assert texts(compare_view.head("B", chosen), "pp-caption") == [
        "From Classify: aggregation max, 2 prior texts"
    ]


# ---- rows ---------------------------------------------------------------------------------------


def verdict(rights: list[list[int]], rows: int) -> str:
    return compare_view.verdict(rank(*results(rights, rows)), "ABCD"[: len(rights)], rows)


def test_a_winner_is_named_where_the_test_says_so():
    said = verdict([list(range(20)), list(range(40))], 40)
    assert said == (
        "B is the winner: better than every other prompt on these 40 rows, and not by chance "
        "(McNemar's test, Holm's correction, p < 0.05)."
    )


def test_where_chance_could_be_it_no_winner_is_named_but_the_rows_that_would_tell():
    said = verdict([list(range(22)), list(range(20)), list(range(2, 24))], 40)
    assert said.startswith("No winner on these 40 rows: A is ahead, but that could be chance. If ")
    assert " would tell it from B." in said
    assert said.endswith(" C is right as often as A.")


def test_the_table_marks_the_winner_in_words():
    won = compare_view.report(compared([list(range(20)), list(range(40))]))
    cells = [element.text for element in read(won) if element.tag == "td"]
    assert "★ winner" in cells
    assert any(cell.startswith("really worse p 0.000") for cell in cells)
    open_one = compare_view.report(compared([list(range(20)), list(range(22))]))
    cells = [element.text for element in read(open_one) if element.tag == "td"]
    assert "highest so far, no winner" in cells
    assert any(cell.startswith("could be chance p 0.500") for cell in cells)
    assert "★ winner" not in cells


def test_rows_apart_say_who_is_right():
    found = compared([[0, 1], [1, 2]])
    drawn = compare_view.report(found)
    (title,) = (e.text for e in read(drawn) if e.tag == "h2")
    assert title == "Rows on which they disagree: 2"
    rows = [argument for act, argument, _ in buttons(drawn) if act == "row"]
    assert rows == ["0", "2"]
    cells = [e.text for e in read(drawn) if e.tag == "td"]
    assert f"✓ good {percent(0.9)}" in cells
    assert f"✗ bad {percent(0.8)}" in cells


def test_a_run_says_how_far_it_is():
    found = compared([[0], [1]])
    part = replace(found, measured=replace(found.measured, done=10))
    halved = [replace(r, probabilities=r.probabilities[:10]) for r in found.measured.results]
    part = replace(part, measured=replace(part.measured, results=halved))
    assert "Running: 10 of 40 rows" in compare_view.report(part)
    assert "So far: No winner" in compare_view.report(part)
    assert "Stopped after 10 of 40 rows" in compare_view.report(part, stopped=True)
    assert "Done: 40 of 40 rows" in compare_view.report(found)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_and_labels_are_only_text(made, payload):
    found = compared([[0], [1]], rows=3, text=payload)
    labelled = replace(found.measured.labelled, name=payload, labels=(payload, "bad"))
    named = [replace(result, name=payload) for result in found.measured.results]
    found = replace(found, measured=replace(found.measured, labelled=labelled, results=named))
    side = Side("A", PROMPT, payload, made(labels=(payload, "bad")))
    for drawn in (
        compare_view.report(found),
        compare_view.column(side.found),
        compare_view.agreement([side, side]),
        compare_view.head("A", ScoringOptions(domain=payload)),
    ):
        assert {element.tag for element in read(drawn)} <= TAGS


# ---- what leaves --------------------------------------------------------------------------------


def test_the_numbers_leave_as_json():
    data = compare_view.measured_json(compared([list(range(20)), list(range(40))]))
    assert (data["winner"], data["rows"], data["of"]) == ("B", 40, 40)
    one, other = data["prompts"]
    assert Prompt.from_json(one["card"]) == PROMPT
    assert (one["accuracy"], other["accuracy"]) == (0.5, 1.0)
    assert one["against_the_best"]["real"] is True
    assert one["against_the_best"]["difference"] == 0.5
    assert other["against_the_best"] is None


def test_the_program_gives_the_columns_numbers(prompting):
    calibrated = replace(PROMPT, scoring=ScoringOptions(calibration="contextual"))
    prompts = [("A", PROMPT, ""), ("B", calibrated, "playground-mini")]
    source = compare_view.program(prompts, ['It\'s "so" good.\n'])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(source, "program", "exec"), {})  # noqa: S102
    for name, prompt, _ in prompts:
        frame = prompting.classify(['It\'s "so" good.\n'], prompt).to_frame()
        assert f"{name}\n{frame}" in said.getvalue()
