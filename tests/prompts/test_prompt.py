"""Prompts as cards, files, links and programs."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import playground
from playground.errors import PlaygroundError
from playground.prompts import Prompt, ScoringOptions, Template, Verbalizer

CARD = {
    "name": "taste",
    "task": "classification",
    "language": "en",
    "description": "Was it good?",
    "templates": ["{text} It was {mask}.", "A {mask} meal: {text}"],
    "labels": {"good": ["tasty", {"word": "very fine", "weight": 0.5}], "bad": ["stale"]},
    "scoring": {"aggregation": "sum", "content_free": ["?"]},
    "examples": ["The soup was warm.", {"text": "“Œuf” 🥚 {mask} \\ %s"}],
    "source": "written for the tests",
}
LEAST = {"templates": ["{text} {mask}"], "labels": {"a": ["x"], "b": ["y"]}}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_a_card_is_read_key_by_key():
    prompt = Prompt.from_json(CARD)
    assert prompt == Prompt(
        Template("{text} It was {mask}."),
        Verbalizer({"good": ["tasty", ("very fine", 0.5)], "bad": ["stale"]}),
        ScoringOptions(aggregation="sum", content_free=("?",)),
        name="taste",
        description="Was it good?",
        alternatives=(Template("A {mask} meal: {text}"),),
        examples=("The soup was warm.", {"text": "“Œuf” 🥚 {mask} \\ %s"}),
        source="written for the tests",
    )
    assert prompt.to_json() == CARD


def test_the_least_card_has_templates_and_labels():
    prompt = Prompt.from_json(LEAST)
    assert (prompt.name, prompt.task, prompt.language) == ("prompt", "classification", "en")
    assert prompt.scoring == ScoringOptions()
    assert prompt.to_json() == LEAST | {
        "name": "prompt",
        "task": "classification",
        "language": "en",
    }


def test_an_empty_name_stays_empty():
    prompt = Prompt.from_json(LEAST | {"name": "", "language": ""})
    assert (prompt.name, prompt.language) == ("", "")
    assert Prompt.from_json(prompt.to_json()) == prompt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": None}, 'The prompt card needs "templates", a list with at least one.'),
        ({"templates": []}, 'The prompt card needs "templates", a list with at least one.'),
        ({"templates": "{mask}"}, 'The prompt card needs "templates", a list with at least one.'),
        ({"templates": {"{mask}": 1}}, 'The prompt card needs "templates", a list with at least one.'),
        ({"templates": ["{mask}"] * 257}, "The prompt card has 257 templates; the most is 256."),
        ({"templates": [5]}, "A template is text with a {mask}, not a int."),
        ({"templates": ["{text}"]}, "The template has no {mask}; put {mask} where a label word should stand."),
        ({"templates": ["{mask}", "{mask}{mask}"]}, "The template has 2 masks, the second at column 7; scoring labels takes exactly one."),
        ({"labels": []}, "Label words are a mapping of labels to words, not a list."),
        ({"labels": {"a": ["x"]}}, "There is one label; give at least two, one a line."),
        ({"task": "ner"}, 'The task is "ner"; it must be one of classification, entity, nli.'),
        ({"task": None}, '"task" of the card is "None"; it must be text.'),
        ({"name": 5}, '"name" of the card is "5"; it must be text.'),
        ({"source": ["a"]}, "\"source\" of the card is \"['a']\"; it must be text."),
        ({"scoring": "sum"}, '"scoring" is "sum"; it must be an object.'),
        ({"examples": "one"}, '"examples" of the card must be a list of texts or objects.'),
        ({"examples": [["one"]]}, '"examples" of the card must be a list of texts or objects.'),
        ({"examples": [{"txt": "one"}]}, "The row has no {text}; it has {txt}."),
        ({"examples": [{"text": 1}]}, 'text is "1" (int); it must be text.'),
        ({"label": {}}, 'The prompt card has the unknown key "label"; it takes name, task, language, description, templates, labels, scoring, examples, source.'),
    ],
)  # fmt: skip
def test_a_wrong_card_says_which_key(change, message):
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt.from_json(LEAST | change)


def test_a_card_has_room_for_256_templates():
    templates = [f"{k} {{mask}}" for k in range(256)]
    assert len(Prompt.from_json(LEAST | {"templates": templates}).templates) == 256


@pytest.mark.parametrize("data", [None, [], "card", 5])
def test_a_card_is_an_object(data):
    message = "A prompt card is a JSON object with templates and labels."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt.from_json(data)


def test_a_card_needs_labels():
    message = 'The prompt card needs "labels", a list of words for each label.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt.from_json({"templates": ["{mask}"]})


def test_every_example_is_a_row_of_the_template():
    template, verbalizer = Template("{premise}{mask}{hypothesis}"), Verbalizer(LEAST["labels"])
    prompt = Prompt(template, verbalizer, examples=(("p", "h"), {"premise": "q", "hypothesis": ""}))
    assert prompt.examples == (
        {"premise": "p", "hypothesis": "h"},
        {"premise": "q", "hypothesis": ""},
    )
    message = (
        'The template takes {premise}, {hypothesis}, but the row is one text "one"; '
        "give a value for each."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt(template, verbalizer, examples=("one",))


# ---- files ------------------------------------------------------------------------------------


def test_a_shipped_card_is_loaded_by_name():
    assert Prompt.load("sentiment").verbalizer.names == ("positive", "negative")


@pytest.mark.parametrize("convert", [str, Path])
def test_a_card_is_saved_and_loaded(tmp_path, convert):
    path = convert(tmp_path / "card.json")
    Prompt.from_json(CARD).save(path)
    assert json.loads(Path(path).read_text(encoding="utf-8")) == CARD
    assert Prompt.load(path) == Prompt.from_json(CARD)
    assert os.listdir(tmp_path) == ["card.json"]


def test_a_saved_card_is_for_people_too(tmp_path):
    Prompt.from_json(CARD).save(tmp_path / "card.json")
    text = (tmp_path / "card.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "name": "taste",\n')
    assert "“Œuf” 🥚" in text
    assert text.endswith("}\n")


def test_a_card_with_a_byte_order_mark_loads(tmp_path):
    path = tmp_path / "card.json"
    path.write_text(json.dumps(CARD), encoding="utf-8-sig")
    assert Prompt.load(path) == Prompt.from_json(CARD)


def test_a_lone_surrogate_survives_a_file(tmp_path):
    prompt = Prompt.from_json(LEAST | {"description": "\ud800 \\\udfff"})
    prompt.save(tmp_path / "card.json")
    assert Prompt.load(tmp_path / "card.json") == prompt


@pytest.mark.parametrize("name", ["nowhere.json", "nowhere"])
def test_a_card_that_is_not_there_is_named(name):
    message = (
        rf'^The prompt card "{name}" cannot be read \(No such file or directory\); '
        r"give a file, or one of .*\bsentiment\b.*\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        Prompt.load(name)


@pytest.mark.parametrize(("name", "shown"), [("a\0b.json", "a\0b.json"), ("\ud800", "\ud800")])
def test_what_can_be_no_file_name_is_refused(name, shown):
    with pytest.raises(
        PlaygroundError, match=rf'^The prompt card "{shown}" cannot be read \(not a file name\); '
    ):
        Prompt.load(name)
    prompt = Prompt.from_json(LEAST)
    with pytest.raises(
        PlaygroundError, match=rf'^The card cannot be written to "{shown}" \(not a file name\)\.$'
    ):
        prompt.save(name)  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"{'a': 1}", b"\xff\xfe{}", b"[" * 100_000, b'{"name": ' + b"9" * 5000 + b"}"],
)
def test_a_file_that_is_not_json_is_refused(tmp_path, monkeypatch, raw):
    monkeypatch.chdir(tmp_path)
    Path("card.json").write_bytes(raw)
    message = 'The prompt card "card.json" is not JSON; check its commas and quotes.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt.load("card.json")


def test_the_largest_card_is_1_mib(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = json.dumps(CARD)
    Path("card.json").write_text(text + " " * ((1 << 20) - len(text)))
    assert Prompt.load("card.json") == Prompt.from_json(CARD)
    Path("card.json").write_text(text + " " * ((1 << 20) - len(text) + 1))
    message = 'The prompt card "card.json" is larger than 1 MiB.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt.load("card.json")


def test_a_card_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    message = r'^The card cannot be written to "taken" \(.+\); what was there is untouched\.$'
    with pytest.raises(PlaygroundError, match=message):
        Prompt.from_json(CARD).save("taken")
    assert os.listdir() == ["taken"]  # and no partial file beside it


def test_a_card_is_not_written_into_a_missing_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = 'The card cannot be written to "no/card.json" (No such file or directory).'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Prompt.from_json(CARD).save("no/card.json")


# ---- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "https://example.org/", "http://127.0.0.1:7860"])
def test_a_link_opens(base):
    prompt = Prompt.from_json(CARD)
    url = prompt.link(base)
    assert url.startswith(f"{base}?p=1.")
    assert Prompt.from_link(url) == prompt
    assert Prompt.from_link(url.removeprefix(f"{base}?p=")) == prompt


def test_a_link_holds_no_wrong_card():
    url = Prompt.from_json(CARD).link()
    assert Prompt.from_link(url).name == "taste"
    with pytest.raises(PlaygroundError, match=r"^The link is damaged: "):
        Prompt.from_link(url[:-5])


# ---- another template ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "templates"),
    [
        ("b {mask}", ["b {mask}", "a {mask}", "c {mask}"]),
        ("a {mask}", ["a {mask}", "b {mask}", "c {mask}"]),
        (Template("d {mask}"), ["d {mask}", "a {mask}", "b {mask}", "c {mask}"]),
    ],
)
def test_another_template_is_put_first(chosen, templates):
    prompt = Prompt.from_json(LEAST | {"templates": ["a {mask}", "b {mask}", "c {mask}"]})
    changed = prompt.with_template(chosen)
    assert [template.source for template in changed.templates] == templates
    assert changed.verbalizer is prompt.verbalizer
    assert prompt.template.source == "a {mask}"


def test_another_template_has_one_mask_too():
    with pytest.raises(PlaygroundError, match=r"^The template has no \{mask\}; "):
        Prompt.from_json(LEAST).with_template("{text}")


@pytest.mark.parametrize(
    ("template", "kept"),
    [("{mask}: {text}", 2), ("{mask}", 2), ("{text} {mask} {span}", 0), ("{premise} {mask}", 0)],
)
def test_examples_stay_where_the_template_takes_no_other_text(template, kept):
    changed = Prompt.from_json(CARD).with_template(template)
    assert len(changed.examples) == kept
    assert Prompt.from_link(changed.link()) == changed


# ---- programs -----------------------------------------------------------------------------------


def prompt_of(program: str) -> Prompt:
    """Run the lines of a program that make its prompt, and return the prompt."""
    made = ("verbalizer", "prompt")
    body = [
        node
        for node in ast.parse(program).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in made
    ]
    names = {name: getattr(playground, name) for name in imported(program) - {"Prompting"}}
    exec(compile(ast.Module(body, []), "program", "exec"), names)  # noqa: S102 our own output
    return names["prompt"]


def imported(program: str) -> set[str]:
    [line] = [node for node in ast.parse(program).body if isinstance(node, ast.ImportFrom)]
    return {alias.name for alias in line.names}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"scoring": {"calibration": "corpus", "prior_texts": ["it's", '"""', "a\nb"]}},
        {"labels": {"it's": ["\\n", ("b", 1 / 3)], '"': ["c"]}},
        {"templates": ['\'{text}\' """ \\ \n {{}} {mask}']},
    ],
)
def test_the_program_makes_the_same_prompt(change):
    prompt = Prompt.from_json(LEAST | change)
    assert prompt_of(prompt.to_python()) == prompt


