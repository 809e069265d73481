"""How good zero-shot NER is: seqeval and hand counts as the oracle, and the shipped sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from playground import resources
from playground.errors import PlaygroundError
from playground.tasks.entities import EntityTyper, Span, decode
from playground.tasks.entities.evaluation import capital_runs, evaluate_entities, strict_score
from playground.tasks.entities.labelled import LabelledText, bio_spans, read_labelled_texts
from playground.tasks.reading import Record, Table

TYPES = ("person", "location", "organization")


def labelled(marked: str) -> LabelledText:
    """Return a text from one in which entities are written [name|type]."""
    text, entities = "", []
    for piece in marked.replace("]", "[").split("["):
        name, _, label = piece.partition("|")
        if label:
            entities.append((Span(len(text), len(text) + len(name)), label))
        text += name
    return LabelledText(text, tuple(entities))


ROWS = [
    labelled("[Maria Lopez|person] moved to [Norway|location] with her son."),
    labelled("The [Bank of Oslo|organization] hired [Tom|person] last week."),
    labelled("We saw [Paris|location] and [Rome|location] in spring."),
    labelled("it was too late for [anna|person] to call."),
    labelled("Nobody said a word."),
]


@pytest.fixture(scope="module")
def typer(prompting, entity_card) -> EntityTyper:
    return EntityTyper(prompting, entity_card)


@pytest.fixture(scope="module")
def sample():
    rows = resources.load_examples("names")
    return read_labelled_texts(Table("names", lambda: (Record(row) for row in rows)), TYPES).rows


# ---- the score --------------------------------------------------------------------------------------


@st.composite
def tag_sequences(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Return gold and predicted tags of one sentence, both in IOB2."""

    def tags(runs: list[tuple[str, int]], length: int) -> list[str]:
        found: list[str] = []
        for label, count in runs:
            found += [label] if label == "O" else [f"B-{label}", *[f"I-{label}"] * count]
        return (found + ["O"] * length)[:length]

    runs = st.lists(
        st.tuples(st.sampled_from(["O", "O", "person", "place"]), st.integers(0, 2)), max_size=6
    )
    length = draw(st.integers(1, 10))
    gold, other = draw(runs), draw(runs)
    near = [*gold[:2], *other] if draw(st.booleans()) else other  # so that some are right
    return tags(gold, length), tags(near, length)


def spans_of(tags: list[str]) -> list[tuple[Span, str]]:
    return [(Span(first, last), label) for first, last, label in bio_spans(tags)]


@settings(max_examples=40)
@given(sentences=st.lists(tag_sequences(), min_size=1, max_size=6))
def test_scores_are_those_of_seqeval_in_strict_mode(sentences):
    gold, found = [tags for tags, _ in sentences], [tags for _, tags in sentences]
    kinds = {tag[2:] for tags in gold + found for tag in tags if tag != "O"}
    right, guess = [spans_of(tags) for tags in gold], [spans_of(tags) for tags in found]
    score = strict_score("all", right, guess)
    assert score.name == "all"
    assert score.gold == sum(tag[0] == "B" for tags in gold for tag in tags)
    assert score.predicted == sum(tag[0] == "B" for tags in found for tag in tags)
    if not kinds:  # seqeval has no report of nothing
        assert (score.true, score.precision, score.recall, score.f1) == (0, 0, 0, 0)
        return
    report = classification_report(
        gold, found, mode="strict", scheme=IOB2, output_dict=True, zero_division=0
    )
    for kind in sorted(kinds):
        of_kind = strict_score(
            kind,
            [[e for e in own if e[1] == kind] for own in right],
            [[e for e in own if e[1] == kind] for own in guess],
        )
        check(of_kind, report[kind])
    check(score, report["micro avg"])


def check(score, expected) -> None:
    assert score.precision == pytest.approx(expected["precision"])
    assert score.recall == pytest.approx(expected["recall"])
    assert score.f1 == pytest.approx(expected["f1-score"])
    assert score.gold == expected["support"]


def test_an_entity_counts_if_its_offsets_and_its_type_are_right():
    gold = [[(Span(0, 5), "person"), (Span(9, 12), "place"), (Span(20, 22), "place")]]
    found = [[(Span(0, 5), "place"), (Span(9, 11), "place"), (Span(20, 22), "place"), (Span(30, 31), "person")]]  # fmt: skip
    score = strict_score("x", gold, found)
    assert (score.true, score.predicted, score.gold) == (1, 4, 3)
    assert (score.precision, score.recall) == (1 / 4, 1 / 3)
    assert score.f1 == pytest.approx(2 / 7)


def test_an_entity_of_another_text_does_not_count():
    one = [(Span(0, 5), "person")]
    assert strict_score("x", [one, []], [[], one]).true == 0


def test_the_interval_is_seeded_and_holds_the_score():
    one, other = (Span(0, 5), "person"), (Span(6, 9), "place")
    gold, found = [[one, other], [one], [other]] * 10, [[one], [one], [one]] * 10
    score = strict_score("x", gold, found)
    assert score == strict_score("x", gold, found)
    assert score.interval != strict_score("x", gold, found, seed=1).interval
    low, high = score.interval
    assert 0 < low < score.f1 < high < 1
    # texts are what is drawn: of like texts every draw is the same
    alike = strict_score("x", [[one, other]] * 10, [[one]] * 10)
    assert alike.interval == pytest.approx((2 / 3, 2 / 3))


# ---- baselines --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Maria Lopez went to New York.", ["Maria Lopez", "New York"]),
        ("The University of Oxford", ["The University", "Oxford"]),
        ("Bob, Alice and Carol", ["Bob", "Alice", "Carol"]),
        ("in iPhone and 12 May", ["May"]),
        ("Ana\nBen", ["Ana\nBen"]),
        ("J. R. Ewing", ["J", "R", "Ewing"]),
        ("nobody", []),
        ("", []),
    ],
)
def test_capital_runs_of_a_text(text, expected):
    assert [text[span.start : span.end] for span in capital_runs(text)] == expected


