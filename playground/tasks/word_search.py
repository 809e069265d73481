"""Label words learned from a few labelled rows, instead of thought up.

"likelihood-ratio": a word's score for a label is how much likelier the model finds it after rows of the
label than after others (PETAL: Schick, Schmid and Schütze 2020, "Automatically Identifying Words That
Can Serve as Labels", section 3, each label against the rest, both sides weighing the same).
"dev-accuracy": the words that the model expects after rows of each label, put together so that most
rows come out right (LM-BFF: Gao, Fisch and Chen 2021, section 5.1, without its fine-tuned last round).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from playground.engine import Prompting
from playground.engine.classifier import log_softmax
from playground.engine.label_words import text_before_mask
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, Verbalizer
from playground.tasks.evaluation import Progress
from playground.tasks.held_out import Key, row_key

METHODS = {
    "likelihood-ratio": "Words that are likelier after a label's rows than after others (PETAL).",
    "dev-accuracy": "Expected words, put together by accuracy on the rows (LM-BFF).",
}
EXPECTED = 1_000  # words that the model expects most, over all labels: rarer ones win by noise
CANDIDATES = 100  # words of each label that are put together by accuracy
_MOST_COMBINATIONS = 20_000
_ROUNDS = 10
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class LearnedWord:
    """A word with its score: a mean log-ratio, or the accuracy of its best combination."""

    text: str
    score: float


@dataclass(frozen=True)
class LearnedWords:
    """The words found, by label, best first, and as a verbalizer.

    considered: how many words of the vocabulary were looked at. searched: the keys of the rows that
    were, which can no longer be measured on.
    """

    method: str
    words: Mapping[str, tuple[LearnedWord, ...]]
    verbalizer: Verbalizer
    considered: int
    searched: frozenset[Key]


def search_label_words(
    prompting: Prompting,
    prompt: Prompt,
    rows: Sequence[Mapping[str, str]],
    gold: Sequence[int] | np.ndarray,
    *,
    method: str = "likelihood-ratio",
    count: int = 1,
    progress: Progress | None = None,
) -> LearnedWords:
    """Return ``count`` words for each label of the prompt, learned from rows with gold places (N,).

    Only words of letters that are one piece to the model are looked at, and no word serves two labels.
    ``progress`` is told the rows read and the rows in all. Raises PlaygroundError for an unknown
    method, a label without a row, or more words than there are candidates.
    """
    labels, right = prompt.verbalizer.names, np.asarray(gold, dtype=int)
    _check(labels, rows, right, method, count)
    words = prompting.vocabulary.single_words(text_before_mask(prompt.template))
    found = np.concatenate(list(_log_probs(prompting, prompt, rows, words, progress)))  # (N, W)
    scored = ~np.isnan(found).any(1)
    found, right = found[scored], right[scored]
    _check_labels_left(labels, right)
    by_label = np.stack([found[right == k].mean(0) for k in range(len(labels))])  # (C, W)
    expected = _expected(found, right, len(labels))
    if len(expected) < count * len(labels):
        raise PlaygroundError(
            f"The model has {len(expected):,} words to choose from and {count * len(labels):,} are "
            "asked for; ask for fewer."
        )
    if method == "likelihood-ratio":
        chosen = _by_ratio(found[:, expected], right, len(labels), count)
    else:
        chosen = _by_accuracy(found[:, expected], by_label[:, expected], right, count)
    named = {
        label: tuple(LearnedWord(words[expected[w]], score) for w, score in own)
        for label, own in zip(labels, chosen, strict=True)
    }
    verbalizer = Verbalizer({label: [w.text for w in own] for label, own in named.items()})
    searched = frozenset(row_key(prompt.template.bind(row)) for row in rows)
    return LearnedWords(method, named, verbalizer, len(words), searched)


# ---- choosing ------------------------------------------------------------------------------------


def _expected(found: np.ndarray, right: np.ndarray, labels: int) -> np.ndarray:
    """Return the places of the words that are expected most after some label's rows, (N, W) -> (E,)."""
    means = [found[right == k].mean(0) for k in range(labels)]
    share = max(1, EXPECTED // labels)
    best = {int(w) for own in means for w in np.argsort(-own, kind="stable")[:share]}
    return np.array(sorted(best))


def ratios(found: np.ndarray, right: np.ndarray, labels: int) -> np.ndarray:
    """Return each word's score for each label, log-probabilities (N, W) -> (C, W).

    With p the word's probability at the mask, the mean of log p / (1 - p) over the label's rows minus
    its mean over the others: the likelihood ratio of PETAL, both sides weighing the same.
    """
    odds = found - np.log1p(-np.exp(np.minimum(found, -1e-9)))
    return np.stack([odds[right == k].mean(0) - odds[right != k].mean(0) for k in range(labels)])


def _by_ratio(
    found: np.ndarray, right: np.ndarray, labels: int, count: int
) -> list[list[tuple[int, float]]]:
    scores = ratios(found, right, labels)
    chosen: list[list[tuple[int, float]]] = [[] for _ in range(labels)]
    taken: set[int] = set()
    for flat in np.argsort(-scores, axis=None, kind="stable"):
        label, word = divmod(int(flat), scores.shape[1])
        if len(chosen[label]) < count and word not in taken:
            taken.add(word)
            chosen[label].append((word, float(scores[label, word])))
    return chosen


def _by_accuracy(
    found: np.ndarray, by_label: np.ndarray, right: np.ndarray, count: int
) -> list[list[tuple[int, float]]]:
    """Return the words of the best combinations of one word a label.

    A label's candidates are the words likeliest after its rows by their mean log-probability, (C, W).
    Combinations rank by accuracy, and by the gold label's log-probability where that is equal, as it
    often is on a few rows.
    """
    labels = len(by_label)
    pool = [np.argsort(-own, kind="stable")[:CANDIDATES].tolist() for own in by_label]
    chosen: list[list[tuple[int, float]]] = [[] for _ in range(labels)]
    taken: set[int] = set()
    for _ in range(count):
        free = [[w for w in own if w not in taken] for own in pool]
        if any(not own for own in free) or len(set().union(*free)) < labels:
            raise PlaygroundError(
                f"Each label has {CANDIDATES} candidates, and {count} words of each are too many; "
                "ask for fewer."
            )
        best, accuracy = _best_combination(found, free, right)
        for label, word in enumerate(best):
            chosen[label].append((word, accuracy))
            taken.add(word)
    return chosen


def _best_combination(
    found: np.ndarray, pool: Sequence[Sequence[int]], right: np.ndarray
) -> tuple[tuple[int, ...], float]:
    """Return the best combination of one word a label, no word twice, and its accuracy.

    All combinations where they are few; else one label's word at a time, from each label's likeliest
    and from its best ratio, until none is better.
    """
    if np.prod([float(len(own)) for own in pool]) <= _MOST_COMBINATIONS:
        every = (c for c in itertools.product(*pool) if len(set(c)) == len(c))
        best = max(every, key=lambda combination: _quality(found, combination, right))
        return best, _quality(found, best, right)[0]
    score = ratios(found, right, len(pool))
    starts = [
        _distinct(pool),
        _distinct([sorted(o, key=lambda w: -s[w]) for o, s in zip(pool, score, strict=True)]),
    ]
    ends = [_climbed(found, pool, right, start) for start in starts]
    best = max(ends, key=lambda combination: _quality(found, combination, right))
    return best, _quality(found, best, right)[0]


def _climbed(
    found: np.ndarray, pool: Sequence[Sequence[int]], right: np.ndarray, start: tuple[int, ...]
) -> tuple[int, ...]:
    best = start
    for _ in range(_ROUNDS):
        before = best
        for label, own in enumerate(pool):
            others = set(best[:label] + best[label + 1 :])
            tried = [(*best[:label], w, *best[label + 1 :]) for w in own if w not in others]
            best = max([best, *tried], key=lambda c: _quality(found, c, right))
        if best == before:
            break
    return best


def _distinct(pool: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the first word of each label that no label before it has."""
    taken: list[int] = []
    for own in pool:
        taken.append(next((w for w in own if w not in taken), own[0]))
    return tuple(taken)


def _quality(
    found: np.ndarray, combination: Sequence[int], right: np.ndarray
) -> tuple[float, float]:
    """Return the accuracy of one word a label, and the mean log-probability of the gold label."""
    scores = found[:, list(combination)]  # (N, C)
    rows = np.arange(len(right))
    accuracy = float((scores.argmax(1) == right).mean())
    return accuracy, float(log_softmax(scores)[rows, right].mean())


# ---- checks and reading --------------------------------------------------------------------------


def _log_probs(
    prompting: Prompting,
    prompt: Prompt,
    rows: Sequence[Mapping[str, str]],
    words: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = list(rows[start : start + _ROWS_AT_ONCE])
        yield prompting.word_log_probs(part, prompt.template, words)
        if progress is not None:
            progress(start + len(part), len(rows))


def _check(
    labels: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    right: np.ndarray,
    method: str,
    count: int,
) -> None:
    if method not in METHODS:
        raise PlaygroundError(
            f"There is no method {shorten(method)}; choose {' or '.join(METHODS)}."
        )
    if count < 1:
        raise PlaygroundError(f"The number of words is {count}; ask for at least 1 a label.")
    if len(rows) != len(right):
        raise PlaygroundError(f"There are {len(rows)} rows and {len(right)} labels; give one each.")
    _check_labels_left(labels, right)


def _check_labels_left(labels: Sequence[str], right: np.ndarray) -> None:
    missing = [label for k, label in enumerate(labels) if not (right == k).any()]
    if missing:
        raise PlaygroundError(
            f"No row that can be scored has the label {shorten(missing[0])}; words are learned from "
            "rows of every label."
        )
