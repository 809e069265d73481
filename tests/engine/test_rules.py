"""Several masks read at once: the joint score against plain transformers, and each row by itself."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import PlaygroundError, Prompting, RulePrompt, ScoringOptions, SubPrompt
from playground.engine.runner import STOPPED
from playground.engine.tuning.loop import Shots, Tuner
from playground.engine.tuning.recipe import Recipe
from tests.engine import tiny

HEAD = {"person": ["we", "all"], "thing": ["music"]}  # one piece in every tiny vocabulary
VERB = {"good": ["great", "good"], "bad": ["awful", "bad", "sad"]}
TAIL = {"mood": ["happy"], "more": ["so", "like"]}
RULES = {
    "liked": {"head": "person", "verb": "good", "tail": "mood"},
    "bored": {"head": "person", "verb": "bad", "tail": "more"},
    "praised": {"head": "thing", "verb": "good", "tail": "more"},
}
ROWS = [
    {"text": "My friend likes pizza in the park.", "head": "friend", "tail": "park"},
    {"text": "The film was dull.", "head": "film", "tail": "day"},
    {"text": "Paris is the capital of France, and the weather is good today.", "head": "Paris", "tail": "day"},
    {"text": "", "head": "", "tail": ""},
]  # fmt: skip


def rule_prompt(**options) -> RulePrompt:
    return RulePrompt(
        "{text}",
        (
            SubPrompt("head", "The {mask} {head} was", HEAD),
            SubPrompt("verb", "{mask}", VERB),
            SubPrompt("tail", "in the {mask} {tail}.", TAIL),
        ),
        RULES,
        ScoringOptions(**options),
    )


def filled(row, mask: str) -> str:
    text = f"{row['text']} The {mask} {row['head']} was {mask} in the {mask} {row['tail']}."
    return text


def by_hand(plain, row) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each mask's sub-label shares and the classes', with nothing but plain transformers.

    p_j(s) is the mean probability of s's words over the vocabulary, normalised over the sub-labels of
    mask j; a class has the product, normalised over the classes.
    """
    logits = plain.logits(filled(row, plain.mask)).double().softmax(-1)  # (M, V)
    shares = []
    for place, words in enumerate((HEAD, VERB, TAIL)):
        means = np.array(
            [
                np.mean([float(logits[place, plain.word_id(w)]) for w in own])
                for own in words.values()
            ]
        )
        shares.append(means / means.sum())
    places = [[list(words).index(rule[name]) for name, words in zip(rule, (HEAD, VERB, TAIL), strict=True)]
              for rule in RULES.values()]  # fmt: skip
    products = np.array([np.prod([shares[j][k] for j, k in enumerate(own)]) for own in places])
    return shares, products / products.sum()


# ---- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_the_joint_score_is_the_product_of_the_masks(kind, open_model, plain_of):
    scores = open_model(kind).classify(ROWS[:3], rule_prompt())
    assert scores.labels == ("liked", "bored", "praised")
    for n, row in enumerate(ROWS[:3]):
        shares, classes = by_hand(plain_of(kind), row)
        np.testing.assert_allclose(scores.probabilities[n], classes, atol=2e-5)
        for mask, own in zip(scores.masks, shares, strict=True):
            np.testing.assert_allclose(mask.probabilities[n], own, atol=2e-5)
    assert [(mask.name, mask.labels) for mask in scores.masks] == [
        ("head", ("person", "thing")), ("verb", ("good", "bad")), ("tail", ("mood", "more"))]  # fmt: skip


