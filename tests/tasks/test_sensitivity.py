"""Every way to write a prompt on the same rows: the numbers of one by one, far fewer forward passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from playground import Prompt, Template, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks.evaluation import Candidate, LabelledRows, evaluate
from playground.tasks.sensitivity import (
    Variant,
    sensitivity,
    sensitivity_parts,
    variants,
)

TEXTS = [
    *("I love this film.", "A wonderful evening.", "It was a great and happy day.", "Nice work!"),
    *("A terrible waste of time.", "I hated every minute.", "The food was awful.", "Never again."),
]
LABELS = ("positive", "negative")
CARD = Prompt(
    Template("{text} It was {mask}."),
    Verbalizer({"positive": ["great", "good", "fun"], "negative": ["awful", "bad"]}),
    alternatives=(Template("{mask}! {text}"),),
)


def labelled(texts=TEXTS) -> LabelledRows:
    half = len(texts) // 2
    gold = np.array([0] * half + [1] * (len(texts) - half))
    return LabelledRows("The test", LABELS, [{"text": text} for text in texts], gold)


def names(found: list[Variant]) -> list[str]:
    return list(dict.fromkeys(variant.words for variant in found))


# ---- which variants there are --------------------------------------------------------------------


def test_every_template_verbalizer_and_calibration_is_a_variant():
    mine = Verbalizer({"negative": ["poor"], "positive": ["rich"]})
    found = variants(CARD, verbalizers={"mine": mine}, calibrations=["none", "domain"])
    words = names(found)
    assert words[:3] == ["all words", "word 1: great / awful", "word 2: good / bad"]
    assert {"card sentiment", "mine"} <= set(words)
    assert not any(name.startswith("word 3") for name in words)  # one label has two words
    assert len(found) == 2 * len(words) * 2 == len({variant.name for variant in found})
    assert all(variant.prompt.verbalizer.names == LABELS for variant in found)
    one = next(v for v in found if v.words == "mine" and v.calibration == "domain")
    assert one.prompt.verbalizer == Verbalizer({"positive": ["rich"], "negative": ["poor"]})
    assert (one.template, one.prompt.template.source) == ("{text} It was {mask}.",) * 2
    assert one.prompt.scoring.calibration == "domain"


def test_equal_verbalizers_are_taken_once():
    single = replace(CARD, verbalizer=Verbalizer({"positive": ["great"], "negative": ["bad"]}))
    found = names(variants(single, verbalizers={"again": single.verbalizer}))
    assert found[0] == "all words"
    assert "again" not in found
    assert not any(name.startswith("word") for name in found)


def test_words_of_other_labels_are_refused():
    other = Verbalizer({"good": ["great"], "bad": ["awful"]})
    message = r'^The verbalizer "mine" has the labels good, bad and the prompt has positive, negative; they'
    with pytest.raises(PlaygroundError, match=message):
        variants(CARD, verbalizers={"mine": other})
    with pytest.raises(PlaygroundError, match=r"^There is no calibration; give at least one, such"):
        variants(CARD, calibrations=[])


# ---- their numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("calibrations", [("none", "contextual"), ("domain",)])
def test_the_numbers_are_those_of_one_by_one(prompting, calibrations):
    found = variants(CARD, calibrations=calibrations)
    together = sensitivity(prompting, found, labelled())
    alone = evaluate(prompting, [Candidate(v.name, v.prompt) for v in found], labelled())
    assert [result.name for result in together.results] == [result.name for result in alone]
    for one, other in zip(together.results, alone, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
        assert one.metrics.accuracy == other.metrics.accuracy


def test_a_word_that_splits_is_scored_as_anywhere_else(prompting):
    words = Verbalizer({"positive": ["great", "unputdownable"], "negative": ["bad", "boring"]})
    found = variants(replace(CARD, verbalizer=words), calibrations=["none"])
    assert "word 2: unputdownable / boring" in names(found)
    together = sensitivity(prompting, found, labelled())
    alone = evaluate(prompting, [Candidate(v.name, v.prompt) for v in found], labelled())
    for one, other in zip(together.results, alone, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_a_row_runs_once_through_each_template(prompting):
    found = variants(CARD)
    sensitivity(prompting, found, labelled())  # priors are remembered
    before = prompting.runner.prompts_run
    sensitivity(prompting, found, labelled())
    assert len(found) >= 12
    assert prompting.runner.prompts_run - before == 2 * len(TEXTS)


def test_spread_best_and_corrected_tests_by_hand(prompting):
    found = sensitivity(prompting, variants(CARD), labelled())
    right = np.stack([result.found == labelled().gold for result in found.results])
    accuracies = right.mean(1)
    assert found.accuracies == pytest.approx(accuracies)
    assert found.spread == pytest.approx(accuracies.max() - accuracies.min())
    assert found.best == accuracies.argmax()
    raw = {}
    for k, own in enumerate(right):
        wins, losses = int((right[found.best] & ~own).sum()), int((own & ~right[found.best]).sum())
        raw[k] = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    del raw[found.best]
    highest = 0.0
    for rank, k in enumerate(sorted(raw, key=lambda k: raw[k])):
        highest = max(highest, min(1.0, raw[k] * (len(raw) - rank)))
        assert found.p_values[k] == pytest.approx(highest)
    assert found.p_values[found.best] == 1.0
    assert found.real == tuple(p < 0.05 for p in found.p_values)


def test_a_useless_prompt_differs_really(prompting):
    texts = ["What a great film."] * 12 + ["What an awful film."] * 12
    upside = Verbalizer({"positive": ["awful"], "negative": ["great"]})
    found = sensitivity(
        prompting, variants(CARD, verbalizers={"upside down": upside}), labelled(texts)
    )
    real = {v.words for v, real in zip(found.variants, found.real, strict=True) if real}
    assert "upside down" in real
    assert not found.real[found.best]
    assert found.spread > 0.5


def test_means_show_which_choice_matters(prompting):
    found = sensitivity(prompting, variants(CARD), labelled())
    for choice in ("template", "words", "calibration"):
        means = found.means(choice)
        assert list(means.values()) == sorted(means.values(), reverse=True)
        for name, mean in means.items():
            own = [
                accuracy
                for variant, accuracy in zip(found.variants, found.accuracies, strict=True)
                if getattr(variant, choice) == name
            ]
            assert mean == pytest.approx(np.mean(own))
    with pytest.raises(
        PlaygroundError, match=r'^There is no choice "colour"; it is one of template'
    ):
        found.means("colour")


def test_parts_grow_to_the_whole(prompting):
    found = variants(CARD, calibrations=["none"])
    parts = list(sensitivity_parts(prompting, found, labelled(), rows_at_once=3))
    assert [(part.rows, part.total) for part in parts] == [(3, 8), (6, 8), (8, 8)]
    whole = sensitivity(prompting, found, labelled())
    assert [len(result.probabilities) for result in parts[0].results] == [3] * len(found)
    for one, other in zip(parts[-1].results, whole.results, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    told: list[tuple[int, int]] = []
    sensitivity(prompting, found, labelled(), progress=lambda *numbers: told.append(numbers))
    assert told == [(8, 8)]


def test_what_cannot_be_compared_says_why(prompting):
    found = variants(CARD)
    with pytest.raises(
        PlaygroundError, match=r"^There is one way to write this prompt and no other"
    ):
        sensitivity(prompting, found[:1], labelled())
    rows = replace(labelled(), labels=("negative", "positive"))
    with pytest.raises(
        PlaygroundError, match=r"has the labels positive, negative and the rows have"
    ):
        sensitivity(prompting, found, rows)
    empty = LabelledRows("The test", LABELS, [], np.array([], dtype=int))
    with pytest.raises(PlaygroundError, match=r"^There are no labelled rows; give at least one\.$"):
        sensitivity(prompting, found, empty)
