"""The search for a template: exact numbers, typed templates, and a loss that only falls."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from playground import Prompt, Prompting, Template, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks.evaluation import LabelledRows
from playground.tasks.held_out import changes, split_rows
from playground.tasks.template_search import search_template
from tests.engine import tiny

ROWS = [{"text": text} for text in (
    "I really like the film a lot.", "We loved the music.", "What a great day!",
    "She said that the book was wonderful.", "The food was bad.", "They hated the noise.",
    "What an awful night!", "He said that it was dull.",
)]  # fmt: skip
GOLD = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PROMPT = Prompt(
    Template("{text} Because it was {mask}."),
    Verbalizer({"positive": ["great", "good"], "negative": ["awful", "bad"]}),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tiny random model: quick, and every word is as strange to it as any other."""
    return Prompting(tiny.save("bert", tmp_path_factory.mktemp("models") / "bert"), threads=1)


def run(prompting, *, rows=ROWS, gold=GOLD, prompt=PROMPT, **options):
    options = {"triggers": 2, "steps": 4, "candidates": 5} | options
    return list(search_template(prompting, prompt, rows, gold, **options))


def test_each_step_has_the_numbers_of_its_template(small):
    steps = run(small)
    assert [step.step for step in steps] == [0, 1, 2, 3, 4]
    assert steps[0].words == ("the", "the")
    for step in steps:
        assert step.template.source == f"{{text}} {' '.join(step.words)} {{mask}}."
        scores = small.classify(ROWS, PROMPT.with_template(step.template))
        gold = scores.probabilities[np.arange(8), GOLD]
        assert step.loss == pytest.approx(-np.log(gold).mean(), abs=1e-6)
        assert step.accuracy == (scores.probabilities.argmax(1) == GOLD).mean()


def test_the_loss_falls_where_a_step_is_kept_and_stays_elsewhere(small):
    steps = run(small, steps=8)
    assert any(step.kept for step in steps)
    for before, after in itertools.pairwise(steps):
        assert (after.loss < before.loss) == after.kept
        assert (after.template == before.template) != after.kept
        assert sum(a != b for a, b in zip(before.words, after.words, strict=True)) == after.kept
        assert after.tried + after.dropped == 5


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_what_is_found_reads_back_as_the_same_tokens(kind, tmp_path):
    model = Prompting(tiny.save(kind, tmp_path / kind), threads=1)
    last = run(model, steps=3)[-1]
    assert last.loss < run(model, steps=1)[0].loss
    ids = [word.ids[0] for word in model.vocabulary.encode_words(last.words)]
    for row in ROWS:
        encoded = model.backbone.encoder.encode_one(Template(last.template.source).render(row))
        end = encoded.mask_positions[0]
        assert any(list(encoded.ids[e - 2 : e]) == ids for e in (end, end - 1))


def test_a_step_takes_the_best_of_its_candidates(small):
    """With every word a candidate, one step finds the best single word by trying all of them."""
    words = [
        w for w in small.vocabulary.single_words() if w not in ("great", "good", "awful", "bad")
    ]
    (_, step) = run(small, triggers=1, steps=1, candidates=1000)
    losses = {}
    for word in words:
        chosen = PROMPT.with_template(f"{{text}} {word} {{mask}}.")
        gold = small.classify(ROWS, chosen, words=False).probabilities[np.arange(8), GOLD]
        losses[word] = -np.log(gold).mean()
    assert step.words == (min(losses, key=lambda word: losses[word]),)
    assert step.tried + step.dropped == len(words) - 1


def test_the_gradient_points_to_better_words_than_chance(prompting):
    """Of 40 candidates the mean loss is below that of 40 words drawn blindly."""
    rng = np.random.default_rng(0)
    words = prompting.vocabulary.single_words()
    start = run(prompting, steps=1, triggers=1, candidates=1)[0]

    def loss(word):
        chosen = PROMPT.with_template(f"{{text}} {word} {{mask}}.")
        gold = prompting.classify(ROWS, chosen, words=False).probabilities[np.arange(8), GOLD]
        return -np.log(gold).mean()

    found = run(prompting, steps=1, triggers=1, candidates=40)[-1]
    blind = [loss(word) for word in rng.choice(words, 40, replace=False)]
    assert found.loss <= start.loss
    assert found.loss < np.median(blind)


def test_the_same_seed_finds_the_same(small):
    one, same = (run(small, seed=3) for _ in range(2))
    assert [step.template for step in one] == [step.template for step in same]
    assert one[-1].loss == same[-1].loss


def test_label_words_are_no_triggers(small):
    words = {word for step in run(small, steps=10, candidates=30) for word in step.words}
    assert not words & {"great", "good", "awful", "bad"}


def test_a_template_of_two_texts_keeps_both(small):
    pair = Prompt(Template("{text_a}? {mask}, {text_b}"), PROMPT.verbalizer)
    rows = [{"text_a": row["text"], "text_b": "It was good."} for row in ROWS]
    last = run(small, prompt=pair, rows=rows, steps=2)[-1]
    assert last.template.source == f"{{text_a}} {{text_b}} {' '.join(last.words)} {{mask}}."


def test_a_found_template_is_measured_on_rows_not_searched_on(prompting):
    whole = LabelledRows("The test", PROMPT.verbalizer.names, ROWS, GOLD)
    split = split_rows(whole, shots=2)
    last = run(prompting, rows=split.search.rows, gold=split.search.gold, steps=1)[-1]
    after = PROMPT.with_template(last.template)
    change = changes(
        prompting, PROMPT, after, split.held_out, searched=last.searched, calibrations=["none"]
    )[0]
    expected = prompting.classify(split.held_out.rows, PROMPT.with_template(last.template))
    assert change.after.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    with pytest.raises(
        PlaygroundError, match=r"^4 of the rows to measure on were searched on, such"
    ):
        changes(prompting, PROMPT, after, whole, searched=last.searched)


SPLIT = Verbalizer({"positive": ["unputdownable"], "negative": ["bad"]})
LONG = [*ROWS[:4], {"text": "x" * 30_000}]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"triggers": 0}, r"^triggers is 0; it must be from 1 to 10\.$"),
        ({"steps": 10_001}, r"^steps is 10,001; it must be from 1 to 10,000\.$"),
        ({"candidates": 0}, r"^candidates is 0; it must be from 1 to 1,000\.$"),
        ({"gold": GOLD[:2]}, r"^There are 8 rows and 2 labels; give one each\.$"),
        ({"gold": GOLD * 0}, r'^No row that can be scored has the label "negative"; a template is'),
        ({"rows": LONG, "gold": GOLD[:5]}, r'^No row that can be scored has the label "negative"'),
        ({"prompt": replace(PROMPT, verbalizer=SPLIT)}, r'^Label word "unputdownable" is \d+ pieces and'),
        ({"prompt": Prompt(Template("It is {mask}."), PROMPT.verbalizer)}, r'^The template "It is \{mask\}\." takes'),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_says_why(prompting, options, sentence):
    with pytest.raises(PlaygroundError, match=sentence):
        run(prompting, **options)
