"""Answers: the best legal span, windows that lead back to the context, no answer, and the threshold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from transformers import AutoTokenizer

from playground.tasks.heads import Examples
from playground.tasks.heads.answering import AnswerHead, Found, best_span, likely_name
from playground.tasks.heads.head import Spec
from playground.tasks.heads.measures import token_f1
from tests.engine import tiny

KINDS = ("bert", "roberta", "deberta-v2", "modernbert", "xlm-roberta")
CONTEXT = " ".join(tiny.SENTENCES[:12])
QUESTION = "What is the capital of Italy?"


@pytest.fixture(scope="module")
def head_of(tmp_path_factory):
    tokenizers = {}

    def get(kind="bert", **spec):
        if kind not in tokenizers:
            folder = tmp_path_factory.mktemp("tokenizers") / kind
            tokenizers[kind] = AutoTokenizer.from_pretrained(tiny.save(kind, folder))
        given = {"max_tokens": tiny.MAX_TOKENS, "doc_stride": 16, "longest_answer": 12} | spec
        return AnswerHead(Spec("answer", ("start", "end"), **given), tokenizers[kind])

    return get


# ---- spans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [1, 3, 50])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_span_is_that_of_all_legal_ones(seed, longest):
    rng = np.random.default_rng(seed)
    logits, inside = rng.normal(size=(20, 2)), rng.random(20) < 0.7
    legal = [
        (logits[a, 0] + logits[b, 1], a, b)
        for a in range(20)
        for b in range(a, min(a + longest, 20))
        if inside[a] and inside[b]
    ]
    score, first, last = max(legal)
    assert best_span(logits, inside, longest) == (first, last, pytest.approx(score))


def test_the_end_never_stands_before_the_start():
    logits = np.array([[0.0, 9.0], [1.0, 2.0], [9.0, 0.0]])
    assert best_span(logits, np.ones(3, bool), 3) == (0, 0, 9.0)  # not from 2 to 0


def test_without_a_token_of_the_context_there_is_no_span():
    assert best_span(np.zeros((3, 2)), np.zeros(3, bool), 3) is None


# ---- windows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_windows_cover_the_context_and_share_tokens(kind, head_of):
    head = head_of(kind)
    pieces = head.pieces([(QUESTION, "A dog."), (QUESTION, CONTEXT)])
    assert [piece.row for piece in pieces[:2]] == [0, 1]
    windows = [piece for piece in pieces if piece.row == 1]
    assert len(windows) > 2
    assert max(len(piece.encoded) for piece in pieces) == tiny.MAX_TOKENS
    seen = [[span for span in window.places if span is not None] for window in windows]
    for one, following in pairwise(seen):
        shared = [span for span in one if span in following]
        assert 12 <= len(shared) <= 16  # a token of white space alone is no place
        assert one[-len(shared) :] == shared == following[: len(shared)]
    covered = {at for spans in seen for span in spans for at in range(*span)}
    assert covered == {at for at, sign in enumerate(CONTEXT) if not sign.isspace()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_what_the_tokenizer_makes_of_the_pair(kind, head_of):
    head = head_of(kind)
    (piece,) = head.pieces([(QUESTION, "It is a place. [MASK]")])
    plain = head.tokenizer(QUESTION, "It is a place.")
    (short,) = head.pieces([(QUESTION, "It is a place.")])
    assert list(short.encoded.ids) == plain["input_ids"]
    if "token_type_ids" in plain:
        assert list(short.encoded.type_ids) == plain["token_type_ids"]
    assert head.tokenizer.mask_token_id not in piece.encoded.ids


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_the_tokens_of_the_answer_in_each_window_that_holds_it(kind, head_of):
    head = head_of(kind)
    answer = "the food was good and the"
    context = CONTEXT.replace("The food", "Once the food")
    start = context.lower().index(answer)
    given = context[start : start + len(answer)]
    pieces = head.pieces([(QUESTION, context)])
    targets = [head.targets(piece, ((given, start),)) for piece in pieces]
    held = 0
    for piece, target in zip(pieces, targets, strict=True):
        first, last = target["start_positions"], target["end_positions"]
        if (first, last) == (0, 0):
            spans = [span for span in piece.places if span is not None]
            assert not (spans[0][0] <= start and spans[-1][1] >= start + len(answer))
        else:
            held += 1
            assert context[piece.places[first][0] : piece.places[last][1]] == given
    assert 1 <= held < len(pieces)
    assert {tuple(t.values()) for t in (head.targets(piece, ()) for piece in pieces)} == {(0, 0)}


def test_a_long_question_leaves_room_for_the_context(head_of):
    head = head_of()
    pieces = head.pieces([("what is the capital " * 30, CONTEXT)])
    assert max(len(piece.encoded) for piece in pieces) <= tiny.MAX_TOKENS
    assert min(sum(span is not None for span in piece.places) for piece in pieces[:-1]) >= 30


# ---- predictions ----------------------------------------------------------------------------------


def outputs_for(head, pieces, context, answer, start, *, none=1.0):
    """Return logits that are sure of an answer wherever a window holds it, and of none elsewhere."""
    outputs = []
    for piece in pieces:
        logits = np.zeros((len(piece.encoded), 2))
        logits[0] = none
        target = head.targets(piece, ((answer, start),))
        if target["start_positions"]:
            logits[target["start_positions"], 0] = 6.0
            logits[target["end_positions"], 1] = 6.0
        outputs.append(logits)
    return outputs


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_comes_from_the_window_that_holds_it(kind, head_of):
    head = head_of(kind)
    answer = "Rome"
    start = CONTEXT.index(answer)
    pieces = head.pieces([(QUESTION, CONTEXT)])
    assert start > len(CONTEXT) // 2
    outputs = outputs_for(head, pieces, CONTEXT, answer, start)
    (found,) = head.decode([(QUESTION, CONTEXT)], pieces, outputs)
    assert (found.text, found.start) == (answer, start)
    assert found.margin == pytest.approx(12.0 - 2.0)
    inside = max(
        sum(s is not None for s in p.places)
        for p, o in zip(pieces, outputs, strict=True)
        if o.max() > 5
    )
    share = np.exp(6) / (np.exp(6) + (inside - 1) + np.e)
    assert found.probability == pytest.approx(share**2, rel=0.02)


def test_no_answer_is_given_at_or_below_the_threshold(head_of):
    found = Found("Rome", 3, 2.0, 0.5)
    assert head_of().answer(found) == "Rome"
    assert head_of(unanswerable=True, threshold=1.9).answer(found) == "Rome"
    assert head_of(unanswerable=True, threshold=2.0).answer(found) == ""
    assert head_of(unanswerable=False, threshold=2.0).answer(found) == "Rome"
    shown = head_of(unanswerable=True, threshold=5.0).show(("q", "c"), found)
    assert shown == {"prediction": "", "start": None, "margin": 2.0, "probability": 0.5}
    assert head_of(unanswerable=True, threshold=5.0).lines(("q", "c"), found) == [
        'No answer; the best span is "Rome", margin 2.00.'
    ]
    assert head_of().lines(("q", "c"), found) == [
        "Rome (characters 3 to 7, 50.0% of its window, margin 2.00)"
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_gives_the_best_f1_of_all(seed, head_of):
    rng = np.random.default_rng(seed)
    golds = [() if rng.random() < 0.4 else (("a cat", 0),) for _ in range(40)]
    found = [
        Found(rng.choice(["a cat", "cat sat", "dog"]), 0, float(rng.integers(-5, 6)), 0.5)
        for _ in golds
    ]
    rows = Examples("answer", [("q", "c")] * 40, golds)

    def total(threshold):
        shown = [f.text if f.margin > threshold else "" for f in found]
        return sum(token_f1(s, [t for t, _ in g]) for s, g in zip(shown, golds, strict=True))

    threshold = head_of().fit_threshold(found, rows)
    assert np.isfinite(threshold)
    assert total(threshold) == pytest.approx(max(total(k / 2) for k in range(-14, 15)))


def test_the_result_counts_both_kinds_of_questions(head_of):
    head = head_of(unanswerable=True, threshold=0.0)
    rows = Examples(
        "answer",
        [("Who sat?", "A cat sat."), ("Who ran?", "A cat sat."), ("Who ate?", "Tom Fox ate it.")],
        [(("A cat", 0),), (), (("Tom Fox", 0),)],
    )
    found = [Found("cat sat", 2, 1.0, 0.5), Found("cat", 2, -1.0, 0.5), Found("it", 12, -1.0, 0.5)]
    result = head.evaluate(found, rows, rows)
    values = {m.name: (m.value, m.baseline) for m in result.measures}
    # "cat sat" against "cat": precision 1/2, recall 1; the empty answer is right for the second
    assert values["f1"] == (pytest.approx((2 / 3 + 1 + 0) / 3), pytest.approx((0 + 1 + 1) / 3))
    assert values["exact_match"] == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert result.details["unanswerable"] == {"rows": 1, "f1": 1.0, "exact_match": 1.0}
    assert result.details["answerable"]["f1"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("question", "context", "answer"),
    [
        ("Who won the game?", "It rained. Ann Lee won the game in 1990. Bob slept.", "Ann Lee"),
        ("When did Ann Lee win the game?", "Ann Lee won the game in 1990. Bob slept.", "1990"),
        ("Who sat?", "nobody knows.", ""),
    ],
)
def test_the_baseline_takes_a_name_of_the_likeliest_sentence(question, context, answer):
    assert likely_name(question, context) == answer