def test_the_program_in_full():
    prompt = Prompt.from_json(LEAST | {"scoring": {"aggregation": "max"}})
    assert prompt.to_python(["it's"], model="org/model") == (
        "from playground import Prompt, Prompting, ScoringOptions, Template, Verbalizer\n"
        "\n"
        "prompting = Prompting('org/model')\n"
        "verbalizer = Verbalizer({\n"
        "    'a': ['x'],\n"
        "    'b': ['y'],\n"
        "})\n"
        "prompt = Prompt(\n"
        "    Template('{text} {mask}'),\n"
        "    verbalizer,\n"
        "    ScoringOptions(aggregation='max'),\n"
        ")\n"
        """scores = prompting.classify(["it's"], prompt)\n"""
        "print(scores.to_frame())\n"
    )


@pytest.mark.parametrize(
    ("card", "rows"),
    [
        (CARD, "['The soup was warm.']"),
        (LEAST, "['']"),
        (LEAST | {"templates": ["{premise}{mask}{hypothesis}"]}, "[{'premise': '', 'hypothesis': ''}]"),
    ],
)  # fmt: skip
def test_without_rows_the_program_scores_an_example(card, rows):
    assert f"prompting.classify({rows}, prompt)" in Prompt.from_json(card).to_python()


def test_the_program_runs_and_gives_the_same_scores(prompting):
    prompt = Prompt.load("sentiment")
    rows = ["A warm and clever play.", 'It\'s "dull".']
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(prompt.to_python(rows), names)  # noqa: S102 our own output
    expected = prompting.classify(rows, prompt).probabilities
    np.testing.assert_allclose(names["scores"].probabilities, expected, atol=1e-5)
    assert "positive" in printed.getvalue()


def test_prompts_are_values():
    prompt = Prompt.from_json(CARD)
    assert hash(prompt) == hash(Prompt.from_json(CARD))
    assert prompt != replace(prompt, scoring=ScoringOptions())


def test_a_link_joins_a_query_that_is_there_and_is_found_among_others():
    link = Prompt.from_json(CARD).link("http://127.0.0.1:7860/?__theme=dark")
    assert "?__theme=dark&p=1." in link
    assert Prompt.from_link(f"{link}&x=1") == Prompt.from_json(CARD)


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX's")
def test_a_saved_card_is_as_open_as_any_other_file(tmp_path):
    other = tmp_path / "other"
    other.touch()
    Prompt.from_json(CARD).save(tmp_path / "card.json")
    assert (tmp_path / "card.json").stat().st_mode == other.stat().st_mode
