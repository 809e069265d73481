"""Classify, explain and fill against plain transformers; rows are independent of each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from playground import PlaygroundError, Prompting
from playground.engine.prompting import STOPPED
from playground.prompts import AGGREGATIONS
from playground.settings import Settings
from tests.engine import tiny

KINDS = ("shipped", *tiny.ARCHITECTURES)
ROWS = [
    "I really like the film a lot.",
    "",
    "The food was bad, and the service was slow!",
    "No.",
    "emoji \U0001f600 and café 東京",
    "The man is playing a guitar in the park, and a few of us stopped.",
    "I really like the film a lot.",
]
LABELS = {"positive": [("great", 2.0), "good"], "negative": ["awful", ("bad", 0.5), "sad"]}
WORDS = ["great", "good", "awful", "bad", "sad"]
WEIGHTS = np.array([2.0, 1.0, 1.0, 0.5, 1.0])
SIDES = (slice(0, 2), slice(2, 5))


def _by_hand(method: str, log_p: np.ndarray) -> np.ndarray:
    """Return label probabilities from log p of the five words, one formula a line."""
    scores = []
    for side in SIDES:
        p, w = np.exp(log_p[side]), WEIGHTS[side]
        scores.append(
            {
                "sum": (w * p).sum(),
                "mean": (w * p).sum() / w.sum(),
                "geometric": math.exp((w * log_p[side]).sum() / w.sum()),
                "max": (w * p).max(),
            }[method]
        )
    return np.array(scores) / sum(scores)


# ---- one row against the oracle -----------------------------------------------------------------


@pytest.mark.parametrize("method", [name for name in AGGREGATIONS if name != "logit_sum"])
@pytest.mark.parametrize("kind", KINDS)
def test_label_probabilities_are_hand_arithmetic_on_plain_log_probs(
    kind, method, open_model, plain_of, make_prompt
):
    plain = plain_of(kind)
    scores = open_model(kind).classify(ROWS, make_prompt(labels=LABELS, aggregation=method))
    for n, row in enumerate(ROWS):
        text = f"{row.strip()} Because it was {plain.mask}."
        log_p = plain.word_log_probs(WORDS, text).numpy()
        assert scores.word_log_probs[n] == pytest.approx(log_p, abs=1e-5, rel=1e-5)
        assert scores.probabilities[n] == pytest.approx(_by_hand(method, log_p), abs=1e-5)
        assert np.exp(scores.label_scores[n]) == pytest.approx(_by_hand(method, log_p), abs=1e-5)
        assert scores.mass[n] == pytest.approx(np.exp(log_p).sum(), abs=1e-5)
        assert scores.tokens[n] == len(plain.ids(text))
    assert scores.words == tuple(WORDS)
    assert scores.labels == ("positive", "negative")
    assert scores.errors == {}
    assert scores.dropped.tolist() == [0] * len(ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_scored_as_transformers_reads_it(kind, open_model, plain_of, make_prompt):
    plain = plain_of(kind)
    rows = [("A man inspects the uniform.", "The man is sleeping."), ("Two women.", "No.")]
    prompt = make_prompt("{premise} ? {sep} {mask}, {hypothesis}", {"a": ["yes"], "b": ["no"]})
    model = open_model(kind)
    words = [word.ids for word in model.vocabulary.encode_prompt(prompt)]
    if any(len(ids) > 1 for ids in words):
        prompt = make_prompt("{premise} ? {sep} So {mask}, {hypothesis}", None)
        words = [word.ids for word in model.vocabulary.encode_prompt(prompt)]
    second = prompt.template.source.partition("{sep} ")[2].replace("{mask}", plain.mask)
    scores = model.classify(rows, prompt)
    for n, (premise, hypothesis) in enumerate(rows):
        log_p = plain.log_probs(f"{premise} ?", second.replace("{hypothesis}", hypothesis))
        expected = log_p[[ids[0] for ids in words]].tolist()
        assert scores.word_log_probs[n].tolist() == pytest.approx(expected, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_scores_the_same_alone_in_a_batch_and_in_any_order(kind, open_model, make_prompt):
    model, prompt = open_model(kind), make_prompt(labels=LABELS)
    rows = [*ROWS, "[MASK] <mask> </s> [SEP]", "good " * 200, "\u202eabc", "\ud800"]
    together = model.classify(rows, prompt).probabilities
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = model.classify([rows[i] for i in order], prompt).probabilities
    assert shuffled == pytest.approx(together[order], abs=1e-5)
    for n, row in enumerate(rows):
        assert model.classify([row], prompt).probabilities[0] == pytest.approx(
            together[n], abs=1e-5
        )


@pytest.mark.parametrize("budget", [1, 50, 100_000])
def test_the_size_of_batches_changes_no_score(budget, folder_of, open_model, make_prompt):
    model = Prompting(folder_of("bert"), threads=1, settings=Settings(batch_tokens=budget))
    labels = {"positive": ["great", "fantastic"], "negative": ["bad"]}
    for prompt in (make_prompt(), make_prompt(labels=labels)):
        expected = open_model("bert").classify(ROWS, prompt).probabilities
        assert model.classify(ROWS, prompt).probabilities == pytest.approx(expected, abs=1e-5)


def test_a_surrogate_scores_as_the_replacement_character(prompting, make_prompt):
    expected = prompting.classify(["a\ufffdb"], make_prompt()).probabilities
    assert prompting.classify(["a\ud800b"], make_prompt()).probabilities == pytest.approx(expected)


def test_outer_white_space_of_a_text_changes_nothing(prompting, make_prompt):
    plain, spaced = prompting.classify(["Good.", " \n Good.\t "], make_prompt()).probabilities
    assert spaced == pytest.approx(plain, abs=1e-6)


def test_a_template_without_a_text_scores_any_row_alike(prompting, make_prompt):
    scores = prompting.classify(["", "good", {}], make_prompt("It was {mask}."))
    assert scores.errors == {}
    assert scores.probabilities[0] == pytest.approx(scores.probabilities[1], abs=1e-6)


@pytest.mark.parametrize(
    "rows",
    [
        [("A man.", "Two women.")],
        [["A man.", "Two women."]],
        [{"text_b": "Two women.", "text_a": "A man.", "unused": 3}],
    ],
)
def test_rows_are_sequences_or_mappings(rows, prompting, plain_of, make_prompt):
    prompt = make_prompt("{text_a} And {text_b} It was {mask}.")
    log_p = plain_of("shipped").word_log_probs(
        ["great", "good", "awful", "bad"], "A man. And Two women. It was [MASK]."
    )
    scores = prompting.classify(rows, prompt)
    assert scores.word_log_probs[0].tolist() == pytest.approx(log_p.tolist(), abs=1e-5)


# ---- word columns only --------------------------------------------------------------------------


@pytest.mark.parametrize("method", AGGREGATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_word_columns_alone_give_the_same_labels(kind, method, open_model, make_prompt):
    prompt = make_prompt(labels=LABELS, aggregation=method)
    full = open_model(kind).classify(ROWS, prompt)
    columns = open_model(kind).classify(ROWS, prompt, words=False)
    assert columns.probabilities == pytest.approx(full.probabilities, abs=1e-5)
    assert columns.word_log_probs is None
    assert columns.mass is None


@pytest.mark.parametrize("words", [True, False])
def test_no_rows_give_no_scores(words, prompting, make_prompt):
    scores = prompting.classify([], make_prompt(), words=words)
    assert scores.probabilities.shape == (0, 2)
    assert scores.predictions == []
    assert len(scores) == 0
    assert scores.errors == {}


def test_a_single_text_is_not_a_list_of_texts(prompting, make_prompt):
    with pytest.raises(PlaygroundError, match=r'^classify takes a list of texts; write \["Good"\]'):
        prompting.classify("Good", make_prompt())


# ---- rows that cannot be scored -----------------------------------------------------------------

BAD_ROWS = [
    (None, r'^A row is a text, not "None" \(NoneType\)\.$'),
    (3.5, r'^A row is a text, not "3\.5" \(float\)\.$'),
    (float("nan"), r'^A row is a text, not "nan" \(float\)\.$'),
    ([None], r'^text is "None" \(NoneType\); it must be text\.$'),
    (["a", "b"], r"^The template takes 1 texts, \{text\}; the row has 2\.$"),
    ({"other": "x"}, r"^The row has no \{text\}; it has \{other\}\.$"),
    ({}, r"^The row has no \{text\}; it has nothing\.$"),
    ({"text": 7}, r'^text is "7" \(int\); it must be text\.$'),
    (
        "a" * 20_001,
        r"^text has 20,001 characters; the most is 20,000\. The model reads 512 tokens\.$",
    ),
]


@pytest.mark.parametrize(("bad", "message"), BAD_ROWS)
def test_a_bad_row_has_its_error_and_the_others_their_scores(bad, message, prompting, make_prompt):
    good = ["Good.", "Bad film.", "So so."]
    expected = prompting.classify(good, make_prompt())
    scores = prompting.classify([good[0], bad, *good[1:], bad], make_prompt())
    assert sorted(scores.errors) == [1, 4]
    for error in scores.errors.values():
        with pytest.raises(PlaygroundError, match=message):
            raise PlaygroundError(error)
    assert scores.probabilities[[0, 2, 3]] == pytest.approx(expected.probabilities, abs=1e-5)
    assert np.isnan(scores.probabilities[[1, 4]]).all()
    assert np.isnan(scores.mass[[1, 4]]).all()
    assert [p is None for p in scores.predictions] == [False, True, False, False, True]
    assert scores.tokens[[1, 4]].tolist() == [0, 0]


@pytest.mark.parametrize(("bad", "message"), BAD_ROWS)
def test_explaining_a_bad_row_is_an_error(bad, message, prompting, make_prompt):
    with pytest.raises(PlaygroundError, match=message):
        prompting.explain(bad, make_prompt())


def test_rows_that_are_all_bad_are_all_errors(prompting, make_prompt):
    scores = prompting.classify([None, 3], make_prompt())
    assert sorted(scores.errors) == [0, 1]
    assert scores.predictions == [None, None]


def test_a_template_that_does_not_fit_is_the_error_of_every_row(open_model, make_prompt):
    prompt = make_prompt("{text} " + "good " * 61 + "{mask} so")
    message = (
        "The prompt takes 65 tokens without any text and the model reads 64; shorten the template."
    )
    scores = open_model("bert").classify(["", "It", "It " * 90], prompt)
    assert scores.errors == dict.fromkeys(range(3), message)
    with pytest.raises(PlaygroundError, match=r"^The prompt takes 65 tokens without any text"):
        open_model("bert").explain("It", prompt)


@pytest.mark.parametrize("rows", [["It", ""], ["It " * 90]])
def test_a_template_without_room_for_a_words_pieces_is_an_error(rows, open_model, make_prompt):
    model = open_model("bert")
    prompt = make_prompt("{text} " + "good " * 60 + "{mask} so", {"a": ["fantastic"], "b": ["so"]})
    tokens = 63 + len(model.backbone.encoder.pieces("fantastic"))
    message = rf"^The prompt takes {tokens} tokens without any text and the model reads 64; shorten"
    for call in (lambda: model.classify(rows, prompt), lambda: model.explain(rows[0], prompt)):
        with pytest.raises(PlaygroundError, match=message):
            call()


# ---- progress and cancel ------------------------------------------------------------------------


@pytest.fixture
def small_batches(folder_of):
    """The tiny BERT in batches of about two prompts."""
    return Prompting(folder_of("bert"), threads=1, settings=Settings(batch_tokens=24))


@pytest.mark.parametrize("words", [True, False])
def test_progress_rises_to_the_total(words, small_batches, make_prompt):
    steps: list[tuple[int, int]] = []
    rows = ["good " * (number % 5) for number in range(11)]
    small_batches.classify(
        rows, make_prompt(), words=words, progress=lambda done, total: steps.append((done, total))
    )
    assert steps[-1] == (11, 11)
    assert len(steps) > 3
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


@pytest.mark.parametrize("after", [0, 1, 3])
def test_cancel_leaves_the_rest_unscored(after, small_batches, open_model, make_prompt):
    rows = ["good " * (number % 5) for number in range(11)]
    asked = []

    def cancel() -> bool:
        asked.append(True)
        return len(asked) > after

    before = small_batches.runner.prompts_run
    scores = small_batches.classify(rows, make_prompt(), cancel=cancel)
    done = [n for n in range(11) if n not in scores.errors]
    assert len(done) == small_batches.runner.prompts_run - before
    assert 0 < len(scores.errors) <= 11
    assert set(scores.errors.values()) == {STOPPED} == {"Not scored: the run was stopped."}
    assert np.isnan(scores.probabilities[list(scores.errors)]).all()
    expected = open_model("bert").classify(rows, make_prompt()).probabilities
    assert scores.probabilities[done] == pytest.approx(expected[done], abs=1e-5)
    assert (after == 0) == (not done)


def test_cancel_among_split_words_leaves_no_half_scored_row(small_batches, make_prompt):
    labels = {"positive": ["fantastic"], "negative": ["bad"]}
    asked = []

    def cancel() -> bool:  # all single words are read; then the split ones are stopped
        asked.append(True)
        return len(asked) > 2

    scores = small_batches.classify(
        ["good", "bad so", "no"], make_prompt(labels=labels), cancel=cancel
    )
    assert set(scores.errors.values()) == {STOPPED}
    assert np.isnan(scores.probabilities[list(scores.errors)]).all()
    assert len(scores.errors) == 3


def test_bad_rows_and_stopped_rows_keep_their_own_errors(small_batches, make_prompt):
    scores = small_batches.classify(["good", None], make_prompt(), cancel=lambda: True)
    assert scores.errors == {1: 'A row is a text, not "None" (NoneType).', 0: STOPPED}


# ---- explain ------------------------------------------------------------------------------------


def test_an_explanation_holds_what_plain_transformers_says(prompting, plain_of, make_prompt):
    plain = plain_of("shipped")
    text = "I really like the film a lot."
    shown = prompting.explain(text, make_prompt(labels=LABELS), top_k=7)
    log_p = plain.log_probs(f"{text} Because it was [MASK].")
    best = log_p.topk(7)
    assert [fill.token for fill in shown.top] == plain.tokenizer.convert_ids_to_tokens(best.indices)
    assert [fill.probability for fill in shown.top] == pytest.approx(
        best.values.exp().tolist(), abs=1e-5
    )
    order = log_p.argsort(descending=True).tolist()
    for word, text_of_word, weight in zip(shown.words, WORDS, WEIGHTS, strict=True):
        number = plain.word_id(text_of_word)
        assert word.text == text_of_word
        assert word.weight == weight
        assert word.rank == order.index(number) + 1
        assert word.log_prob == pytest.approx(float(log_p[number]), abs=1e-5)
    assert [word.label for word in shown.words] == ["positive"] * 2 + ["negative"] * 3
    prior = [
        _by_hand("mean", plain.word_log_probs(WORDS, f"{t} Because it was [MASK].").numpy())
        for t in ("", "N/A", "text")
    ]
    assert shown.prior == pytest.approx(np.mean(prior, axis=0), abs=1e-5)
    assert "".join(segment.text for segment in shown.segments) == f"{text} Because it was [MASK]."
    assert [segment.kind for segment in shown.segments] == ["field", "literal", "mask", "literal"]
    assert shown.max_tokens == 512
    assert shown.warnings == ()