def test_a_mask_normalised_over_its_own_words_gives_the_same_classes(open_model, plain_of):
    """The paper's way: each sub-label is one word, and the words of a mask share 1."""
    prompt = RulePrompt(
        "{text}",
        (
            SubPrompt("verb", "It was {mask}.", {"a": ["great"], "b": ["bad"], "c": ["sad"]}),
            SubPrompt("tail", "A {mask}.", {"x": ["music"], "y": ["so"]}),
        ),
        {
            "p": {"verb": "a", "tail": "x"},
            "q": {"verb": "b", "tail": "x"},
            "r": {"verb": "c", "tail": "y"},
        },
    )
    plain = plain_of("roberta")
    scores = open_model("roberta").classify(["The train was late."], prompt)
    logits = plain.logits(f"The train was late. It was {plain.mask}. A {plain.mask}.").double()
    verb = logits[0, [plain.word_id(w) for w in ("great", "bad", "sad")]].softmax(-1)
    tail = logits[1, [plain.word_id(w) for w in ("music", "so")]].softmax(-1)
    joint = torch.stack([verb[0] * tail[0], verb[1] * tail[0], verb[2] * tail[1]])
    np.testing.assert_allclose(scores.probabilities[0], joint / joint.sum(), atol=1e-5)


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_calibration_divides_each_mask_by_content_free_texts(kind, open_model):
    model = open_model(kind)
    free = [dict.fromkeys(("text", "head", "tail"), text) for text in ("N/A", "text")]
    raw = model.classify([*ROWS[:3], *free], rule_prompt())
    calibrated = model.classify(
        ROWS[:3], rule_prompt(calibration="contextual", content_free=("N/A", "text"))
    )
    quotients = []
    for mask, own in zip(raw.masks, calibrated.masks, strict=True):
        share = mask.probabilities[:3] / mask.probabilities[3:].mean(0)
        share /= share.sum(1, keepdims=True)
        np.testing.assert_allclose(own.probabilities, share, atol=1e-5)
        quotients.append(share)
    joint = np.stack(
        [np.prod([q[:, k] for q, k in zip(quotients, own, strict=True)], axis=0)
         for own in rule_prompt().choices], axis=1,
    )  # fmt: skip
    np.testing.assert_allclose(
        calibrated.probabilities, joint / joint.sum(1, keepdims=True), atol=1e-5
    )
    np.testing.assert_allclose(calibrated.label_scores, raw.label_scores[:3], atol=1e-5)
    scaled = np.exp(calibrated.label_scores - calibrated.log_prior)
    np.testing.assert_allclose(
        calibrated.probabilities, scaled / scaled.sum(1, keepdims=True), atol=1e-6
    )


def test_words_are_aggregated_as_the_prompt_says(open_model):
    model = open_model("bert")
    mean, total = (
        model.classify(ROWS[:3], rule_prompt(aggregation=name)).masks[1].probabilities
        for name in ("mean", "sum")
    )
    odds = total[:, 0] / total[:, 1]
    np.testing.assert_allclose(mean[:, 0] / mean[:, 1], odds * 3 / 2, rtol=1e-4)


# ---- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.FAMILIES)
@pytest.mark.parametrize("text", ["[MASK] <mask>", "{mask} {head} [SEP]", "a </s> [MASK]"])
def test_masks_stand_at_their_places_whatever_a_text_holds(kind, text, open_model):
    encoder = open_model(kind).backbone.encoder
    row = {"text": text, "head": "[MASK]", "tail": "<mask>"}
    encoded = encoder.encode_one(rule_prompt().template.render(row))
    masked = tuple(i for i, token in enumerate(encoded.ids) if token == encoder.mask_id)
    assert encoded.mask_positions == masked
    assert len(masked) == 3


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_a_row_scores_the_same_alone_and_in_a_batch(kind, open_model):
    model = open_model(kind)
    together = model.classify(ROWS, rule_prompt())
    for n, row in enumerate(ROWS):
        alone = model.classify([row], rule_prompt())
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[n], atol=1e-5)
        for one, many in zip(alone.masks, together.masks, strict=True):
            np.testing.assert_allclose(one.probabilities[0], many.probabilities[n], atol=1e-5)


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_a_long_text_is_cut_and_the_entities_stay(kind, open_model):
    model = open_model(kind)
    row = {"text": "the film was great " * 60, "head": "friend", "tail": "park"}
    scores = model.classify([row], rule_prompt())
    assert scores.errors == {}
    assert scores.tokens[0] == tiny.MAX_TOKENS
    assert scores.dropped[0] > 100
    encoder = model.backbone.encoder
    cut = encoder.encode_one(rule_prompt().template.render(row)).ids
    whole = encoder.encode_one(rule_prompt().template.render(row | {"text": ""})).ids
    assert cut[-len(whole) + 2 :] == whole[2:]


