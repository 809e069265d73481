"""Prompts against one another on the same rows: the engine's numbers, and chance told from a lead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from playground import Prompt, Prompting, Template, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks.comparison import (
    Entry,
    check_comparable,
    compare_parts,
    disagreements,
    rank,
    rows_needed,
)
from playground.tasks.evaluation import Candidate, LabelledRows, Result, evaluate
from playground.tasks.metrics import compare, measure

TEXTS = ["I love it.", "A wonderful day.", "I hate it.", "An awful film.", "So dull and slow."]
GOLD = np.array([0, 0, 1, 1, 1])


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    return Prompt.load("sentiment")


@pytest.fixture(scope="module")
def labelled(prompt) -> LabelledRows:
    rows = [{"text": text} for text in TEXTS]
    return LabelledRows("The test", prompt.verbalizer.names, rows, GOLD)


def result(right: list[int], gold: np.ndarray, sure: float = 0.8) -> Result:
    """Return a result of two labels that is right on the given rows alone."""
    place = np.where(np.isin(np.arange(len(gold)), right), gold, 1 - gold)
    shares = np.full((len(gold), 2), 1 - sure)
    shares[np.arange(len(gold)), place] = sure
    return Result("made", shares, measure(shares, gold))


# ---- the same rows ------------------------------------------------------------------------------


def test_each_prompt_gets_what_it_gets_alone(prompting, prompt, labelled):
    other = prompt.with_template(prompt.templates[1])
    again = Prompting(settings=prompting.settings, threads=1)  # as another model would be
    tried = [
        Entry("A", prompting, prompt),
        Entry("B", again, other),
        Entry("C", prompting, replace(other, scoring=replace(other.scoring, calibration="contextual"))),
    ]  # fmt: skip
    parts = list(compare_parts(tried, labelled, rows_at_once=2))
    assert [part[0].metrics.rows for part in parts] == [2, 4, 5]
    assert [[found.name for found in part] for part in parts] == [["A", "B", "C"]] * 3
    for entry, found in zip(tried, parts[-1], strict=True):
        (alone,) = evaluate(entry.prompting, [Candidate(entry.name, entry.prompt)], labelled)
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_labels_in_another_order_and_slots_of_another_name_are_the_same(
    prompting, prompt, labelled
):
    words = prompt.verbalizer.labels
    turned = Verbalizer({label: words[label] for label in reversed(words)})
    source = prompt.template.source.replace("{text}", "{text_a}")
    other = Prompt(Template(source), turned, prompt.scoring)
    entries = [Entry("A", prompting, prompt), Entry("B", prompting, other)]
    *_, (one, same) = compare_parts(entries, labelled)
    assert same.probabilities == pytest.approx(one.probabilities, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"verbalizer": Verbalizer({"a": ["x"], "b": ["y"]})},
            "Prompt B has the labels a, b and Prompt A has positive, negative; "
            "prompts are measured together only with the same labels.",
        ),
        (
            {"template": Template("{text_a} {mask} {text_b}"), "examples": ()},
            "Prompt B takes 2 texts and Prompt A takes 1 text; "
            "prompts are measured together only on the same texts.",
        ),
    ],
)
def test_prompts_that_cannot_be_compared_say_why(prompt, changes, message):
    with pytest.raises(PlaygroundError) as error:
        check_comparable([("Prompt A", prompt), ("Prompt B", replace(prompt, **changes))])
    assert str(error.value) == message


# ---- who wins -----------------------------------------------------------------------------------


def test_a_lead_that_is_not_chance_wins():
    gold = np.zeros(100, dtype=int)
    ranking = rank([result(list(range(50)), gold), result(list(range(90)), gold)], gold)
    assert (ranking.best, ranking.won) == (1, True)
    worse, best = ranking.standings
    assert (worse.test.only_first, worse.test.only_second) == (40, 0)
    assert worse.p_value == pytest.approx(binomtest(40, 40).pvalue)
    assert (worse.real, worse.rows_needed) == (True, None)
    assert (best.test, best.real) == (None, False)


def test_a_lead_that_may_be_chance_does_not_and_says_how_many_rows_it_wants():
    gold = np.zeros(100, dtype=int)
    ahead, behind = list(range(60)), [*range(50), *range(90, 96)]
    ranking = rank([result(ahead, gold), result(behind, gold)], gold)
    standing = ranking.standings[1]
    assert (ranking.best, ranking.won, standing.real) == (0, False, False)
    assert standing.rows_needed == rows_needed(standing.test, 100)
    assert standing.rows_needed > 100


def test_the_number_of_pairs_is_held_against_the_winner():
    """Three pairs at p = 0.031 each: alone each would count, together none does."""
    gold = np.zeros(50, dtype=int)
    best = result(list(range(36)), gold)
    others = [result(list(range(30)), gold) for _ in range(3)]
    assert compare(best.found, others[0].found, gold).p_value == pytest.approx(2 * 0.5**6)
    assert rank([best, others[0]], gold).won
    together = rank([best, *others], gold)
    assert [s.p_value for s in together.standings[1:]] == pytest.approx([6 * 0.5**6] * 3)
    assert not together.won


def test_a_few_rows_ask_for_more_than_they_are():
    """Five rows that only the best gets right: the exact test's p is 0.0625 whatever the formula says."""
    gold = np.zeros(5, dtype=int)
    standing = rank([result([0, 1, 2, 3, 4], gold), result([], gold)], gold).standings[1]
    assert (standing.p_value, standing.rows_needed) == (pytest.approx(0.0625), 6)


def test_equal_prompts_have_no_winner_and_no_number():
    gold = np.zeros(20, dtype=int)
    ranking = rank([result([0, 1], gold), result([1, 2], gold)], gold)
    assert (ranking.best, ranking.won) == (0, False)
    assert ranking.standings[1].rows_needed is None


def test_the_rows_needed_are_those_that_show_the_difference():
    """Hand arithmetic: (1.95996 sqrt(0.3) + 0.84162 sqrt(0.29))^2 / 0.01 = 233.1; and a simulation."""
    gold = np.zeros(100, dtype=int)
    found = compare(
        *(result(r, gold).found for r in (list(range(60)), [*range(40), *range(60, 70)])), gold
    )
    assert (found.only_first, found.only_second) == (20, 10)
    needed = rows_needed(found, 100)
    assert needed == 234
    draws = np.random.default_rng(0).multinomial(needed, [0.2, 0.1, 0.7], 600)
    seen = np.mean([binomtest(int(w), int(w + s)).pvalue < 0.05 for w, s, _ in draws])
    assert seen == pytest.approx(0.8, abs=0.05)  # the exact test is a little shy


# ---- where they differ --------------------------------------------------------------------------


def test_disagreements_come_surest_first():
    shares = [
        [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [np.nan, np.nan]],
        [[0.4, 0.6], [0.1, 0.9], [0.8, 0.2], [0.9, 0.1], [0.9, 0.1]],
    ]
    gold = np.zeros(5, dtype=int)
    results = [Result("made", np.array(own), measure(np.array(own), gold)) for own in shares]
    assert disagreements(results) == [3, 0, 1]  # 0.8, then 0.6 twice: in their order
