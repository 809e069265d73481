"""Label words learned from rows: the scores of the papers by hand, and words that mean something."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from playground import Prompt, Template, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks import word_search
from playground.tasks.evaluation import LabelledRows
from playground.tasks.held_out import changes, split_rows
from playground.tasks.word_search import METHODS, ratios, search_label_words

THINGS = ["film", "meal", "song", "book", "hotel", "play", "game", "dish", "show", "trip"]
ROWS = [{"text": f"What a wonderful {thing}, I loved it."} for thing in THINGS] + [
    {"text": f"What a horrible {thing}, I hated it."} for thing in THINGS
]
GOLD = np.array([0] * 10 + [1] * 10)
PROMPT = Prompt(
    Template("{text} It was {mask}."), Verbalizer({"positive": ["red"], "negative": ["blue"]})
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 3])
def test_learned_words_are_single_plain_words_under_one_label(prompting, method, count):
    found = search_label_words(prompting, PROMPT, ROWS, GOLD, method=method, count=count)
    assert found.verbalizer.names == ("positive", "negative")
    words = [word.text for own in found.words.values() for word in own]
    assert len(set(words)) == len(words) == 2 * count
    assert [w.text for w in found.verbalizer.words] == words
    for word in prompting.vocabulary.encode_words(words):
        assert (len(word.ids), word.text.isalpha()) == (1, True)
    assert (found.method, len(found.searched)) == (method, 20)
    assert found.considered == len(prompting.vocabulary.single_words())


@pytest.mark.parametrize("method", METHODS)
def test_learned_words_tell_the_labels_apart(prompting, method):
    found = search_label_words(prompting, PROMPT, ROWS, GOLD, method=method)
    chosen = replace(PROMPT, verbalizer=found.verbalizer)
    predictions = prompting.classify(ROWS, chosen).predictions
    right = np.mean(
        [p == PROMPT.verbalizer.names[k] for p, k in zip(predictions, GOLD, strict=True)]
    )
    if method == "dev-accuracy":
        assert right == 1.0 == found.words["positive"][0].score
    scores = prompting.word_log_probs(
        ROWS, PROMPT.template, [w.text for w in found.verbalizer.words]
    )
    gaps = scores[:, 0] - scores[:, 1]
    assert gaps[GOLD == 0].min() > gaps[GOLD == 1].max()  # in order, whatever the words' frequency


def test_the_likelihood_ratio_is_the_papers_by_hand():
    p = np.array([[0.5, 0.1], [0.2, 0.1], [0.1, 0.3], [0.1, 0.4], [0.3, 0.2]])
    right = np.array([0, 0, 1, 1, 1])
    odds = np.log(p / (1 - p))
    # each row of the label counts 1, each other row n_label / n_others, then the mean over the label
    expected = odds[:2].sum(0) / 2 - (2 / 3) * odds[2:].sum(0) / 2
    assert ratios(np.log(p), right, 2)[0] == pytest.approx(expected)
    assert ratios(np.log(p), right, 2)[1] == pytest.approx(-expected)


def test_the_words_with_the_best_ratio_among_the_expected_are_taken(prompting):
    found = search_label_words(prompting, PROMPT, ROWS, GOLD)
    words = prompting.vocabulary.single_words()
    logs = prompting.word_log_probs(ROWS, PROMPT.template, words)
    means = [logs[k == GOLD].mean(0) for k in (0, 1)]
    expected = sorted({w for own in means for w in np.argsort(-own)[:500]})
    scores = ratios(logs, GOLD, 2)[:, expected]
    best = scores.argmax(1)
    assert found.words["positive"][0].text == words[expected[best[0]]]
    assert found.words["negative"][0].text == words[expected[best[1]]]
    assert found.words["positive"][0].score == pytest.approx(scores[0].max(), abs=1e-6)


def combinations(logs, right, pool):
    """The best accuracy of all combinations, and the best mean gold log-probability there."""
    results = []
    for combination in itertools.product(*pool):
        if len(set(combination)) == len(combination):
            scores = logs[:, combination]
            shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
            gold = np.log(shares[np.arange(len(right)), right]).mean()
            results.append(((scores.argmax(1) == right).mean(), gold, combination))
    return max(results)


@pytest.mark.parametrize("labels", [2, 3])
def test_the_best_combination_is_the_best_of_all(labels, monkeypatch):
    monkeypatch.setattr(word_search, "CANDIDATES", 6)
    rng = np.random.default_rng(labels)
    right = rng.integers(0, labels, 30)
    logs = rng.normal(size=(30, 12)) - 4
    means = np.stack([logs[right == k].mean(0) for k in range(labels)])
    pool = [np.argsort(-own)[:6] for own in means]
    accuracy, _, best = combinations(logs, right, pool)
    found = word_search._by_accuracy(logs, means, right, 1)
    assert [own[0][0] for own in found] == list(best)
    assert found[0][0][1] == pytest.approx(accuracy)


def test_many_labels_climb_to_where_no_single_word_is_better(monkeypatch):
    monkeypatch.setattr(word_search, "_MOST_COMBINATIONS", 1)
    rng = np.random.default_rng(5)
    right = rng.integers(0, 4, 40)
    logs = rng.normal(size=(40, 20)) - 4
    means = np.stack([logs[right == k].mean(0) for k in range(4)])
    found = [own[0][0] for own in word_search._by_accuracy(logs, means, right, 1)]
    assert len(set(found)) == 4
    here = word_search._quality(logs, found, right)
    for label, word in itertools.product(range(4), range(20)):
        if word not in found:
            other = [*found[:label], word, *found[label + 1 :]]
            assert word_search._quality(logs, other, right) <= here


def test_learned_words_are_not_measured_on_rows_that_were_searched_on(prompting):
    whole = LabelledRows("The test", PROMPT.verbalizer.names, ROWS, GOLD)
    split = split_rows(whole, shots=4)
    found = search_label_words(prompting, PROMPT, split.search.rows, split.search.gold)
    after, searched = replace(PROMPT, verbalizer=found.verbalizer), found.searched
    change = changes(
        prompting, PROMPT, after, split.held_out, searched=searched, calibrations=["none"]
    )[0]
    assert change.before.metrics.rows == change.after.metrics.rows == 12
    assert change.comparison.difference == pytest.approx(
        change.after.metrics.accuracy - change.before.metrics.accuracy
    )
    with pytest.raises(
        PlaygroundError, match=r"^8 of the rows to measure on were searched on, such"
    ):
        changes(prompting, PROMPT, after, whole, searched=searched)


def test_progress_ends_at_the_whole(prompting):
    told: list[tuple[int, int]] = []
    search_label_words(
        prompting, PROMPT, ROWS * 4, np.tile(GOLD, 4), progress=lambda *n: told.append(n)
    )
    assert told == [(64, 80), (80, 80)]


def test_a_row_that_cannot_be_scored_is_left_out(prompting):
    rows, gold = [*ROWS, {"text": "x" * 30_000}], np.append(GOLD, 1)
    found = search_label_words(prompting, PROMPT, rows, gold)
    assert found.verbalizer == search_label_words(prompting, PROMPT, ROWS, GOLD).verbalizer


@pytest.mark.parametrize(
    ("rows", "gold", "options", "sentence"),
    [
        (ROWS, GOLD, {"method": "magic"}, r'^There is no method "magic"; choose likelihood-ratio or dev'),
        (ROWS, GOLD, {"count": 0}, r"^The number of words is 0; ask for at least 1 a label\.$"),
        (ROWS, GOLD[:3], {}, r"^There are 20 rows and 3 labels; give one each\.$"),
        (ROWS, GOLD * 0, {}, r'^No row that can be scored has the label "negative"; words are learned'),
        ([*ROWS[:10], {"text": "x" * 30_000}], GOLD[:11], {}, r'^No row that can be scored has the label "neg'),
        (ROWS, GOLD, {"count": 600}, r"^The model has [\d,]+ words to choose from and 1,200 are asked for; ask"),
        (ROWS, GOLD, {"count": 150, "method": "dev-accuracy"}, r"^Each label has 100 candidates, and 150 words of"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_says_why(prompting, rows, gold, options, sentence):
    with pytest.raises(PlaygroundError, match=sentence):
        search_label_words(prompting, PROMPT, rows, gold, **options)
