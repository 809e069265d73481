"""Entities of a whole table: each row's own, in its place, and one bad row no other's problem."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from playground.errors import PlaygroundError
from playground.tasks.entities import Entity, EntityTyper, decode
from playground.tasks.entities.tagging import Tagger
from playground.tasks.reading import Record, Table
from playground.tasks.score import run_windows
from playground.tasks.windows import Layout

TEXTS = [
    "Ana met Bo in Rome.",
    "nobody",
    "",
    " \n?!",
    "Maria Lopez left Norway.",
    "Ana met Bo in Rome.",
]


@pytest.fixture(scope="module")
def tagger(prompting, entity_card) -> Tagger:
    return Tagger(EntityTyper(prompting, entity_card))


def table(values: list[dict]) -> Table:
    return Table("rows", lambda: (Record(row) for row in values))


def of(*columns: str) -> Table:
    """Return a table of these columns."""
    return table([dict.fromkeys(columns, "x")])


def same(found: list[Entity], expected: list[Entity]) -> None:
    assert [(e.span, e.label, e.text) for e in found] == [
        (e.span, e.label, e.text) for e in expected
    ]
    assert [e.margin for e in found] == pytest.approx([e.margin for e in expected], abs=1e-4)


# ---- texts --------------------------------------------------------------------------------------


def test_each_text_has_its_own_entities_in_its_place(tagger):
    found = tagger.find(TEXTS)
    for text, entities in zip(TEXTS, found, strict=True):
        same(entities, decode(tagger.typer.type_text(text)) if text[:1].isalpha() else [])
    assert [len(entities) > 0 for entities in found] == [True, False, False, False, True, True]
    assert tagger.find([]) == []


def test_texts_together_take_fewer_runs_than_one_by_one(tagger):
    runner = tagger.typer.prompting.runner
    texts = [f"Ana saw {name} on day {k}." for k, name in enumerate(("Rome", "Oslo", "Lima"))]
    before = runner.prompts_run
    tagger.find(texts)
    together = runner.prompts_run - before
    assert 0 < together <= 3 * 3 * 2  # three templates, two names a text


def test_the_choices_are_those_of_decoding(tagger):
    text = "Ana Lima of Porto met Bo"
    chosen = replace(
        tagger, candidates="all", most_words=2, threshold=-1, decoding="best total", nested=True
    )
    typed = tagger.typer.type_text(text, candidates="all", most_words=2)
    [found] = chosen.find([text])
    same(found, decode(typed, threshold=-1, decoding="best total", nested=True))
    assert len(found) > len(tagger.find([text])[0])


def test_a_text_that_cannot_be_typed_says_why_and_the_others_are(tagger, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_MAX_SPANS", "3")
    many, long = "Ana met Bo and Tom and Max.", "x" * 20_001
    found = tagger.find([TEXTS[0], many, TEXTS[4], long, ""])
    assert found[1] == (
        "The text has 4 candidate spans and the most is 3; shorten it, take fewer words a span, or "
        "candidates that look like names."
    )
    assert found[3] == "The text has 20,001 characters; the most is 20,000."
    assert found[4] == []
    for k in (0, 2):
        same(found[k], decode(tagger.typer.type_text((TEXTS[0], "", TEXTS[4])[k])))


# ---- rows ---------------------------------------------------------------------------------------


def lines(tagger: Tagger, values: list[dict], **options) -> list[dict]:
    """Return the rows that a run writes as JSON Lines."""
    source = table(values)
    out = io.BytesIO()
    layout = tagger.layout(source, options.pop("column", "text"), "jsonl", lambda sentence: None)
    run_windows(tagger, tagger, layout, source, out, **options)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_windows_are_of_64_rows_and_keep_their_order(tagger):
    values = [{"text": f"Ana wrote {k} letters to Rome.", "id": k} for k in range(130)]
    source = table(values)
    layout = tagger.layout(source, "text", "csv", lambda sentence: None)
    assert (layout.columns, layout.mapping) == (
        ("text", "id", "entities", "error"),
        {"text": "text"},
    )
    windows = list(tagger.windows(tagger, layout, source, source.records(), start=0, stop=None))
    assert [(w.rows, w.failed, w.lost) for w in windows] == [(64, 0, ()), (64, 0, ()), (2, 0, ())]
    data = (layout.header() + b"".join(w.data for w in windows)).decode()
    found = list(csv.DictReader(io.StringIO(data, newline="")))
    assert [row["id"] for row in found] == [str(k) for k in range(130)]
    for row in (found[0], found[63], found[64], found[129]):
        expected = decode(tagger.typer.type_text(row["text"]))
        assert [e["text"] for e in json.loads(row["entities"])] == [e.text for e in expected]


def test_a_row_keeps_its_values_and_says_what_is_wrong(tagger):
    values = [{"text": TEXTS[0], "n": 1}, {"text": 5, "n": 2}, {"n": 3}, {"text": None}]
    found = lines(tagger, values)
    assert [row["error"] for row in found] == [
        "",
        'text is "5" (int); it must be text.',
        'This row has no "text".',
        'text is "None" (NoneType); it must be text.',
    ]
    assert [row["entities"] == [] for row in found] == [False, True, True, True]
    assert [{k: row[k] for k in given} for row, given in zip(found, values, strict=True)] == values


def test_a_line_that_could_not_be_read_keeps_its_reason(tagger):
    records = [Record({}, "Line 1 is not JSON."), Record({"text": TEXTS[0]})]
    source = Table("rows", lambda: iter(records))
    layout = tagger.layout(source, "text", "jsonl", lambda sentence: None)
    [window] = tagger.windows(tagger, layout, source, source.records(), start=0, stop=None)
    first, second = map(json.loads, window.data.splitlines())
    assert (window.failed, first) == (1, {"entities": [], "error": "Line 1 is not JSON."})
    assert second["entities"]


def test_spacys_rows_are_examples_alone(tagger):
    found = lines(replace(tagger, spacy=True), [{"text": TEXTS[0], "n": 1}, {"text": 5}])
    expected = decode(tagger.typer.type_text(TEXTS[0]))
    assert found == [
        {"text": TEXTS[0], "entities": [[e.start, e.end, e.label.upper()] for e in expected]}
    ]


def test_fields_that_a_csv_has_no_column_for_are_lost_and_told(tagger):
    source = table([{"text": "Ana"}, {"text": "Bo", "more": 1}])
    layout = tagger.layout(source, "text", "csv", lambda sentence: None)
    out = io.BytesIO()
    summary = run_windows(tagger, tagger, layout, source, out)
    assert (summary.rows, summary.failed, summary.lost_fields) == (2, 0, ("more",))


# ---- layout and fingerprint ---------------------------------------------------------------------


def test_a_missing_column_is_one_sentence(tagger):
    with pytest.raises(PlaygroundError) as error:
        tagger.layout(of("id", "body"), "text", "csv", lambda sentence: None)
    assert str(error.value) == (
        'There is no column "text"; the columns are "id", "body". Name the text\'s with --text-column.'
    )


def test_a_name_that_is_taken_is_told(tagger):
    told: list[str] = []
    layout = tagger.layout(of("text", "entities"), "text", "csv", told.append)
    assert layout.given == ("text", "entities")
    assert layout.added["error"] == "error"
    assert layout.added["entities"] not in ("entities", "text", "error")
    assert told == [
        f'The input has a column "entities"; the new one is "{layout.added["entities"]}".'
    ]


def test_spacys_layout_has_no_columns(tagger):
    layout = replace(tagger, spacy=True).layout(
        of("text", "entities"), "text", "csv", lambda sentence: None
    )
    assert layout == Layout((), {}, "jsonl", {"text": "text"})
    assert layout.header() == b""


def test_what_changes_the_output_changes_the_fingerprint(tagger, prompting, make_typing_prompt):
    others = [
        replace(tagger, candidates="all"),
        replace(tagger, most_words=3),
        replace(tagger, threshold=0.0),
        replace(tagger, decoding="best total"),
        replace(tagger, nested=True),
        replace(tagger, spacy=True),
        replace(tagger, typer=EntityTyper(prompting, make_typing_prompt())),
        replace(tagger, typer=EntityTyper(prompting, make_typing_prompt("The {mask} {span}."))),
        replace(tagger, typer=replace(tagger.typer, prior="span")),
        replace(tagger, typer=replace(tagger.typer, context_words=5)),
        replace(tagger, typer=EntityTyper(prompting, make_typing_prompt(aggregation="max"))),
    ]
    marks = [json.dumps(one.fingerprint()) for one in (tagger, *others)]
    assert len(set(marks)) == len(marks)
    again = Tagger(EntityTyper(prompting, tagger.typer.prompt))
    assert json.dumps(again.fingerprint()) == marks[0]
    assert tagger.settings is prompting.settings
