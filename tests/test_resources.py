"""Where cards, models and sample sets lie, and what the shipped sample sets hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playground import resources
from playground.errors import PlaygroundError

ROOT = Path(__file__).resolve().parents[1]
LABELS = {
    "reviews": {"positive", "negative"},
    "headlines": {"world", "sports", "business", "technology"},
    "nli": {"entailment", "neutral", "contradiction"},
    "relations": {"born_in", "works_for", "married_to", "child_of", "based_in", "founded_by"},
}
NAME_LABELS = {"person", "location", "organization"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of an installed package, empty."""
    folder = tmp_path / "site-packages" / "playground"
    folder.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", folder)
    return folder


def test_in_a_checkout_data_lies_beside_the_package():
    assert resources.verbalizers_dir() == ROOT / "verbalizers"
    assert resources.models_dir() == ROOT / "assets" / "models"


def test_in_a_wheel_data_lies_in_the_package(package):
    packed = package / "_resources"
    card = packed / "verbalizers" / "one.json"
    config = packed / "assets" / "models" / "tiny" / "config.json"
    table = packed / "assets" / "examples" / "rows.csv"
    lexicon = packed / "assets" / "lexicons" / "words.json"
    made = ((card, "{}"), (config, "{}"), (table, 'text,label\n"a, b",x\n'), (lexicon, "{}"))
    for path, text in made:
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    assert resources.card_names() == ["one"]
    assert resources.card_names("rules") == []
    assert resources.card_path("one") == card
    assert resources.shipped_models() == {"tiny": config.parent}
    assert resources.example_names() == ["rows"]
    assert resources.load_examples("rows") == [{"text": "a, b", "label": "x"}]
    assert resources.lexicon_names() == ["words"]
    assert resources.lexicon_path("words") == lexicon


def test_without_a_models_folder_no_model_is_shipped(package):
    assert resources.shipped_models() == {}


def test_a_model_folder_without_a_config_is_no_model(package):
    (package / "_resources" / "assets" / "models" / "half").mkdir(parents=True)
    assert resources.shipped_models() == {}


def test_the_default_model_is_shipped_with_its_parts():
    folder = resources.shipped_models()["playground-mini"]
    assert folder == ROOT / "assets" / "models" / "playground-mini"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in folder.iterdir()
    }


def test_a_card_is_found_by_name():
    assert resources.card_path("sentiment") == ROOT / "verbalizers" / "sentiment.json"


def test_a_card_of_rules_is_none_of_the_others():
    path = ROOT / "verbalizers" / "rules" / "relations.json"
    assert resources.card_path("relations", "rules") == path
    assert "relations" not in resources.card_names()
    with pytest.raises(
        PlaygroundError, match=r'^There is no prompt card "sentiment"; the cards are '
    ):
        resources.card_path("sentiment", "rules")


@pytest.mark.parametrize(
    "name",
    [
        "sentimental",
        "../assets/models/playground-mini/config",
        "sentiment.json",
        "",
        "/etc/passwd",
        "SENTIMENT",
    ],
)
def test_only_a_listed_card_becomes_a_path(name):
    message = rf'^There is no prompt card "{name}"; the cards are .*\bsentiment\b.*\.$'
    with pytest.raises(PlaygroundError, match=message):
        resources.card_path(name)


@pytest.mark.parametrize("name", ["poems", "../models/playground-mini/config", "reviews.csv", ""])
def test_only_a_listed_sample_set_is_opened(name):
    message = rf'^There is no sample set "{name}"; the sets are headlines, names, nli, questions, relations, reviews\.$'
    with pytest.raises(PlaygroundError, match=message):
        resources.load_examples(name)


@pytest.mark.parametrize("name", ["swaps", "../examples/reviews", "sentiment_swaps.json", ""])
def test_only_a_listed_lexicon_becomes_a_path(name):
    message = rf'^There is no lexicon "{name}"; the lexicons are sentiment_swaps\.$'
    with pytest.raises(PlaygroundError, match=message):
        resources.lexicon_path(name)


@pytest.mark.parametrize("name", LABELS)
def test_every_row_of_a_sample_table_is_whole_and_labelled(name):
    rows = resources.load_examples(name)
    assert len(rows) >= 30
    assert {row["label"] for row in rows} == LABELS[name]
    assert [row for row in rows if None in row or not all(row.values())] == []


def test_each_entity_of_the_relation_set_stands_in_its_text():
    rows = resources.load_examples("relations")
    assert len(rows) == 96
    assert len({(row["text"], row["head"], row["tail"]) for row in rows}) == len(rows)
    assert {label: sum(row["label"] == label for row in rows) for label in LABELS["relations"]} == (
        dict.fromkeys(LABELS["relations"], 16)
    )
    for row in rows:
        assert row["head"] in row["text"], row
        assert row["tail"] in row["text"], row
        assert row["head"] != row["tail"], row


def test_the_name_set_spans_are_words_of_their_text():
    rows = resources.load_examples("names")
    spans = [
        (row["text"], entity["start"], entity["end"], entity["label"])
        for row in rows
        for entity in row["entities"]
    ]
    assert {label for *_, label in spans} == NAME_LABELS
    cut_badly = [
        text[start:end]
        for text, start, end, _ in spans
        if not 0 <= start < end <= len(text)
        or text[start:end] != text[start:end].strip()
        or text[:start][-1:].isalnum()  # begins inside a word
        or text[end:][:1].isalnum()  # ends inside a word
    ]
    assert cut_badly == []


def test_the_name_set_spans_do_not_overlap():
    for row in resources.load_examples("names"):
        ordered = sorted((entity["start"], entity["end"]) for entity in row["entities"])
        ends = [end for _, end in ordered]
        assert all(start >= end for (start, _), end in zip(ordered[1:], ends, strict=False)), row


def test_each_answer_of_the_question_set_stands_where_it_says():
    rows = resources.load_examples("questions")
    answered = [row for row in rows if row["answer"]]
    assert len({row["context"] for row in rows}) == 20
    assert (len(rows), len(answered)) == (75, 64)
    for row in answered:
        assert row["context"][row["start"] :].startswith(row["answer"]), row
    assert {row["start"] for row in rows if not row["answer"]} == {None}
    assert len({(row["question"], row["context"]) for row in rows}) == len(rows)


def test_sample_sets_are_plain_utf_8():
    folder = ROOT / "assets" / "examples"
    for name in resources.example_names():
        [path] = [path for path in folder.iterdir() if path.stem == name]
        text = path.read_text(encoding="utf-8")
        assert "\ufffd" not in text
        assert "\r" not in text
        if path.suffix == ".jsonl":
            assert [json.loads(line) for line in text.splitlines()] == resources.load_examples(name)
