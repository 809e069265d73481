"""From type scores to entities, against brute force over every set of spans."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.errors import PlaygroundError
from playground.tasks.entities import DECODINGS, Entity, Span, TypedSpans, decode
from playground.tasks.entities.typing import EntityTyper, margins

TEXT = "abcdefghijkl"
LABELS = ("person", "none", "place")


def typed_of(scored: dict[tuple[int, int], tuple[float, float]]) -> TypedSpans:
    """Return spans whose margins for person and place are those given."""
    spans = tuple(Span(*place) for place in scored)
    raw = np.array([(person, 0.0, place) for person, place in scored.values()]).reshape(-1, 3)
    log_probs = raw - np.logaddexp.reduce(raw, axis=1, keepdims=True)
    exact = np.array([(person, -np.inf, place) for person, place in scored.values()]).reshape(-1, 3)
    np.testing.assert_allclose(margins(log_probs, LABELS), exact, atol=1e-9)
    return TypedSpans(
        TEXT, spans, LABELS, log_probs, exact
    )  # a tie is a tie, whatever rounding does


def one_type(gains: dict[tuple[int, int], float]) -> TypedSpans:
    return typed_of({place: (gain, gain - 1) for place, gain in gains.items()})


def places(found: list[Entity]) -> list[tuple[int, int]]:
    return [(entity.start, entity.end) for entity in found]


def allowed(one: tuple[int, int], other: tuple[int, int], nested: bool) -> bool:
    """Return whether two spans may stand together, by the characters that they hold."""
    first, second = set(range(*one)), set(range(*other))
    apart = not first & second
    return apart or (nested and (first <= second or second <= first))


def may_stand(family, nested: bool) -> bool:
    return all(allowed(one, other, nested) for one, other in combinations(family, 2))


def best_by_force(gains: dict[tuple[int, int], float], nested: bool) -> float:
    """Return the most that any set of spans which may stand together adds up to."""
    return max(
        sum(gains[place] for place in family)
        for size in range(len(gains) + 1)
        for family in combinations(gains, size)
        if may_stand(family, nested)
    )


def greedy_by_force(gains: dict[tuple[int, int], float], nested: bool) -> set[tuple[int, int]]:
    """Return the set of spans of which no span outside it comes before every one that it clashes with.

    It is the set whose gains, widest first, come last to an end in the order of all such sets.
    """
    order = sorted(gains, key=lambda p: (-gains[p], p[0] - p[1], p[0]))
    families = [
        family
        for size in range(len(gains) + 1)
        for family in combinations(order, size)
        if may_stand(family, nested)
    ]
    return set(max(families, key=lambda family: [place in family for place in order]))


spans_of_text = st.tuples(st.integers(0, 11), st.integers(1, 12)).filter(lambda p: p[0] < p[1])
margins_of_spans = st.dictionaries(
    spans_of_text, st.integers(-8, 24).map(lambda k: k / 4), max_size=9
)
thresholds = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.5])


@settings(max_examples=150)
@given(scored=margins_of_spans, threshold=thresholds, nested=st.booleans())
def test_the_best_total_is_that_of_brute_force(scored, threshold, nested):
    found = decode(one_type(scored), threshold=threshold, decoding="best total", nested=nested)
    gains = {place: m - threshold for place, m in scored.items() if m > threshold}
    total = sum(entity.margin - threshold for entity in found)
    assert total == pytest.approx(best_by_force(gains, nested), abs=1e-9)
    assert may_stand(places(found), nested)


@settings(max_examples=150)
@given(scored=margins_of_spans, threshold=thresholds, nested=st.booleans())
def test_greedy_takes_the_widest_margin_first(scored, threshold, nested):
    typed = one_type(scored)
    found = decode(typed, threshold=threshold, decoding="greedy", nested=nested)
    gains = {place: m for place, m in scored.items() if m > threshold}
    assert set(places(found)) == greedy_by_force(gains, nested)


@given(
    scored=margins_of_spans,
    threshold=thresholds,
    nested=st.booleans(),
    decoding=st.sampled_from(list(DECODINGS)),
)
def test_entities_stand_in_order_above_the_threshold_and_never_cross(
    scored, threshold, nested, decoding
):
    found = decode(one_type(scored), threshold=threshold, decoding=decoding, nested=nested)
    assert places(found) == sorted(places(found), key=lambda p: (p[0], -p[1]))
    assert len(set(places(found))) == len(found)
    assert may_stand(places(found), nested)
    for entity in found:
        assert entity.margin > threshold
        assert entity.margin == scored[entity.start, entity.end]
        assert entity.text == TEXT[entity.start : entity.end]
        assert entity.span == Span(entity.start, entity.end)
        assert entity.label == "person"


@given(scored=margins_of_spans, nested=st.booleans(), limits=st.tuples(thresholds, thresholds))
def test_a_higher_threshold_only_takes_entities_away_from_greedy(scored, nested, limits):
    low, high = sorted(limits)
    typed = one_type(scored)
    few = decode(typed, threshold=high, nested=nested)
    many = decode(typed, threshold=low, nested=nested)
    assert set(few) <= set(many)
    assert set(few) == {entity for entity in many if entity.margin > high}


@given(scored=margins_of_spans, nested=st.booleans())
def test_no_entity_clashes_with_none_that_was_taken(scored, nested):
    """A span that was left out although it is above the threshold clashes with one that was taken."""
    for decoding in DECODINGS:
        found = places(decode(one_type(scored), threshold=0, decoding=decoding, nested=nested))
        for place, margin in scored.items():
            if margin > 1e-6 and place not in found:
                assert not may_stand([*found, place], nested)


@given(scored=margins_of_spans, nested=st.booleans(), seed=st.integers(0, 99))
def test_the_order_of_the_candidates_changes_nothing(scored, nested, seed):
    shuffled = list(scored.items())
    np.random.default_rng(seed).shuffle(shuffled)
    again = one_type({tuple(place): margin for place, margin in shuffled})
    assert decode(again, threshold=0, nested=nested) == decode(
        one_type(scored), threshold=0, nested=nested
    )


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ({(0, 3): 2, (2, 8): 2}, [(2, 8)]),  # the longer
        ({(0, 3): 2, (2, 5): 2, (4, 7): 2}, [(0, 3), (4, 7)]),  # the earlier
        ({(2, 5): 2, (0, 3): 2}, [(0, 3)]),
    ],
)
def test_ties_are_broken_by_length_and_then_by_place(gains, expected):
    for order in (gains, dict(reversed(gains.items()))):
        assert places(decode(one_type(order))) == expected


def test_greedy_and_the_best_total_differ_where_two_outweigh_one():
    typed = one_type({(0, 4): 3, (3, 8): 4, (7, 12): 3})
    assert places(decode(typed)) == [(3, 8)]
    assert places(decode(typed, decoding="best total")) == [(0, 4), (7, 12)]
    # over a threshold of 2.5 the two are worth 1 together and the one 1.5
    assert places(decode(typed, decoding="best total", threshold=2.5)) == [(3, 8)]


def test_nested_entities_lie_within_each_other_the_outer_first():
    typed = one_type({(0, 12): 2, (4, 6): 5, (5, 9): 4, (4, 9): 3})
    assert places(decode(typed)) == [(4, 6)]
    for decoding in DECODINGS:
        found = decode(typed, decoding=decoding, nested=True)
        assert places(found) == [(0, 12), (4, 9), (4, 6)]


def test_an_entity_has_its_best_type_margin_and_probability():
    typed = typed_of({(0, 4): (1.0, 3.0), (5, 9): (2.0, -1.0)})
    first, second = decode(typed)
    assert (first.label, second.label) == ("place", "person")
    assert (first.text, second.text) == ("abcd", "fghi")
    assert first.margin == pytest.approx(3)
    assert second.margin == pytest.approx(2)
    shares = math.exp(3) / (math.exp(1) + 1 + math.exp(3))
    assert first.probability == pytest.approx(shares)


def test_a_margin_at_the_threshold_is_no_entity():
    typed = TypedSpans(TEXT, (Span(0, 2),), LABELS, np.zeros((1, 3)), np.array([[1, -np.inf, 0.0]]))
    assert decode(typed, threshold=1) == []
    assert places(decode(typed, threshold=0.999)) == [(0, 2)]


@pytest.mark.parametrize("decoding", list(DECODINGS))
@pytest.mark.parametrize("nested", [False, True])
def test_no_candidate_gives_no_entity(decoding, nested):
    assert decode(typed_of({}), decoding=decoding, nested=nested) == []


@pytest.mark.parametrize("decoding", ["best", "", "Greedy", "viterbi " * 20])
def test_an_unknown_decoding_is_refused(decoding):
    with pytest.raises(PlaygroundError, match=r"; choose one of greedy, best total\.$") as caught:
        decode(typed_of({}), decoding=decoding)
    assert str(caught.value).startswith(f'There is no decoding "{decoding.strip()[:39]}')


def test_decoding_runs_no_model(prompting, entity_card):
    typed = EntityTyper(prompting, entity_card).type_text("Maria went to Norway.")
    before = prompting.runner.prompts_run
    assert decode(typed, threshold=0)
    assert decode(typed, threshold=2, decoding="best total", nested=True)
    assert prompting.runner.prompts_run == before
