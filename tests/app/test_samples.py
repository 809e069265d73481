"""Sample rows: which kinds a card offers, and that a row is drawn whole, with its gold label."""

from __future__ import annotations

import random

import pytest

from playground import resources
from playground.app import samples
from playground.errors import PlaygroundError
from playground.prompts import Prompt

KINDS = {
    "sentiment": ("review", ("irony", "mixed", "negation", "plain")),
    "topic": ("headline", ("business", "sports", "technology", "world")),
    "nli": ("pair", ("negation", "numbers", "order", "overlap", "plain", "quantifier")),
    "entity": ("name", ("location", "organization", "person")),
}
CASES = [(card, kind) for card, (_, kinds) in KINDS.items() for kind in kinds]


@pytest.mark.parametrize("card", resources.card_names())
def test_a_card_offers_the_kinds_of_its_set(card):
    assert samples.kinds(card) == KINDS.get(card, ("", ()))


@pytest.mark.parametrize(("card", "kind"), CASES)
def test_a_sample_fills_the_template_of_its_card(card, kind):
    prompt = Prompt.load(card)
    for seed in range(20):
        sample = samples.pick(card, kind, choose=random.Random(seed))
        row = dict(zip(prompt.template.fields, sample.texts, strict=True))
        assert prompt.template.fill(row).count("[MASK]") == 1
        assert all(text.strip() for text in sample.texts)


@pytest.mark.parametrize(("card", "kind"), CASES)
def test_a_remark_names_the_gold_label_of_the_row(card, kind):
    sample = samples.pick(card, kind, choose=random.Random(3))
    label = sample.remark.rpartition(" ")[2].removesuffix(".")
    noun = KINDS[card][0]
    about = f" ({kind})" if card in ("sentiment", "nli") else ""
    start = sample.texts[0]
    start = start if len(start) <= 48 else f"{start[:47]}…"
    assert sample.remark == f"Drawn: “{start}”, a {noun}{about} that we labelled {label}."
    assert label in (kind, *Prompt.load(card).verbalizer.names)


def test_a_gold_label_is_that_of_the_file():
    rows = {row["text"]: row for row in resources.load_examples("reviews")}
    for seed in range(30):
        sample = samples.pick("sentiment", "irony", choose=random.Random(seed))
        row = rows[sample.texts[0]]
        assert row["kind"] == "irony"
        assert sample.remark.endswith(f" that we labelled {row['label']}.")


def test_a_name_is_cut_out_of_its_sentence():
    for seed in range(30):
        text, span = samples.pick("entity", "person", choose=random.Random(seed)).texts
        assert span in text


def test_one_seed_draws_one_row_and_seeds_differ():
    drawn = [
        samples.pick("topic", "sports", choose=random.Random(seed)) for seed in (1, 1, 2, 3, 4)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 2


@pytest.mark.parametrize(
    ("card", "kind", "message"),
    [
        ("sentiment", "sarcasm", 'There is no sample of the kind "sarcasm"; pick another.'),
        ("spam", "plain", 'There is no sample of the kind "plain"; pick another.'),
        ("../../etc/passwd", "x", 'There is no sample of the kind "x"; pick another.'),
        ("sentiment", "", 'There is no sample of the kind ""; pick another.'),
    ],
)
def test_a_kind_that_is_not_there_is_refused(card, kind, message):
    with pytest.raises(PlaygroundError) as error:
        samples.pick(card, kind)
    assert str(error.value) == message