# ---- the whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoding", ["greedy", "best total"])
@pytest.mark.parametrize(("candidates", "nested"), [("names", False), ("all", True)])
def test_the_report_is_what_decoding_gives(typer, candidates, nested, decoding):
    report = evaluate_entities(
        typer,
        ROWS,
        candidates=candidates,
        most_words=3,
        threshold=0.7,
        decoding=decoding,
        nested=nested,
    )
    gold = [{(span.start, span.end, label) for span, label in row.entities} for row in ROWS]
    typed = [typer.type_text(row.text, candidates=candidates, most_words=3) for row in ROWS]

    def found(threshold: float) -> list[set[tuple[int, int, str]]]:
        entities = [decode(one, threshold=threshold, decoding=decoding, nested=nested) for one in typed]  # fmt: skip
        return [{(e.start, e.end, e.label) for e in own} for own in entities]

    def counts(predicted, label: str = "") -> tuple[int, int, int]:
        pairs = [
            ({e for e in p if not label or e[2] == label}, {e for e in g if not label or e[2] == label})
            for p, g in zip(predicted, gold, strict=True)
        ]  # fmt: skip
        return sum(len(p & g) for p, g in pairs), sum(len(p) for p, _ in pairs), sum(len(g) for _, g in pairs)  # fmt: skip

    def numbers(score) -> tuple[int, int, int]:
        return score.true, score.predicted, score.gold

    assert numbers(report.found) == counts(found(0.7))
    assert report.types == TYPES
    assert [numbers(score) for score in report.by_type] == [counts(found(0.7), t) for t in TYPES]
    assert [limit for limit, _ in report.ladder] == [0, 0.5, 0.7, 1, 1.5, 2, 2.5, 3]
    for limit, score in report.ladder:
        assert numbers(score) == counts(found(limit))
    hits = sum(
        (start, end) in {(span.start, span.end) for span in one.spans}
        for one, own in zip(typed, gold, strict=True)
        for start, end, _ in own
    )
    assert report.candidate_recall == hits / 7
    assert report.prompts > 0
    assert report.seconds > 0


def test_typing_takes_the_best_type_of_each_gold_span_none_left_out(typer):
    report = evaluate_entities(typer, ROWS)
    right, shares = [], []
    for row in ROWS:
        for span, label in row.entities:
            typed = typer.type_text(row.text, candidates=[(span.start, span.end)])
            own = np.exp(typed.log_probs[0, [typed.labels.index(name) for name in TYPES]])
            shares.append(own / own.sum())
            right.append(TYPES.index(label))
    hits = [int(np.argmax(own)) == label for own, label in zip(shares, right, strict=True)]
    assert report.typing.rows == 7
    assert report.typing.accuracy == pytest.approx(np.mean(hits))
    assert report.typing.support == (3, 3, 1)
    assert report.typing.majority == pytest.approx(3 / 7)
    np.testing.assert_array_equal(
        np.array(report.typing.confusion)[:, :3],
        [[sum(r == g and int(np.argmax(s)) == p for s, r in zip(shares, right, strict=True)) for p in range(3)] for g in range(3)],
    )  # fmt: skip


def test_baselines_give_the_commonest_type_to_all(typer):
    rows = [*ROWS, labelled("[Bergen|location] is wet.")]
    runs, every = evaluate_entities(typer, rows).baselines
    assert runs.name == "every capitalised run is location"
    assert every.name == "every candidate is location"
    # runs: Maria Lopez, Norway; The Bank, Oslo, Tom; We, Paris, Rome; Nobody; Bergen
    assert (runs.true, runs.predicted, runs.gold) == (4, 10, 8)
    # names: Maria Lopez, Norway; Bank of Oslo, Tom; Paris, Rome; Bergen
    assert (every.true, every.predicted, every.gold) == (4, 7, 8)


def test_progress_counts_the_texts(typer):
    seen: list[tuple[int, int]] = []
    rows = ROWS * 14
    evaluate_entities(typer, rows, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 70), (70, 70)]


def test_texts_in_parts_give_what_one_text_gives(typer):
    once, often = evaluate_entities(typer, ROWS), evaluate_entities(typer, ROWS * 14)
    assert (often.found.true, often.found.predicted) == (once.found.true * 14, once.found.predicted * 14)  # fmt: skip
    assert often.typing.accuracy == pytest.approx(once.typing.accuracy)


def test_texts_without_an_entity_are_refused(typer):
    message = (
        r"^The texts have no entity of the prompt's types; "
        r"name theirs with --types THEIRS=OURS\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        evaluate_entities(typer, ROWS[-1:])


def test_a_text_without_words_costs_nothing(typer):
    rows = [labelled("?!"), LabelledText("", ()), *ROWS]
    report = evaluate_entities(typer, rows)
    expected = evaluate_entities(typer, ROWS)
    assert (report.found.true, report.found.predicted, report.found.gold) == (
        expected.found.true, expected.found.predicted, expected.found.gold,
    )  # fmt: skip


def test_the_shipped_sample_is_typed_better_than_by_chance(typer, sample):
    report = evaluate_entities(typer, sample)
    assert report.typing.accuracy_interval[0] > report.typing.majority
    assert report.found.gold == sum(len(row.entities) for row in sample)
    for baseline in report.baselines:
        assert report.found.f1 > baseline.f1
        assert report.found.interval[0] > baseline.interval[1]
    assert report.candidate_recall > report.found.recall
