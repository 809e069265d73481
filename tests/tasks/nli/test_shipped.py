"""The classifier that is shipped: whole, sane, and with a card that says what was measured."""

from __future__ import annotations

import json

import pytest

from playground import NliClassifier, resources
from playground.app.nli_view import EXAMPLES
from playground.engine.loading import verify_checksums
from playground.tasks.nli.about import about

FOLDER = resources.models_dir() / "playground-mini-snli"


@pytest.fixture(scope="module")
def classifier() -> NliClassifier:
    return NliClassifier()


def test_it_is_the_default_and_it_is_whole(classifier):
    assert classifier.name == "playground-mini-snli"
    verify_checksums(FOLDER)
    assert classifier.encoder.max_tokens == 512
    assert classifier.fused
    assert 0.5 < classifier.temperature < 3
    size = (FOLDER / "model.safetensors").stat().st_size
    assert size < 20e6  # fp16


@pytest.mark.parametrize(("premise", "hypothesis", "label"), EXAMPLES)
def test_it_knows_the_plain_examples(classifier, premise, hypothesis, label):
    scores = classifier.classify([(premise, hypothesis)])
    assert scores.predictions == [label]


def test_it_is_far_above_chance_on_plain_pairs_of_our_own(classifier):
    rows = [row for row in resources.load_examples("nli") if row["kind"] == "plain"]
    found = classifier.classify([(row["premise"], row["hypothesis"]) for row in rows]).predictions
    right = sum(a == row["label"] for a, row in zip(found, rows, strict=True))
    assert right / len(rows) > 0.5


def test_its_card_says_what_was_measured(classifier):
    result = json.loads((FOLDER / "evaluation.json").read_text(encoding="utf-8"))
    card = about(classifier.source)
    assert f"{result['accuracy']:.1%}" in card.card
    for row in result["confusion"]:
        assert " | ".join(f"{count:,}" for count in row) in card.card
    assert classifier.temperature == result["temperature"]
    assert card.curve is not None
    best = max(card.curve.points, key=lambda point: point.dev_score or 0)
    assert best.step == card.curve.best_step
    assert best.dev_score == pytest.approx(result["accuracy"], abs=0.002)  # seen in bf16


def test_no_sentence_of_the_data_is_in_the_card(classifier):
    card = about(classifier.source).card
    assert "snli" in card.lower()
    assert "cc by-sa" in card.lower()
