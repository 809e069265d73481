"""The probe without labels: flips and holds counted by hand, and what a useless prompt gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from playground import Prompt, Template, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks.evaluation import Candidate, Result, candidates
from playground.tasks.lexicon import Lexicon
from playground.tasks.metrics import mean_interval, measure
from playground.tasks.probe import Agreement, agreement, probe, swaps

TEXTS = [
    *("A good film.", "I loved every minute.", "The train leaves at six.", "An awful evening."),
    *("It was boring and sad.", "Such a beautiful day!", "The best play of the year."),
]


@pytest.fixture
def prompt() -> Prompt:
    return Prompt.load("sentiment")


def test_shares_are_counted_from_the_engines_predictions(prompting, prompt):
    tried = candidates([("", prompt)], templates="all")
    told: list[tuple[int, int]] = []
    found = probe(prompting, tried, TEXTS, progress=lambda *numbers: told.append(numbers))
    lexicon = Lexicon.load()
    twins = [lexicon.swap(text) for text in TEXTS if lexicon.swap(text)]
    assert len(twins) == 6
    for candidate, one in zip(tried, found, strict=True):
        given, opposite, same = (
            prompting.classify(
                [getattr(twin, side) for twin in twins], candidate.prompt
            ).predictions
            for side in ("text", "opposite", "same")
        )
        flips = [float(a != b) for a, b in zip(given, opposite, strict=True)]
        holds = [float(a == b) for a, b in zip(given, same, strict=True)]
        means = [(a + b) / 2 for a, b in zip(flips, holds, strict=True)]
        assert (one.name, one.texts) == (candidate.name, 6)
        assert (one.flip, one.hold) == pytest.approx((np.mean(flips), np.mean(holds)))
        assert one.mean == pytest.approx(np.mean(means))
        assert one.flip_interval == mean_interval(flips)
        assert one.hold_interval == mean_interval(holds)
        assert one.mean_interval == mean_interval(means)
    assert max(one.flip for one in found) > 0.5  # the model does know these words
    rows = 18 * len(prompt.templates)
    assert told[-1] == (rows, rows)


def test_prompts_of_one_template_share_their_forward_passes(prompting, prompt):
    tried = candidates([("", prompt)])
    probe(prompting, tried, TEXTS)
    before = prompting.runner.prompts_run
    probe(prompting, tried, TEXTS)
    assert prompting.runner.prompts_run - before == 18


def test_a_prompt_with_one_answer_gets_one_half(prompting, prompt):
    certain = Verbalizer({"positive": [("great", 1e6)], "negative": [("awful", 1e-6)]})
    one = replace(prompt, verbalizer=certain, scoring=replace(prompt.scoring, aggregation="sum"))
    (found,) = probe(prompting, [Candidate("same", one)], TEXTS)
    assert (found.flip, found.hold, found.mean) == (0.0, 1.0, 0.5)
    assert found.mean_interval == (0.5, 0.5)


def test_a_text_that_cannot_be_scored_is_left_out(prompting, prompt):
    (found,) = probe(prompting, candidates([("", prompt)], calibrations=["none"]),
                     [*TEXTS, "good " * 6_000])  # fmt: skip
    assert found.texts == 6
    with pytest.raises(
        PlaygroundError, match=r"^No text could be scored with .*; shorten the texts"
    ):
        probe(prompting, candidates([("", prompt)]), ["good " * 6_000])


def test_texts_without_a_sentiment_word_say_so(prompting, prompt):
    message = r'^None of the 2 texts has a word of the lexicon "sentiment_swaps"; give texts with opinions'
    with pytest.raises(PlaygroundError, match=message):
        probe(prompting, candidates([("", prompt)]), ["The train.", "A dog."])
    mine = Lexicon.from_json({"swaps": [{"word": "dog", "antonym": "cat", "synonym": "hound"}]})
    assert [twin.opposite for twin in swaps(["The train.", "A dog."], mine)] == ["A cat."]


def test_a_template_of_two_texts_is_refused(prompting, prompt):
    pair = Prompt(Template("{text_a} {mask} {text_b}"), prompt.verbalizer)
    message = r'^The probe swaps words of one text and the template "\{text_a\} \{mask\} \{text_b\}" takes 2'
    with pytest.raises(PlaygroundError, match=message):
        probe(prompting, [Candidate("pair", pair)], TEXTS)


def test_agreement_is_the_correlation_of_ranks(prompting, prompt):
    tried = candidates([("", prompt)], templates="all", calibrations=["none"])
    found = probe(prompting, tried, TEXTS)
    rng = np.random.default_rng(0)
    results = []
    for one in found:
        shares = rng.dirichlet([1, 1], 50)
        results.append(Result(one.name, shares, measure(shares, rng.integers(0, 2, 50))))
    got = agreement(found, results)
    ranks = [rankdata([one.mean for one in found]), rankdata([r.metrics.accuracy for r in results])]
    assert got.rho == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert got.count == len(found)
    assert agreement(found[:2], results[:2]) == Agreement(2, None, None)
    assert agreement([found[0]] * 3, results[:3]) == Agreement(3, None, None)
    with pytest.raises(PlaygroundError, match=r"^There are 2 probes and 1 accuracies; give one of"):
        agreement(found[:2], results[:1])
