"""Labelled texts from tables: offsets or BIO tags, and what is said of rows that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from playground import resources
from playground.errors import PlaygroundError
from playground.tasks.entities import Span
from playground.tasks.entities.labelled import (
    LabelledText,
    bio_spans,
    majority_type,
    read_labelled_texts,
)
from playground.tasks.reading import Record, Table, parse_lines, read_file

TYPES = ("person", "place")


def table_of(rows: Iterable[Mapping[str, Any]], names: Sequence[str] = ()) -> Table:
    rows = list(rows)
    return Table(
        "The table",
        lambda: (Record(dict(row)) for row in rows),
        label_names={"ner_tags": names} if names else {},
    )


def entity(start: Any, end: Any, label: Any = "person") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


GOOD = {"text": "Ana met Bob", "entities": [entity(0, 3), entity(8, 11)]}


# ---- BIO --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-a I-a O", [(0, 2, "a")]),
        ("B-a B-a I-a", [(0, 1, "a"), (1, 3, "a")]),
        ("I-a I-a O I-a", [(0, 2, "a"), (3, 4, "a")]),
        ("B-a I-b I-b", [(0, 1, "a"), (1, 3, "b")]),
        ("B-a O I-a", [(0, 1, "a"), (2, 3, "a")]),
        ("B-work-of-art I-work-of-art", [(0, 2, "work-of-art")]),
        ("B I O", []),
    ],
)
def test_bio_tags_are_spans_of_tokens(tags, expected):
    assert bio_spans(tags.split()) == expected


@given(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), max_size=12))
def test_bio_spans_are_those_of_seqeval(tags):
    expected = [(first, last + 1, label) for label, first, last in get_entities(tags)]
    assert bio_spans(tags) == expected


def test_tokens_are_joined_by_spaces_and_tags_become_offsets():
    row = {"tokens": ["Ana", "Díaz", "saw", "Oslo", "."], "ner_tags": ["B-person", "I-person", "O", "I-place", "O"]}  # fmt: skip
    found = read_labelled_texts(table_of([row]), TYPES)
    text = "Ana Díaz saw Oslo ."
    assert found.rows == (LabelledText(text, ((Span(0, 8), "person"), (Span(13, 17), "place"))),)
    assert [text[s.start : s.end] for s, _ in found.rows[0].entities] == ["Ana Díaz", "Oslo"]


@pytest.mark.parametrize("column", ["ner_tags", "tags", "labels"])
def test_the_columns_of_tags_have_several_names(column):
    row = {"tokens": ["Ana", "sat"], column: ["B-person", "O"]}
    assert read_labelled_texts(table_of([row]), TYPES).rows[0].entities == ((Span(0, 3), "person"),)


def test_tags_as_numbers_take_the_names_of_the_data_set():
    names = ["O", "B-PER", "I-PER", "B-place"]
    row = {"tokens": ["Ana", "Paz", "saw", "Rome"], "ner_tags": [1, 2, 0, 3]}
    found = read_labelled_texts(table_of([row], names), TYPES, names={"PER": "person"})
    assert found.rows[0].entities == ((Span(0, 7), "person"), (Span(12, 16), "place"))


# ---- offsets ----------------------------------------------------------------------------------------


def test_offsets_are_sorted_and_types_known_in_any_case():
    row = {"text": "Ana in Rome", "entities": [entity(7, 11, "PLACE"), entity(0, 3, "Person")]}
    found = read_labelled_texts(table_of([row]), TYPES)
    assert found.rows[0].entities == ((Span(0, 3), "person"), (Span(7, 11), "place"))
    assert (found.name, found.entities, found.faulty, found.problems) == ("The table", 2, 0, ())


def test_a_cell_of_a_csv_holds_the_entities_as_json(tmp_path):
    (tmp_path / "rows.csv").write_text(
        'text,entities\n"Ana, who sat","[{""start"": 0, ""end"": 3, ""label"": ""person""}]"\n'
        'nobody,[]\nAna,not json\nAna,"{""start"": 0}"\n',
        encoding="utf-8",
    )
    found = read_labelled_texts(read_file(str(tmp_path / "rows.csv")), TYPES)
    assert found.rows == (
        LabelledText("Ana, who sat", ((Span(0, 3), "person"),)),
        LabelledText("nobody", ()),
    )
    assert found.faulty == 2
    assert found.problems == (
        "row 3: it has no text with a list of entities.",
        "row 4: it has no text with a list of entities.",
    )


def test_a_cell_of_deep_json_costs_its_own_row():
    rows = [GOOD, {"text": "Ana", "entities": "[" * 100_000}]
    found = read_labelled_texts(table_of(rows), TYPES)
    assert (len(found.rows), found.faulty) == (1, 1)


# ---- types ------------------------------------------------------------------------------------------


def test_names_map_what_the_table_calls_a_type():
    row = {"text": "Ana in Rome", "entities": [entity(0, 3, "PER"), entity(7, 11, "gpe")]}
    names = {"per": "PERSON", "GPE": "place"}
    found = read_labelled_texts(table_of([row]), TYPES, names=names)
    assert found.rows[0].entities == ((Span(0, 3), "person"), (Span(7, 11), "place"))
    assert found.left_out == {}


def test_types_of_no_interest_are_counted_and_left_out():
    entities = [entity(0, 3, "PER"), entity(8, 11), entity(0, 11, "MISC"), entity(4, 7, "MISC")]
    found = read_labelled_texts(table_of([GOOD | {"entities": entities}]), TYPES)
    assert found.left_out == {"MISC": 2, "PER": 1}
    assert found.rows[0].entities == ((Span(8, 11), "person"),)
    assert found.entities == 1


def test_names_of_an_unknown_type_are_refused():
    message = r'^The prompt has no type "animal"; it has person, place\.$'
    with pytest.raises(PlaygroundError, match=message):
        read_labelled_texts(table_of([GOOD]), TYPES, names={"ANIM": "animal"})


# ---- rows that cannot be used -----------------------------------------------------------------------

OUTSIDE = "the entity from {} to {} does not lie in its text of 11 characters."


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"text": None}, "it has no text with a list of entities."),
        ({"text": 5}, "it has no text with a list of entities."),
        ({"entities": None}, "it has no text with a list of entities."),
        ({"entities": {"start": 0}}, "it has no text with a list of entities."),
        ({"entities": [entity(0, 12)]}, OUTSIDE.format('"0"', '"12"')),
        ({"entities": [entity(-1, 2)]}, OUTSIDE.format('"-1"', '"2"')),
        ({"entities": [entity(4, 4)]}, OUTSIDE.format('"4"', '"4"')),
        ({"entities": [entity("0", "3")]}, OUTSIDE.format('"0"', '"3"')),
        ({"entities": [entity(0.0, 3)]}, OUTSIDE.format('"0.0"', '"3"')),
        ({"entities": [entity(0, 3, None)]}, OUTSIDE.format('"0"', '"3"')),
        ({"entities": [[0, 3, "person"]]}, "an entity is \"[0, 3, 'person']\"; it has start, end and label."),
        ({"entities": [{"start": 0}]}, "an entity is \"{'start': 0}\"; it has start, end and label."),
        ({"entities": [7]}, 'an entity is "7"; it has start, end and label.'),
    ],
)  # fmt: skip
def test_a_faulty_row_of_offsets_is_told_with_its_number(change, problem):
    found = read_labelled_texts(table_of([GOOD, GOOD | change, GOOD]), TYPES)
    assert found.problems == (f"row 2: {problem}",)
    assert (len(found.rows), found.faulty, found.entities) == (2, 1, 4)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tokens": ["Ana"]}, "it does not have as many tags as tokens."),
        ({"tokens": "Ana sat"}, "it does not have as many tags as tokens."),
        ({"ner_tags": None}, "it does not have as many tags as tokens."),
        ({"ner_tags": ["B-person", 3]}, 'the tag "3" is no BIO tag such as B-person.'),
        ({"ner_tags": [-1, 0]}, 'the tag "-1" is no BIO tag such as B-person.'),
        ({"ner_tags": ["O", None]}, 'the tag "None" is no BIO tag such as B-person.'),
    ],
)
def test_a_faulty_row_of_tags_is_told_with_its_number(change, problem):
    good = {"tokens": ["Ana", "sat"], "ner_tags": ["B-person", "O"]}
    found = read_labelled_texts(table_of([good, good | change], ["O", "B-person"]), TYPES)
    assert found.problems == (f"row 2: {problem}",)
    assert (len(found.rows), found.faulty) == (1, 1)


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Ana  met", "entities": [entity(3, 5)]},
        {"tokens": ["", "met"], "ner_tags": ["B-person", "O"]},
        {"tokens": [" ", "met"], "ner_tags": ["B-person", "O"]},
    ],
    ids=["offsets", "empty token", "blank token"],
)
def test_an_entity_of_nothing_costs_its_own_row(row):
    """It can be no candidate, so that one such row would stop the evaluation of all others."""
    good = {"text": "Ana", "entities": [entity(0, 3)]} if "text" in row else {"tokens": ["Ana"], "ner_tags": ["B-person"]}  # fmt: skip
    found = read_labelled_texts(table_of([good, row]), TYPES)
    assert (len(found.rows), found.faulty) == (1, 1)
    assert found.problems[0].startswith("row 2: ")


def test_three_problems_are_told_and_all_are_counted():
    lines = ["oops", *["[1]"] * 3, json.dumps(GOOD), json.dumps({"text": "Ana"})]
    table = Table("The table", lambda: parse_lines(lines, "jsonl"))
    found = read_labelled_texts(table, TYPES)
    assert (len(found.rows), found.faulty) == (1, 5)
    assert found.problems == (
        'row 1: Line 1 is not JSON: "oops".',
        'row 2: Line 2 is not a JSON object: "[1]".',
        'row 3: Line 3 is not a JSON object: "[1]".',
    )


def test_a_limit_reads_no_further():
    found = read_labelled_texts(table_of([GOOD] * 3 + [{**GOOD, "text": 1}]), TYPES, limit=2)
    assert (len(found.rows), found.faulty) == (2, 0)


def test_a_table_without_the_columns_is_refused():
    message = (
        r'^The table has the columns "text", "label"; labelled entities are text and entities '
        r"\(start, end, label\), or tokens and ner_tags\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        read_labelled_texts(table_of([{"text": "Ana", "label": "x"}]), TYPES)


def test_a_table_without_a_usable_row_is_refused():
    message = (
        r"^The table has no row that can be used\. row 1: it has no text with a list of entities\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        read_labelled_texts(table_of([GOOD | {"text": None}] * 9), TYPES)


def test_a_limit_of_no_rows_is_refused():
    with pytest.raises(PlaygroundError, match=r"^The table has no row that can be used\."):
        read_labelled_texts(table_of([GOOD]), TYPES, limit=0)


# ---- the shipped sample -----------------------------------------------------------------------------


def test_the_shipped_names_are_read_as_they_stand():
    path = resources.models_dir().parent / "examples" / "names.jsonl"
    types = ("person", "location", "organization")
    found = read_labelled_texts(read_file(str(path)), types)
    raw = resources.load_examples("names")
    assert (found.faulty, found.left_out) == (0, {})
    assert [row.text for row in found.rows] == [row["text"] for row in raw]
    for row, own in zip(found.rows, raw, strict=True):
        expected = sorted((e["start"], e["end"], e["label"]) for e in own["entities"])
        assert [(span.start, span.end, label) for span, label in row.entities] == expected
        for span, label in row.entities:
            name = row.text[span.start : span.end]
            assert name == name.strip()
            assert label in types
    assert {label for row in found.rows for _, label in row.entities} == set(types)


def test_tokens_and_offsets_of_the_same_texts_agree():
    text = "Ana Paz saw Rome"
    offsets = {"text": text, "entities": [entity(0, 7), entity(12, 16, "place")]}
    tags = {"tokens": text.split(), "ner_tags": ["B-person", "I-person", "O", "B-place"]}
    first, second = (read_labelled_texts(table_of([row]), TYPES).rows for row in (offsets, tags))
    assert first == second


def test_the_majority_is_the_commonest_type():
    rows = [
        LabelledText("a b c", ((Span(0, 1), "place"), (Span(2, 3), "person"))),
        LabelledText("d", ((Span(0, 1), "place"),)),
    ]
    assert majority_type(rows) == "place"
    assert majority_type(rows[:1]) == "person"  # of equals the first by name


def test_texts_without_an_entity_have_no_majority():
    message = (
        r"^The texts have no entity of the prompt's types; "
        r"name theirs with --types THEIRS=OURS\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        majority_type([LabelledText("nobody", ())])
