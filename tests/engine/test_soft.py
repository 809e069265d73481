"""Soft tokens in the engine: where they stand, and how they are refused where none is tuned."""

from __future__ import annotations

import re

import pytest
import torch

from playground import PlaygroundError, Template
from playground.engine.encoding import Encoder
from playground.engine.tuning.soft import Rows, SoftEmbedding

KINDS = ["bert", "roberta", "xlm-roberta"]
REFUSED = (
    "The template's soft tokens are 3 and this model has none that are tuned; tune them with the method "
    "soft, or take {soft:…} out."
)


@pytest.mark.parametrize("kind", KINDS)
def test_soft_tokens_have_ids_of_their_own_in_order(kind, open_model):
    model = open_model(kind)
    encoder = Encoder(model.backbone.tokenizer, 64, soft=(9000, 3))
    plain = encoder.encode_one(Template("{text} It was {mask}.").render("[SOFT] good"))
    soft = encoder.encode_one(
        Template("{soft:2} {text}{soft:1} It was {mask}.").render("[SOFT] good")
    )
    assert [i for i in soft.ids if i >= 9000] == [9000, 9001, 9002]
    assert all(i < 9000 for i in plain.ids)
    rest = [i for i in soft.ids if i < 9000]
    assert soft.ids[soft.mask_positions[0]] == encoder.mask_id
    # the rest is as it was, but for the space before the text, which a byte-level model reads too
    assert rest[1 - len(plain.ids) :] == list(plain.ids)[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_is_cut_and_soft_tokens_stay(kind, open_model):
    encoder = Encoder(open_model(kind).backbone.tokenizer, 16, soft=(9000, 4))
    found = encoder.encode_one(Template("{soft:4}{text} It was {mask}.").render("good " * 50))
    assert (len(found), found.dropped > 0) == (16, True)
    assert [i for i in found.ids if i >= 9000] == [9000, 9001, 9002, 9003]


def test_untuned_soft_tokens_are_refused_wherever_they_are_scored(open_model, make_prompt):
    model, prompt = open_model("bert"), make_prompt("{soft:3}{text} It was {mask}.")
    message = f"^{re.escape(REFUSED)}$"
    for call in (
        lambda: model.classify(["a"], prompt),
        lambda: model.classify([], prompt),
        lambda: model.explain("a", prompt),
        lambda: model.classify_jobs([(prompt, ["a"])]),
        lambda: model.word_log_probs(["a"], prompt.template, ["good"]),
        lambda: model.backbone.encoder.encode_one(prompt.template.render("a")),
    ):
        with pytest.raises(PlaygroundError, match=message):
            call()


def test_a_soft_embedding_is_the_table_with_rows_behind_it():
    table = torch.nn.Embedding(5, 3)
    rows = torch.arange(6.0).reshape(2, 3)
    soft = SoftEmbedding(table, Rows(rows))
    ids = torch.tensor([[4, 5, 0, 6]])
    expected = torch.cat([table.weight, rows])[ids]
    assert torch.equal(soft(ids), expected)
    assert soft.weight is table.weight
