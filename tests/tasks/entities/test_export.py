"""What leaves: offsets and numbers as they are, no cell that a spreadsheet runs, a program that agrees."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from playground import Prompt, Template, Verbalizer
from playground.tasks.entities import CANDIDATES, Entity, EntityTyper, Span, TypedSpans, decode
from playground.tasks.entities.export import entities_json, spacy_example, spans_csv, to_python
from playground.tasks.entities.typing import margins

ANA = Entity(0, 3, "person", "Ana", 2.0123456789, 0.87654321)
BO = Entity(8, 10, "Place", "Bo", float(np.float32(1.5)), 0.5)
TEXT = "Ana met Bo"


# ---- JSON and spaCy -----------------------------------------------------------------------------


def test_entities_are_objects_with_six_digits():
    assert entities_json([ANA, BO]) == [
        {"start": 0, "end": 3, "label": "person", "text": "Ana", "margin": 2.01235, "probability": 0.876543},
        {"start": 8, "end": 10, "label": "Place", "text": "Bo", "margin": 1.5, "probability": 0.5},
    ]  # fmt: skip
    assert entities_json([]) == []
    assert json.loads(json.dumps(entities_json([ANA]))) == entities_json([ANA])


def test_spacy_takes_offsets_and_labels_in_capitals():
    assert spacy_example(TEXT, [ANA, BO]) == {
        "text": TEXT,
        "entities": [[0, 3, "PERSON"], [8, 10, "PLACE"]],
    }
    assert spacy_example(TEXT, []) == {"text": TEXT, "entities": []}


def test_nested_spans_are_spacys_span_group():
    whole = Entity(0, 10, "group", TEXT, 1.0, 0.4)
    assert spacy_example(TEXT, [whole, ANA], nested=True) == {
        "text": TEXT,
        "spans": {"sc": [[0, 10, "GROUP"], [0, 3, "PERSON"]]},
    }


# ---- CSV ----------------------------------------------------------------------------------------


def typed(text: str, spans: list[tuple[int, int]], labels: tuple[str, ...]) -> TypedSpans:
    logs = np.log(np.array([[0.6, 0.3, 0.1], [0.2, 0.1, 0.7]]))[: len(spans)]
    return TypedSpans(text, tuple(Span(*s) for s in spans), labels, logs, margins(logs, labels))


def rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table, newline="")))


def test_the_table_has_every_span_with_all_its_shares():
    made = typed(TEXT, [(0, 3), (4, 7)], ("person", "place", "none"))
    first, second = rows(spans_csv(made, decode(made, threshold=1)))
    assert first == {
        "start": "0", "end": "3", "span": "Ana", "type": "person", "margin": f"{np.log(6):.6g}",
        "entity": "yes", "p_person": "0.6", "p_place": "0.3", "p_none": "0.1",
    }  # fmt: skip
    assert second == {
        "start": "4", "end": "7", "span": "met", "type": "person", "margin": f"{np.log(2 / 7):.6g}",
        "entity": "no", "p_person": "0.2", "p_place": "0.1", "p_none": "0.7",
    }  # fmt: skip


def test_a_table_without_a_span_has_its_columns():
    made = typed("nobody", [], ("person", "place", "none"))
    assert spans_csv(made, []) == "start,end,span,type,margin,entity,p_person,p_place,p_none\r\n"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_is_run_by_a_spreadsheet(text):
    made = typed(text, [(0, len(text))], (text, "place", "none"))
    [row] = rows(spans_csv(made, []))
    assert (row["span"], row["type"]) == (f"'{text}", f"'{text}")


@pytest.mark.parametrize(
    "text", ['say "Ana", then', "two\nlines", "two\r\nlines", "a\rb", "👩‍👩‍👧;é"]
)
def test_any_span_and_type_reads_back(text):
    made = typed(text, [(0, len(text))], (text, "place", "none"))
    [row] = rows(spans_csv(made, decode(made, threshold=0)))
    assert (row["span"], row["type"], row["entity"]) == (text, text, "yes")
    assert row[f"p_{text}"] == "0.6"


# ---- the program --------------------------------------------------------------------------------

HOSTILE = (
    "Ana met Bo in Rome.",
    'Ana\'s "Bo" \\ {span} {{x}} [MASK] %s ${x}\n\r\t👩‍👩‍👧 in Rome',
    "'''Ana\"\"\" + __import__('os').abort() # Bo",
)


def program(prompt: Prompt, text: str, **changes) -> str:
    options = {
        "model": None, "prior": "contextual", "candidates": "names", "most_words": 4,
        "threshold": 1.5, "decoding": "greedy", "nested": False,
    } | changes  # fmt: skip
    return to_python(prompt, text, **options)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("candidates", list(CANDIDATES))
def test_the_program_prints_what_the_engine_finds(
    text, candidates, prompting, make_typing_prompt, capsys
):
    prompt = make_typing_prompt(
        "{before}the {mask} {span}{after}",
        "A '{span}' \"is\" \\ a {{{mask}}}.",
        labels={'it\'s a "man"': [("man", 0.5), "friend"], "place": ["city"], "none": ["thing"]},
    )
    how = {"threshold": -0.5, "decoding": "best total", "nested": True}
    typer = EntityTyper(prompting, prompt, prior="span")
    found = decode(typer.type_text(text, candidates=candidates, most_words=2), **how)
    assert found
    code = program(prompt, text, prior="span", candidates=candidates, most_words=2, **how)
    exec(compile(code, "program", "exec"), {})  # noqa: S102 - our own text
    expected = [f"{e.text} {e.label} {round(e.margin, 2)}" for e in found]
    assert capsys.readouterr().out == "".join(f"{line}\n" for line in expected)


def test_the_program_names_what_is_not_the_default():
    prompt = Prompt(
        Template("The {mask} {span}."), Verbalizer({"person": ["man"], "none": ["thing"]})
    )
    plain = program(prompt, TEXT)
    assert "prompting = Prompting()\n" in plain
    assert "alternatives=())\n" in plain
    assert f"typed = typer.type_text({TEXT!r}, candidates='names')\n" in plain
    assert "threshold=1.5, decoding='greedy', nested=False" in plain
    other = program(prompt, TEXT, model="org/it's", candidates="all", most_words=2, threshold=-0.3)
    assert 'prompting = Prompting("org/it\'s")\n' in other
    assert "candidates='all', most_words=2)\n" in other
    assert "threshold=-0.3," in other
