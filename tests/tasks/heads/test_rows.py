"""Rows from files: usual and named columns, one bad row no other's problem, one sentence an error."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

from playground.errors import PlaygroundError
from playground.tasks.heads import Examples, read_examples, split_off
from tests.tasks.heads.lessons import MAKERS, questions, texts, write

CONTEXT = "A dog barks at the moon."
_GOOD = {
    "classify": {"text": "a", "label": "x"},
    "regress": {"text": "a", "score": 1},
    "tag": {"tokens": ["a"], "tags": ["X"]},
    "answer": {"question": "what?", "context": "great", "answer": "great"},
}


def lines(tmp_path, *rows: dict, name: str = "rows.jsonl") -> str:
    file = tmp_path / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.mark.parametrize("kind", MAKERS)
def test_rows_are_read_as_they_were_written(kind, tmp_path):
    rows = MAKERS[kind](12)
    found = read_examples(kind, [str(write(rows, tmp_path / "rows.jsonl"))])
    assert (found.inputs, found.golds) == (rows.inputs, rows.golds)
    assert found.describe() == "12 rows."


@pytest.mark.parametrize(
    ("kind", "row", "given", "gold"),
    [
        ("classify", {"sentence": "So it is.", "label": 1}, ("So it is.",), "yes"),
        ("classify", {"sentence1": "a", "sentence2": "b", "label": "x"}, ("a", "b"), "x"),
        ("regress", {"sentence1": "a", "sentence2": "b", "score": "3.5"}, ("a", "b"), 3.5),
        ("regress", {"text": "a", "label": 2}, ("a",), 2.0),
        ("tag", {"words": ["a", "b"], "upos": ["X", "Y"]}, ("a", "b"), ("X", "Y")),
        ("tag", {"tokens": "a  b", "tags": '["X", "Y"]'}, ("a", "b"), ("X", "Y")),
        ("tag", {"tokens": ["a", "b"], "ner_tags": [0, 1]}, ("a", "b"), ("no", "yes")),
        ("answer", {"question": "Who?", "context": CONTEXT, "answer": "dog"}, ("Who?", CONTEXT), (("dog", 2),)),
        ("answer", {"question": "Who?", "context": CONTEXT, "answer": None}, ("Who?", CONTEXT), ()),
        (
            "answer",
            {"question": "Who?", "context": CONTEXT, "answers": {"text": ["dog", "A dog"], "answer_start": [2, 0]}},
            ("Who?", CONTEXT),
            (("dog", 2), ("A dog", 0)),
        ),
        (
            "answer",
            {"question": "Who?", "context": CONTEXT, "answers": {"text": [], "answer_start": []}},
            ("Who?", CONTEXT),
            (),
        ),
    ],
)  # fmt: skip
def test_columns_are_found_by_their_usual_names(kind, row, given, gold, tmp_path):
    found = read_examples(kind, [lines(tmp_path, row)], label_names=["no", "yes"])
    assert (found.inputs, found.golds) == ([given], [gold])


def test_other_columns_are_named(tmp_path):
    file = tmp_path / "rows.csv.gz"
    with gzip.open(file, "wt") as stream:
        stream.write("review,stars\nGood.,5\nBad.,1\n")
    found = read_examples("regress", [str(file)], columns={"text": "review", "score": "stars"})
    assert (found.inputs, found.golds) == ([("Good.",), ("Bad.",)], [5.0, 1.0])


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("classify", {"text": "a", "label": ""}, "The label is missing."),
        ("classify", {"text": "a", "label": -1}, "The label is missing."),
        ("classify", {"text": " ", "label": "x"}, "The text is empty; it must be text."),
        ("classify", {"text": 3, "label": "x"}, 'The text is "3"; it must be text.'),
        ("classify", {"text": None, "label": "x"}, "The text is empty; it must be text."),
        ("classify", {"text": "a" * 20_001, "label": "x"}, "The text has 20,001 characters; the most is 20,000."),
        ("classify", {"text": "a", "label": 2}, "The label 2 has no name; there are names for 0 to 1."),
        ("regress", {"text": "a", "score": "high"}, 'The score "high" is no number; give one such as 3.5.'),
        ("regress", {"text": "a", "score": "nan"}, 'The score "nan" is no number; give one such as 3.5.'),
        ("tag", {"tokens": ["a", "b"], "tags": ["X"]}, "There are 2 tokens and 1 tags; each token has one tag."),
        ("tag", {"tokens": ["a", ""], "tags": ["X", "Y"]}, "The tokens hold an empty word; leave it out."),
        ("tag", {"tokens": 3, "tags": ["X"]}, 'The tokens are "3"; they must be a list of words.'),
        ("tag", {"tokens": [], "tags": []}, 'The tokens are "[]"; they must be a list of words.'),
        ("answer", {"question": "Who?", "context": CONTEXT, "answer": "cat"}, 'The answer "cat" is not in its context.'),
        (
            "answer",
            {"question": "Who?", "context": CONTEXT, "answer": "dog", "start": 3},
            'The answer "dog" does not stand at character 3 of its context.',
        ),
        (
            "answer",
            {"question": "Who?", "context": CONTEXT, "answer": "dog", "start": "x"},
            'The start "x" is no whole number.',
        ),
        (
            "answer",
            {"question": "Who?", "context": CONTEXT, "answers": {"text": ["dog"], "answer_start": []}},
            "it must be text, or lists of text and answer_start.",
        ),
        ("answer", {"question": "Who?", "context": "", "answer": "dog"}, "The context is empty; it must be text."),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_and_left_out(kind, row, message, tmp_path):
    good = {**row, **_GOOD[kind], **({"start": 0} if "start" in row else {})}
    if "answers" in row:
        del good["answer"]
        good["answers"] = {"text": ["great"], "answer_start": [0]}
    names = ["no", "yes"]
    found = read_examples(kind, [lines(tmp_path, row, good)], label_names=names)
    assert (len(found), found.faulty) == (1, 1)
    assert found.problems[0].endswith(message)
    assert "row 1: " in found.problems[0]
    assert found.describe().startswith("1 row; 1 faulty row left out (The file ")
    with pytest.raises(PlaygroundError, match=r"^The file .* has no row that can be used\. "):
        read_examples(kind, [lines(tmp_path, row)], label_names=names)


@pytest.mark.parametrize(
    ("kind", "row", "columns", "message"),
    [
        ("classify", {"a": 1, "b": 2}, {}, r'has no column "text or sentence or sentence1 or text_a"; its columns are "a", "b"\. Name the one that holds the text with --columns text=COLUMN\.$'),
        ("classify", {"text": "a", "label": 1}, {"label": "star"}, r'has no column "star"; '),
        ("classify", {"text": "a", "label": 1}, {"score": "label"}, r'^A row has no "score"; it has text, text_b, label\.$'),
        ("tag", {"tokens": ["a"], "x": ["y"]}, {}, "Name the one that holds the tags with --columns tags=COLUMN"),
        ("answer", {"question": "a", "context": "b"}, {}, "Name the one that holds the answer"),
    ],
)  # fmt: skip
def test_a_column_that_is_not_there_is_told(kind, row, columns, message, tmp_path):
    with pytest.raises(PlaygroundError, match=message):
        read_examples(kind, [lines(tmp_path, row)], columns=columns)


def test_an_empty_file_and_an_unknown_kind_are_told(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(PlaygroundError, match=r"is empty; there is nothing to score\.$"):
        read_examples("classify", [str(tmp_path / "empty.jsonl")])
    with pytest.raises(PlaygroundError, match=r'^The kind "rank" is unknown; choose classify, '):
        read_examples("rank", [])


def test_sources_with_one_and_with_two_texts_do_not_mix(tmp_path):
    one = lines(tmp_path, {"text": "a", "label": "x"})
    two = lines(tmp_path, {"text": "a", "text_b": "b", "label": "x"}, name="two.jsonl")
    with pytest.raises(PlaygroundError, match=r"^Some sources have one text a row and some two"):
        read_examples("classify", [one, two])


def test_a_limit_counts_usable_rows_of_each_source(tmp_path):
    bad = {"text": "", "label": "x"}
    rows = lines(tmp_path, bad, *({"text": str(k), "label": "x"} for k in range(5)))
    found = read_examples("classify", [rows, rows], limit=2)
    assert [given[0] for given in found.inputs] == ["0", "1", "0", "1"]


# ---- the dev set that is cut off ------------------------------------------------------------------


def many(counts: dict[str, int]) -> Examples:
    golds = [label for label, count in counts.items() for _ in range(count)]
    return Examples("classify", [(f"text {k}",) for k in range(len(golds))], golds)


def test_the_share_of_each_label_is_cut_off():
    train, dev = split_off(many({"a": 700, "b": 250, "c": 50}), 0.1)
    assert Counter(dev.golds) == {"a": 70, "b": 25, "c": 5}
    assert len(train) == 900
    assert not set(train.inputs) & set(dev.inputs)


def test_the_seed_draws_the_rows():
    rows = many({"a": 50, "b": 50})
    first, again, other = (split_off(rows, 0.2, seed=seed)[1].inputs for seed in (0, 0, 1))
    assert first == again != other


def test_rows_of_one_context_or_one_text_stay_together():
    rows = questions(30)
    twice = Examples(
        "answer", [*rows.inputs, *(("why?", c) for _, c in rows.inputs)], rows.golds * 2
    )
    train, dev = split_off(twice, 0.3)
    assert len(dev) == 18
    assert not {c for _, c in train.inputs} & {c for _, c in dev.inputs}
    same = texts(8)
    train, dev = split_off(Examples("classify", same.inputs * 3, same.golds * 3), 0.3)
    assert not set(train.inputs) & set(dev.inputs)


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(PlaygroundError, match=rf"^The share of the dev set is {share}; "):
        split_off(many({"a": 5}), share)


def test_too_few_rows_cannot_be_parted():
    with pytest.raises(PlaygroundError, match=r"^2 rows cannot be parted with a share of 0\.1 "):
        split_off(many({"a": 1, "b": 1}), 0.1)
