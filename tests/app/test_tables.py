"""What leaves as CSV is read back by the csv module, and a spreadsheet runs none of it."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given

from playground.app.tables import command_line, scores_csv
from playground.engine import Explanation, WordScore
from playground.prompts import Prompt, Template, Verbalizer
from playground.tasks.writing import formula_read
from tests.attacks.strategies import texts as anything

PROMPT = Prompt(Template("{text} It was {mask}."), Verbalizer({"good": ["fine"], "bad": ["awful"]}))
HEADER = ["kind", "label", "word", "probability", "uncalibrated", "prior", "weight", "pieces", "rank",
          "template"]  # fmt: skip
FORMULAS = (
    "=1+1",
    "+1+1",
    "-x",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("x")',
    "=cmd|' /C calc'!A0",
)


def rows(table: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table, newline="")))


def test_the_table_holds_labels_then_words(made):
    table = scores_csv(made(), {"text": "A film"}, PROMPT)
    context = ["{text} It was {mask}.", "A film"]
    assert rows(table) == [
        [*HEADER, "text"],
        ["label", "good", "", "0.25", "0.6", "0.9", "", "", "", *context],
        ["label", "bad", "", "0.75", "0.4", "0.1", "", "", "", *context],
        ["word", "good", "fine", "0.08", "", "", "1", "1", "3", *context],
        ["word", "good", "uplifting", "0.02", "", "", "0.5", "2", "", *context],
        ["word", "bad", "awful", "0.04", "", "", "1", "1", "12345", *context],
    ]


def test_a_pair_has_a_column_for_each_text(made):
    words = {"good": ["fine"], "bad": ["awful"]}
    prompt = Prompt(Template("{premise}? {mask}, {hypothesis}"), Verbalizer(words))
    table = rows(scores_csv(made(), {"premise": "p,\n\"q'", "hypothesis": ""}, prompt))
    assert table[0] == [*HEADER, "premise", "hypothesis"]
    assert all(row[-2:] == ["p,\n\"q'", ""] for row in table[1:])


def test_a_template_without_a_text_has_no_such_column(made):
    prompt = Prompt(Template("It was {mask}."), PROMPT.verbalizer)
    table = rows(scores_csv(made(), {}, prompt))
    assert [row[9:] for row in table] == [["template"], *[["It was {mask}."]] * 5]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula(made, formula):
    word = WordScore(formula, formula, 1.0, ("x",), -1.0, 1)
    found = made(labels=(formula, "bad"), words=(word,))
    prompt = Prompt(Template(f"{formula} {{mask}}."), PROMPT.verbalizer)
    table = rows(scores_csv(found, {"text": formula}, prompt))
    assert table[1][1] == f"'{formula}"
    assert table[3][1:3] == [f"'{formula}"] * 2
    assert table[1][9:] == [f"'{formula} {{mask}}.", f"'{formula}"]
    cells = [cell for row in table for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


@given(anything)
def test_any_text_comes_back_from_the_table(text):
    share = np.array([0.5, 0.5])
    found = Explanation(("good", "bad"), share, share, share, (), 0.0, (), (), 1, 1, 0)
    table = rows(scores_csv(found, {"text": text}, PROMPT))
    assert [formula_read(row[-1]) for row in table[1:]] == [text, text]


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{text} It was {mask}.", "--text-column text"),
        ("{span} is a {mask}.", "--text-column span"),
        ("It was {mask}.", "--text-column text"),
        ("{premise}? {mask}, {hypothesis}", "--columns premise=premise hypothesis=hypothesis"),
    ],
)
def test_the_command_names_the_templates_columns(template, columns):
    prompt = Prompt(Template(template), PROMPT.verbalizer)
    expected = f"playground score rows.csv --prompt prompt.json {columns} -o scored.csv"
    assert command_line(prompt) == expected


def test_the_command_of_a_tuned_model_opens_its_file():
    prompt = Prompt(Template("{text} {mask}."), Verbalizer({"a": ["x"], "b": ["y"]}))
    assert command_line(prompt, "delta.safetensors") == (
        "playground score rows.csv --tuned delta.safetensors --text-column text -o scored.csv"
    )
