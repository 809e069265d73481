"""The NLI classifier over rows of a table: faulty rows, stopped runs, and the bytes that are written."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from playground.engine.classifier import PAIR
from playground.errors import PlaygroundError
from playground.tasks.nli import LABELS, NliClassifier, NliScorer
from playground.tasks.nli.pairs import usual_columns
from playground.tasks.reading import read_file
from playground.tasks.score import score_parts, score_table
from tests.tasks.nli.checkpoints import save

PAIRS = [
    ("A man inspects the uniform of a figure.", "The man is sleeping."),
    ("Two women are talking.", "No"),
    ("It was good.", "The food was good and the service was great, so we took the bus."),
    ("x", "y"),
]


_FAULTS = [
    (("", "x"), "The premise is empty; write a sentence."),
    (("x", " \n\t"), "The hypothesis is empty; write a sentence."),
    ((5, "x"), 'premise is "5" (int); it must be text.'),
    (("x", None), 'hypothesis is "None" (NoneType); it must be text.'),
    ({"premise": "x"}, "The row has no {hypothesis}; it has {premise}."),
    (("x", "a" * 100_000), "The hypothesis has 100,000 characters; the most is 20,000."),
    (("a", "b", "c"), "A pair is a premise and a hypothesis, not \"('a', 'b', 'c')\"."),
    ("a b", 'A pair is a premise and a hypothesis, not "a b".'),
    (None, 'A row is a text, not "None" (NoneType).'),
]


@pytest.mark.parametrize(("fault", "sentence"), _FAULTS, ids=range(len(_FAULTS)))
def test_a_faulty_pair_is_its_own_error(fault, sentence, classifier):
    alone = classifier.classify(PAIRS[:2])
    told: list[tuple[int, int]] = []
    scores = classifier.classify(
        [PAIRS[0], fault, PAIRS[1]], progress=lambda done, total: told.append((done, total))
    )
    assert scores.errors == {1: sentence}
    assert np.isnan(scores.probabilities[1]).all()
    assert (scores.tokens[1], scores.dropped[1], scores.predictions[1]) == (0, 0, None)
    np.testing.assert_allclose(scores.probabilities[[0, 2]], alone.probabilities, atol=1e-6)
    assert told[-1] == (3, 3)


def test_mappings_and_sequences_are_the_same_pair(classifier):
    named = [{"premise": p, "hypothesis": h, "more": 1} for p, h in PAIRS]
    found = classifier.classify(named).label_scores
    np.testing.assert_array_equal(found, classifier.classify(PAIRS).label_scores)


def test_no_pairs_are_no_rows(classifier):
    scores = classifier.classify([])
    assert (len(scores), scores.errors, scores.predictions) == (0, {}, [])


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_a_cancelled_run_keeps_the_rows_done(batches, classifier, classifier_of, settings):
    slow = NliClassifier(classifier_of("bert"), settings=replace(settings, batch_tokens=1))
    told: list[tuple[int, int]] = []
    scores = slow.classify(
        PAIRS,
        progress=lambda done, total: told.append((done, total)),
        cancel=lambda: len(told) == batches,
    )
    assert told == [(k, len(PAIRS)) for k in range(1, batches + 1)]
    assert len(scores.errors) == len(PAIRS) - batches
    assert set(scores.errors.values()) == {"Stopped before this row."}
    whole = classifier.classify(PAIRS)
    for i in range(len(PAIRS)):
        expected = np.nan if i in scores.errors else whole.probabilities[i]
        np.testing.assert_allclose(scores.probabilities[i], expected, atol=1e-5)


# ---- tables -------------------------------------------------------------------------------------


@pytest.fixture
def table_file(tmp_path):
    """A table of 50 pairs in columns of other names, with a faulty row and a long one."""
    rows = [*PAIRS * 12, ("", "x"), ("good " * 70, "bad " * 70)]
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "sentence1", "sentence2"])
        writer.writerows((i, *pair) for i, pair in enumerate(rows))
    return str(tmp_path / "pairs.csv")


COLUMNS = {"premise": "sentence1", "hypothesis": "sentence2"}


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("limit", [None, 1, 49])
@pytest.mark.parametrize("rows_at_once", [1, 7, 64])
def test_parts_add_up_to_the_bytes_of_the_table(
    format, limit, rows_at_once, classifier_of, settings, table_file
):
    windows = replace(settings, window_rows=rows_at_once)  # fp32 rounds by the size of a batch
    scorer = NliScorer(NliClassifier(classifier_of("bert"), settings=windows))
    options = {"columns": COLUMNS, "format": format, "limit": limit}
    whole = io.BytesIO()
    summary = score_table(scorer, read_file(table_file), whole, **options)
    parts = list(score_parts(scorer, read_file(table_file), rows_at_once=rows_at_once, **options))
    assert b"".join(part.data for part in parts) == whole.getvalue()
    ends = {*range(rows_at_once, summary.rows, rows_at_once), summary.rows}
    assert [part.done for part in parts] == sorted(ends)
    assert parts[-1].failed == summary.failed
    given = [row["id"] for part in parts for row in part.given]
    assert given == [str(i) for i in range(summary.rows)]


def test_parts_tell_what_they_added_to_each_row(classifier, table_file):
    [part] = score_parts(NliScorer(classifier), read_file(table_file), columns=COLUMNS)
    written = csv.DictReader(io.StringIO(part.data.decode(), newline=""))
    assert (part.done, part.failed, len(part.found)) == (50, 1, 50)
    for row, found in zip(written, part.found, strict=True):
        shown = {name: "" if value is None else str(value) for name, value in found.items()}
        assert {name: row[name] for name in shown} == shown


def test_a_scored_table_holds_the_numbers_of_the_classifier(classifier, table_file, tmp_path):
    out = tmp_path / "out.jsonl"
    summary = score_table(NliScorer(classifier), read_file(table_file), out, columns=COLUMNS)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    scores = classifier.classify(PAIRS)
    assert (summary.rows, summary.failed) == (50, 1)
    assert list(rows[0])[3:] == [
        "prediction", *(f"p_{label}" for label in LABELS), "tokens", "dropped", "error"
    ]  # fmt: skip
    for i, row in enumerate(rows[:48]):
        assert row["prediction"] == scores.predictions[i % 4]
        found = [row[f"p_{label}"] for label in LABELS]
        assert found == pytest.approx(scores.probabilities[i % 4].tolist(), abs=1e-5)
    assert rows[48]["error"] == "The premise is empty; write a sentence."
    assert (rows[48]["prediction"], rows[49]["tokens"]) == (None, 64)
    assert rows[49]["dropped"] > 70


def test_parts_of_a_table_without_the_columns_are_refused(classifier, table_file):
    with pytest.raises(
        PlaygroundError, match=r'^There is no column "premise"; the columns are "id"'
    ):
        next(score_parts(NliScorer(classifier), read_file(table_file)))


def test_rows_of_another_classifier_do_not_stand_in_one_file(
    classifier, classifier_of, settings, tmp_path
):
    scorer = NliScorer(classifier)
    assert (scorer.template, scorer.labels) == (PAIR, LABELS)
    assert scorer.settings is classifier.settings
    marks = [scorer.fingerprint(), NliScorer(NliClassifier(classifier_of("roberta"))).fingerprint()]
    warm = save("bert", tmp_path / "nli-bert", calibration_temperature=2.0)
    marks.append(NliScorer(NliClassifier(warm, settings=settings)).fingerprint())
    assert json.loads(json.dumps(marks)) == marks
    assert len({json.dumps(mark) for mark in marks}) == 3


@pytest.mark.parametrize(
    ("available", "found"),
    [
        (["id", "sentence1", "sentence2"], {"premise": "sentence1", "hypothesis": "sentence2"}),
        (
            ["premise", "sentence1", "hypothesis"],
            {"premise": "premise", "hypothesis": "hypothesis"},
        ),
        (["text"], {}),
        (["sentence2", "premise"], {"premise": "premise", "hypothesis": "sentence2"}),
    ],
)
def test_the_usual_columns_of_a_pair(available, found):
    assert usual_columns(available) == found