def test_a_row_that_cannot_be_scored_costs_no_other(open_model):
    scores = open_model("bert").classify(
        [ROWS[0], {"text": "no entities"}, 3, ROWS[1]], rule_prompt()
    )
    assert scores.errors == {
        1: "The row has no {head}, {tail}; it has {text}.",
        2: 'A row is a text, not "3" (int).',
    }
    assert scores.predictions[1] is None
    assert np.isnan(scores.probabilities[[1, 2]]).all()
    assert np.isnan(scores.masks[0].probabilities[[1, 2]]).all()
    expected = open_model("bert").classify(ROWS[:2], rule_prompt())
    np.testing.assert_allclose(scores.probabilities[[0, 3]], expected.probabilities, atol=1e-6)
    frame = scores.to_frame()
    assert list(frame)[-6:] == [
        "head: person", "head: thing", "verb: good", "verb: bad", "tail: mood", "tail: more"]  # fmt: skip


def test_no_rows_are_no_scores_and_one_text_is_no_list(open_model):
    scores = open_model("bert").classify([], rule_prompt(calibration="contextual"))
    assert scores.probabilities.shape == (0, 3)
    assert scores.log_prior.shape == (3,)
    with pytest.raises(PlaygroundError, match=r'^classify takes a list of rows; write \["a"\]\.$'):
        open_model("bert").classify("a", rule_prompt())


def test_progress_is_told_and_a_cancel_leaves_rows_out(folder_of):
    from playground.settings import Settings

    model = Prompting(folder_of("bert"), settings=Settings(batch_tokens=24), threads=1)
    told: list[tuple[int, int]] = []
    model.classify(ROWS, rule_prompt(), progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    scores = model.classify(
        ROWS, rule_prompt(), cancel=lambda: len(told) > 4 or told.append((0, 0))
    )
    assert set(scores.errors.values()) == {STOPPED}
    assert len(scores.errors) == 3
    streamed = list(model.classify_stream(iter(ROWS), rule_prompt()))
    assert [one.prediction for one in streamed] == model.classify(ROWS, rule_prompt()).predictions


# ---- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"good": ["greatness"], "bad": ["bad"]}, r'^Label word "greatness" is \d pieces and a rule prompt takes words of one piece; choose another word\.$'),
        ({"good": ["Great"], "bad": ["great"]}, r'^Label words "Great" and "great" are the same to this model; keep one\.$'),
        ({"good": ["★"], "bad": ["bad"]}, r'^Label word "★" is unknown to this model; choose another word\.$'),
    ],
)  # fmt: skip
def test_words_that_a_mask_cannot_read_are_refused(words, message, open_model):
    prompt = rule_prompt()
    head, _, tail = prompt.prompts
    other = replace(prompt, prompts=(head, SubPrompt("verb", "{mask}", words), tail))
    with pytest.raises(PlaygroundError, match=message):
        open_model("bert").classify(ROWS, other)


def test_what_reads_one_mask_refuses_a_rule_prompt(open_model):
    message = "The template has 3 masks, the second at column 30; scoring labels takes exactly one."
    for call in (
        lambda: open_model("bert").explain(ROWS[0], rule_prompt()),
        lambda: open_model("bert").classify_together(ROWS, [rule_prompt()]),
    ):
        with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
            call()


def test_soft_tokens_of_a_sub_prompt_must_have_been_tuned(open_model):
    prompt = replace(rule_prompt(), text="{text} {soft:2}")
    with pytest.raises(
        PlaygroundError, match=r"^The template's soft tokens are 2 and this model has none"
    ):
        open_model("bert").classify(ROWS, prompt)


def test_a_model_with_a_head_of_its_own_reads_no_rules(open_model, make_prompt):
    base = open_model("bert")
    recipe = Recipe(method="linear", steps=1)
    shots = Shots.of(["a film", "a book"], [0, 1], 2)
    tuner = Tuner(base.backbone, make_prompt(), shots, recipe=recipe)
    list(tuner.run())
    message = (
        "This model was tuned with the method linear, which has a head of its own and reads no rules; "
        "take the model that it was made from."
    )
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        base.tuned(tuner.delta()).classify(ROWS, rule_prompt())
