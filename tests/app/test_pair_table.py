"""A visitor's table of pairs: what opens, what is refused in one sentence, and what a run tells."""

from __future__ import annotations

import csv
import io
import json

import pytest

from playground import NliClassifier, resources
from playground.app.opened_files import MOST_BYTES
from playground.app.pair_table import (
    classify_table,
    open_pairs,
    progress_html,
    sample_pairs,
)
from playground.errors import PlaygroundError
from tests.app.elements import read
from tests.app.payloads import PAYLOADS

HEAD = "premise,hypothesis,label\n"
ROWS = "A dog runs.,An animal moves.,entailment\nA man eats.,A man sleeps.,contradiction\n"


@pytest.fixture(scope="module")
def classifier() -> NliClassifier:
    return NliClassifier()


def last(classifier, content: str, most: int = 100):
    *_, found = classify_table(classifier, *open_pairs(content, most))
    return found


@pytest.mark.parametrize(
    "content",
    [
        HEAD + ROWS,
        "\ufeff" + HEAD + ROWS,
        (HEAD + ROWS).replace(",", ";"),
        (HEAD + ROWS).replace(",", "\t"),
        (HEAD + ROWS).replace("premise,hypothesis,label", "sentence1,sentence2,gold_label"),
        "".join(
            json.dumps(dict(zip(HEAD.strip().split(","), line.split(","), strict=True))) + "\n"
            for line in ROWS.splitlines()
        ),
    ],
    ids=["csv", "byte order mark", "semicolons", "tabs", "snli's names", "json lines"],
)
def test_a_table_opens_however_it_was_saved(classifier, content):
    found = last(classifier, content)
    scores = classifier.classify(
        [("A dog runs.", "An animal moves."), ("A man eats.", "A man sleeps.")]
    )
    assert (found.done, found.total, found.failed, found.gold) == (2, 2, 0, 2)
    assert [row["prediction"] for row in found.first] == scores.predictions
    right = [
        a == b for a, b in zip(scores.predictions, ["entailment", "contradiction"], strict=True)
    ]
    assert found.right == sum(right)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", r"^The file has no rows; there is nothing to score\.$"),
        (HEAD, r"^The file has no rows; there is nothing to score\.$"),
        (
            "a,b\n1,2\n",
            r"^The file has no column premise; its columns are a, b\. Name two of them ",
        ),
        ("premise,b\n1,2\n", r"^The file has no column hypothesis; its columns are premise, b\."),
        ("PK\x03\x04\x00\x00", r"^The file is not text; save the table as CSV in UTF-8\.$"),
        (
            HEAD + "caf\ufffd,x,\n",
            r"^The file is not UTF-8 text; save the table as CSV in UTF-8\.$",
        ),
        (
            HEAD + ROWS * 51,
            r"^The file has more than 100 rows; use playground nli predict, or cut it",
        ),
        (" " * (MOST_BYTES + 1), r"^The file is larger than 4 MiB; use playground nli predict "),
        ("{broken\n", r"^The file cannot be read\. Line 1 is not JSON: "),
    ],
    ids=[
        "empty",
        "head only",
        "other columns",
        "one side",
        "zip",
        "latin 1",
        "long",
        "large",
        "json",
    ],
)
def test_a_file_that_cannot_be_used_says_why(content, sentence):
    with pytest.raises(PlaygroundError, match=sentence):
        open_pairs(content, 100)


def test_good_rows_are_scored_beside_bad_ones(classifier):
    content = HEAD + ",An animal moves.,neutral\nA dog runs.,An animal moves.,what\nshort\n"
    found = last(classifier, content)
    assert (found.done, found.failed, found.gold) == (3, 2, 1)  # "what" is no label
    errors = [row["error"] for row in found.first]
    assert errors[0] == "The premise is empty; write a sentence."
    assert errors[1] == ""
    assert errors[2].startswith("Line 4 has 1 cell and the header has 3;")


def test_columns_that_are_called_like_ours_stay_apart(classifier):
    content = "premise,hypothesis,prediction,p_neutral,error\nA dog runs.,It moves.,mine,9,no\n"
    found = last(classifier, content)
    (row,) = csv.DictReader(io.StringIO(found.csv.decode()))
    assert (row["prediction"], row["p_neutral"], row["error"]) == ("mine", "9", "no")
    expected = classifier.classify([("A dog runs.", "It moves.")]).predictions[0]
    assert row["prediction_2"] == found.first[0]["prediction"] == expected
    assert found.first[0]["error"] == ""


def test_the_file_that_leaves_has_every_row_and_the_same_numbers(classifier):
    own = resources.load_examples("nli")
    *_, found = classify_table(classifier, *sample_pairs())
    rows = list(csv.DictReader(io.StringIO(found.csv.decode())))
    assert [row["premise"] for row in rows] == [row["premise"] for row in own]
    scores = classifier.classify([(row["premise"], row["hypothesis"]) for row in own])
    assert [row["prediction"] for row in rows] == scores.predictions
    assert [float(row["p_neutral"]) for row in rows] == pytest.approx(
        scores.probabilities[:, 1], abs=1e-5
    )
    gold = [row["label"] for row in own]
    right = sum(a == b for a, b in zip(gold, scores.predictions, strict=True))
    assert (found.right, found.gold) == (right, 60)
    assert "Done: 60 of 60 pairs" in progress_html(found)


def test_a_run_tells_how_far_it_is_and_keeps_what_it_has(classifier):
    table, total = open_pairs(HEAD + ROWS * 100, 1000)
    steps = classify_table(classifier, table, total)
    first = next(steps)
    assert 0 < first.done < total == 200
    assert f"Running: {first.done} of 200 pairs" in progress_html(first)
    assert f"Stopped after {first.done} of 200 pairs" in progress_html(first, stopped=True)
    assert len(list(csv.DictReader(io.StringIO(first.csv.decode())))) == first.done
    steps.close()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_cell_is_only_text(classifier, payload):
    line = json.dumps({"premise": payload, "hypothesis": payload}) + "\n"
    bad = json.dumps({"premise": "", "hypothesis": payload}) + "\n"
    found = read(progress_html(last(classifier, line + bad)))
    assert [e.text for e in found if e.tag == "td"][:2] == [payload, payload]
    allowed = {"div", "progress", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span"}
    assert {element.tag for element in found} <= allowed


def test_a_formula_is_made_harmless(classifier):
    found = last(classifier, HEAD + '"=HYPERLINK(""x"")",It moves.,\n')
    (row,) = csv.DictReader(io.StringIO(found.csv.decode()))
    assert row["premise"] == '\'=HYPERLINK("x")'
