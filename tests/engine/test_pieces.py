"""Words of several pieces: each order of filling against a plain loop over single prompts."""

from __future__ import annotations

import pytest
import torch

from playground import ScoringOptions
from playground.engine.encoding import Encoded
from playground.engine.pieces import piece_log_probs
from tests.engine import tiny
from tests.engine.oracle import Plain

ORDERS = ("confidence", "left-to-right", "parallel")
WORDS = ["great", "fantastic", "terribly good", "slowly", "sadly", "wonderfully"]
KINDS = ("shipped", *tiny.ARCHITECTURES)


def _oracle(plain: Plain, text: str, word: str, order: str) -> list[float]:
    """Return log p of each piece of ``word`` at the "{m}" of ``text``, one forward pass a step."""
    target = plain.tokenizer(f" {word}", add_special_tokens=False).input_ids
    ids = plain.ids(text.replace("{m}", plain.mask * len(target)))
    start = ids.index(plain.tokenizer.mask_token_id)
    places = dict(enumerate(range(start, start + len(target))))  # piece to place, while masked
    numbers = [0.0] * len(target)
    while places:
        log_probs = plain.logits_of_ids(ids).double().log_softmax(-1)
        open_scores = {k: float(log_probs[place, target[k]]) for k, place in places.items()}
        if order == "parallel":
            return [open_scores[k] for k in range(len(target))]
        k = min(places) if order == "left-to-right" else max(open_scores, key=open_scores.get)
        numbers[k] = open_scores[k]
        ids[places.pop(k)] = target[k]
    return numbers


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_word_has_the_log_probability_of_its_pieces(kind, order, reduction, open_model, plain_of):
    plain = plain_of(kind)
    text = "The food was bad. Because it was {m}."
    expected = []
    for word in WORDS:
        numbers = _oracle(plain, text, word, order)
        expected.append(sum(numbers) / (len(numbers) if reduction == "mean" else 1))
    scores = open_model(kind).score_words(
        text.format(m="{mask}"), WORDS, scoring=ScoringOptions(fill_order=order, pieces=reduction)
    )
    assert [score.text for score in scores] == WORDS
    assert {len(score.pieces) > 1 for score in scores} == {False, True}
    assert [score.log_prob for score in scores] == pytest.approx(expected, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["shipped", "bert", "roberta", "xlm-roberta"])
def test_classify_scores_split_words_in_batches(kind, order, open_model, plain_of, make_prompt):
    plain = plain_of(kind)
    labels = {"positive": ["great", "fantastic", "terribly good"], "negative": ["bad", "slowly"]}
    rows = ["The food was bad.", "", "I really like the film a lot, and the music."]
    scores = open_model(kind).classify(rows, make_prompt(labels=labels, fill_order=order))
    for n, row in enumerate(rows):
        expected = [
            sum(_oracle(plain, f"{row} Because it was {{m}}.", word, order))
            for word in scores.words
        ]
        got = scores.word_log_probs[n].tolist()
        assert got == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_the_orders_are_three_different_numbers(open_model):
    totals = {
        order: open_model("roberta")
        .score_words("It was {mask}.", ["fantastic"], scoring=ScoringOptions(fill_order=order))[0]
        .log_prob
        for order in ORDERS
    }
    assert len({round(total, 3) for total in totals.values()}) == 3


def test_the_prompt_is_cut_to_make_room_for_more_masks(open_model, plain_of, make_prompt):
    plain = plain_of("bert")
    text = " ".join(["good"] * 80)
    prompt = make_prompt("{text} was {mask}.", {"a": ["fantastic"], "b": ["bad"]})
    scores = open_model("bert").classify([text], prompt)
    pieces = len(plain.tokenizer("fantastic", add_special_tokens=False).input_ids)
    kept = " ".join(["good"] * (64 - 4 - pieces))
    expected = sum(_oracle(plain, f"{kept} was {{m}}.", "fantastic", "confidence"))
    assert scores.word_log_probs[0, 0] == pytest.approx(expected, abs=1e-5)


# ---- the orders by hand: a model of a table, four tokens, 9 is the mask -------------------------

_TABLE = {
    # what stands at the two places: probabilities of (token 1 at place 0, token 2 at place 1)
    (9, 9): (0.2, 0.5),
    (1, 9): (None, 0.9),
    (9, 2): (0.7, None),
}


def _table_log_probs(prompts):
    results = []
    for prompt in prompts:
        row = _TABLE[prompt.ids]
        logits = torch.full((2, 4), 0.01)
        for place, probability in enumerate(row):
            if probability is not None:
                logits[place, place + 1] = probability
        results.append(logits[list(prompt.mask_positions)].log())
    return results


@pytest.mark.parametrize(
    ("order", "expected"),
    [("confidence", [0.7, 0.5]), ("left-to-right", [0.2, 0.9]), ("parallel", [0.2, 0.5])],
)
def test_an_order_fills_as_its_name_says(order, expected):
    prompt = Encoded((9, 9), (0, 0), (0, 1))
    got = piece_log_probs([prompt, prompt], [[1, 2]], order, _table_log_probs)
    assert got.shape == (2, 1, 2)
    assert got.exp().tolist() == [[pytest.approx(expected)]] * 2


@pytest.mark.parametrize(("order", "passes"), [("confidence", 3), ("parallel", 1)])
def test_all_words_of_all_prompts_share_a_pass(order, passes):
    calls = []

    def log_probs(prompts):
        calls.append(len(prompts))
        return [torch.zeros(len(prompt.mask_positions), 4) for prompt in prompts]

    prompt = Encoded((9, 9, 9), (0, 0, 0), (0, 1, 2))
    piece_log_probs([prompt] * 5, [[1, 2, 3], [3, 2, 1]], order, log_probs)
    assert calls == [5, 10, 10][:passes]
