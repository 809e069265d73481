"""Looks at a growing model: the held-out loss and the answers, against plain transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM

from playground.errors import PlaygroundError
from playground.tasks.pretraining import probes, timelapse
from playground.tasks.pretraining.blocks import held_out_blocks
from playground.tasks.pretraining.loop import masker
from playground.tasks.pretraining.pipeline import shipped_probes
from playground.tasks.pretraining.probes import answers, check_probes, held_out_loss, too_long
from tests.engine import tiny
from tests.tasks.pretraining.toys import corpus, recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny.save("bert", tmp_path_factory.mktemp("bert"))
    return BertForMaskedLM.from_pretrained(folder).eval(), tiny.wordpiece()


def texts(tokenizer, share=1.0):
    return corpus([tokenizer(t, add_special_tokens=False)["input_ids"] for t in tiny.SENTENCES])


def looked(network, tokenizer, held, **changes):
    own = masker(tokenizer, recipe(**changes))
    ends = {"first": tokenizer.cls_token_id, "separator": tokenizer.sep_token_id}
    return held_out_loss(network, held, own, length=16, blocks=20, **ends), own, ends


def test_the_held_out_loss_is_that_of_transformers(model):
    network, tokenizer = model
    found, own, ends = looked(network, tokenizer, texts(tokenizer))
    blocks = held_out_blocks(texts(tokenizer), length=16, most=20, **ends)
    assert len(blocks) == 20  # more than are read at once
    hidden = own.hide(blocks, np.random.default_rng(20_181))
    labels = torch.full(blocks.shape, -100)
    labels.view(-1)[torch.from_numpy(hidden.places)] = torch.from_numpy(hidden.gold)
    with torch.no_grad():
        wanted = network(input_ids=torch.from_numpy(hidden.ids), labels=labels).loss
    assert found == pytest.approx(float(wanted), rel=1e-5)
    assert looked(network, tokenizer, texts(tokenizer))[0] == found  # the same tokens each time


def test_too_few_or_unknown_texts_have_no_loss(model):
    network, tokenizer = model
    assert looked(network, tokenizer, corpus([[9] * 5]))[0] is None
    assert looked(network, tokenizer, corpus([]))[0] is None
    assert looked(network, tokenizer, corpus([[tokenizer.unk_token_id] * 50]))[0] is None


def test_answers_are_those_of_transformers(model):
    network, tokenizer = model
    asked = ("The film was [MASK].", "[MASK] is the capital of France.")
    for text, top in zip(asked, answers(network, tokenizer, asked), strict=True):
        ids = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = network(**ids).logits[0]
        place = ids["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        best = logits[place].softmax(-1).topk(5)
        assert [piece for piece, _ in top] == tokenizer.convert_ids_to_tokens(best.indices.tolist())
        np.testing.assert_allclose([share for _, share in top], best.values, atol=1e-5)


def test_another_mask_is_the_same_question(model):
    network, tokenizer = model
    other = tiny.wordpiece()
    other.add_special_tokens({"mask_token": "[UNK]"})
    asked = ["The film was [MASK]."]
    with_other = next(iter(answers(network, other, asked)))
    assert with_other != next(iter(answers(network, tokenizer, asked)))
    assert too_long(asked, other, 7) == ()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["no mask"], 'The probe "no mask" has 0 masks; write [MASK] exactly once.'),
        (["[MASK] [MASK]"], 'The probe "[MASK] [MASK]" has 2 masks; write [MASK] exactly once.'),
        (["a [MASK]", " a [MASK] "], 'The probe "a [MASK]" stands there twice; leave one out.'),
        (
            ["[MASK]" + "x" * 295],
            f'The probe "[MASK]{"x" * 33}…" has 301 characters; the most is 300.',
        ),
        ([f"[MASK] {k}" for k in range(101)], "There are 101 probes; the most is 100."),
    ],
)
def test_what_cannot_be_asked_is_told(asked, message):
    with pytest.raises(PlaygroundError) as told:
        check_probes(asked)
    assert str(told.value) == message


def test_blank_lines_are_no_probes():
    assert check_probes(["", " a [MASK] ", "\t"]) == ("a [MASK]",)
    assert check_probes([]) == ()


def test_long_probes_are_found(model):
    _, tokenizer = model
    asked = ["It was [MASK].", "It was a [MASK] film , really ."]
    least = len(tokenizer(asked[0])["input_ids"])
    assert too_long(asked, tokenizer, least) == (asked[1],)
    assert too_long(asked, tokenizer, 64) == ()


def test_the_shipped_probes_can_be_asked():
    assert len(check_probes(shipped_probes())) == len(shipped_probes())


def test_what_may_be_asked_may_be_shown():
    assert (probes.MOST_PROBES, probes.LONGEST_PROBE, probes._LONGEST_PIECE) == (
        timelapse._MOST_PROBES, timelapse._MOST_TEXT, timelapse._MOST_TOKEN,
    )  # fmt: skip
    assert probes._TOP <= timelapse._MOST_TOP
    assert probes.MASK == timelapse.MASK
