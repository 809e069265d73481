"""The live path runs a prompt once; its cache is bounded; threads get each their own answer."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import Prompt, Prompting, ScoringOptions, Template, Verbalizer
from playground.engine.encoding import Encoded
from playground.engine.runner import Runner, WordTable
from playground.prompts import AGGREGATIONS
from playground.settings import Settings

TEXT = "I really like the film a lot."
CORPUS = ("The film was good.", "Two women are talking.")


def _cost(model: Prompting, row, prompt: Prompt) -> int:
    """Return how many prompts the model runs to explain ``row``."""
    before = model.runner.prompts_run
    model.explain(row, prompt)
    return model.runner.prompts_run - before


@pytest.fixture
def fresh(folder_of):
    """A tiny model that has run nothing yet."""
    return Prompting(folder_of("bert"), threads=1, settings=Settings(cache_mb=8))


# ---- edits cost no forward ----------------------------------------------------------------------


def test_a_text_runs_once_with_its_content_free_twins(fresh, make_prompt):
    assert _cost(fresh, TEXT, make_prompt()) == 1 + 3
    assert _cost(fresh, TEXT, make_prompt()) == 0
    assert _cost(fresh, f"  {TEXT}\n", make_prompt()) == 0  # outer white space is no new prompt
    assert _cost(fresh, "Another text.", make_prompt()) == 1
    assert _cost(fresh, TEXT, make_prompt("{text} It was {mask}!")) == 1 + 3


EDITS = [
    {"labels": {"positive": ["great"], "negative": ["bad"]}},
    {"labels": {"positive": ["great", "happy"], "negative": ["bad", "sad"], "so": ["so"]}},
    {"labels": {"positive": [("great", 0.5), "good"], "negative": ["awful", ("bad", 7)]}},
    {"labels": {"good": ["awful"], "bad": ["great"]}},
    *({"aggregation": method} for method in AGGREGATIONS),
    {"calibration": "contextual"},
    {"calibration": "contextual", "content_free": ("N/A",)},
    {"calibration": "contextual", "aggregation": "logit_sum"},
    {"calibration": "domain"},  # the template without its text, which is content-free
    {"fill_order": "parallel", "pieces": "mean"},
]


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edit_of_words_or_scoring_runs_no_prompt(edit, fresh, make_prompt):
    fresh.explain(TEXT, make_prompt())
    assert _cost(fresh, TEXT, make_prompt(**edit)) == 0


@pytest.mark.parametrize(
    ("options", "cost"),
    [
        ({"calibration": "domain", "domain": "A film: it was {mask}."}, 1),
        ({"calibration": "corpus", "prior_texts": CORPUS}, 2),
        ({"calibration": "contextual", "content_free": ("", "N/A", "other")}, 1),
    ],
)
def test_a_new_prior_runs_once_and_its_edits_never(options, cost, fresh, make_prompt):
    fresh.explain(TEXT, make_prompt())
    assert _cost(fresh, TEXT, make_prompt(**options)) == cost
    assert _cost(fresh, TEXT, make_prompt(**options)) == 0
    labels = {"positive": [("good", 3)], "negative": ["bad", "sad"]}
    assert _cost(fresh, TEXT, make_prompt(labels=labels, aggregation="max", **options)) == 0


def test_a_new_word_of_several_pieces_runs_once(fresh, make_prompt):
    fresh.explain(TEXT, make_prompt())
    split = {"positive": ["great", "fantastic"], "negative": ["bad"]}
    pieces = len(fresh.backbone.encoder.pieces("fantastic"))
    # the text and its three content-free twins, one pass a piece
    assert _cost(fresh, TEXT, make_prompt(labels=split)) == 4 * pieces
    assert _cost(fresh, TEXT, make_prompt(labels=split)) == 0
    more = {"positive": ["good", ("fantastic", 0.1)], "negative": ["bad", "awful"]}
    assert _cost(fresh, TEXT, make_prompt(labels=more, aggregation="sum", pieces="mean")) == 0


def test_filling_scoring_and_explaining_share_the_cache(fresh, make_prompt):
    fresh.explain(TEXT, make_prompt())
    before = fresh.runner.prompts_run
    fresh.fill(f"{TEXT} Because it was {{mask}}.")
    fresh.prompt_pred(f"{TEXT} Because it was [MASK].")
    fresh.score_words(f"{TEXT} Because it was {{mask}}.", ["great", "bad"])
    assert fresh.runner.prompts_run == before


def test_the_batch_path_leaves_the_cache_alone(fresh, make_prompt):
    rows = [f"text {number}" for number in range(20)]
    fresh.classify(rows, make_prompt())
    assert fresh.runner.prompts_run == 20
    assert _cost(fresh, rows[0], make_prompt()) == 4


# ---- the cache is bounded -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_cache(folder_of):
    """The shipped model with room for 12 distributions of 20,000 floats, with their prompts."""
    return Prompting(folder_of("shipped"), threads=1, settings=Settings(cache_mb=1))


def test_the_cache_is_bounded_and_forgets_the_oldest(small_cache):
    held = small_cache.runner._logits
    room = (1 << 20) // (4 * small_cache.backbone.vocabulary_size + (1 << 11))
    texts = [f"Text number {number} was {{mask}}." for number in range(room + 5)]
    for text in texts:
        small_cache.fill(text)
        assert held.nbytes <= 1 << 20
    assert len(held) == room

    def cost(text: str) -> int:
        before = small_cache.runner.prompts_run
        small_cache.fill(text)
        return small_cache.runner.prompts_run - before

    assert [cost(text) for text in texts[-room:]] == [0] * room
    assert cost(texts[0]) == 1


def test_without_a_cache_the_numbers_are_the_same(folder_of, fresh, make_prompt):
    bare = Prompting(folder_of("bert"), threads=1, settings=Settings(cache_mb=0))
    labels = {"positive": ["great", "fantastic"], "negative": ["bad"]}
    prompt = make_prompt(labels=labels, calibration="contextual")
    for _ in range(2):
        got, expected = bare.explain(TEXT, prompt), fresh.explain(TEXT, prompt)
        assert got.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    assert len(bare.runner._logits) == 0


# ---- both paths agree ---------------------------------------------------------------------------

SCORINGS = [
    {"aggregation": method, **calibration}
    for method in AGGREGATIONS
    for calibration in (
        {},
        {"calibration": "contextual"},
        {"calibration": "domain", "domain": "A film: it was {mask}."},
        {"calibration": "corpus", "prior_texts": CORPUS},
    )
    if not (method == "logit_sum" and calibration.get("calibration") == "corpus")
]


@pytest.mark.parametrize("options", SCORINGS, ids=str)
@pytest.mark.parametrize("kind", ["shipped", "roberta"])
def test_classify_and_explain_agree(kind, options, open_model, make_prompt):
    model = open_model(kind)
    labels = {"positive": [("great", 2), "good"], "negative": ["awful", ("bad", 0.5)], "x": ["sad"]}
    prompt = make_prompt(labels=labels, **options)
    rows = [TEXT, "", "The food was bad and the service was slow."]
    scores = model.classify(rows, prompt)
    columns = model.classify(rows, prompt, words=False)
    assert columns.probabilities == pytest.approx(scores.probabilities, abs=1e-5)
    for n, row in enumerate(rows):
        shown = model.explain(row, prompt)
        assert shown.probabilities == pytest.approx(scores.probabilities[n], abs=1e-5)
        assert shown.uncalibrated == pytest.approx(np.exp(scores.label_scores[n]), abs=1e-5)
        assert shown.mass == pytest.approx(scores.mass[n], abs=1e-5)
        assert [word.log_prob for word in shown.words] == pytest.approx(
            scores.word_log_probs[n].tolist(), abs=1e-4
        )
        assert shown.prediction == scores.predictions[n]


# ---- threads ------------------------------------------------------------------------------------


def _jobs() -> list:
    """Return 50 mixed calls, as functions of a model that return numbers."""
    verbalizers = [
        Verbalizer({"positive": ["great", "good"], "negative": ["awful", "bad"]}),
        Verbalizer({"happy": ["happy", "fantastic"], "sad": ["sad"]}),
    ]
    options = [ScoringOptions(), ScoringOptions(calibration="contextual", aggregation="sum")]
    jobs = []
    for number in range(50):
        noun = ("film", "food", "service", "movie", "story", "book", "price")[number % 7]
        text = f"The {noun} was " + "really " * (number % 5)
        prompt = Prompt(
            Template(["{text} It was {mask}.", "{mask}: {text}"][number % 2]),
            verbalizers[number % 3 == 0],
            options[number % 4 == 1],
        )
        jobs.append(
            [
                lambda m, t=text, p=prompt: m.explain(t, p).probabilities.tolist(),
                lambda m, t=text, p=prompt: m.classify([t, "", t * 3], p).probabilities.tolist(),
                lambda m, t=text, p=prompt: m.classify([t], p, words=False).probabilities.tolist(),
                lambda m, t=text: [f.probability for f in m.fill(f"{t} {{mask}}", top_k=3)],
                lambda m, t=text: [w.log_prob for w in m.score_words(f"{t} {{mask}}", ["good"])],
            ][number % 5]
        )
    return jobs


@pytest.mark.parametrize("cache_mb", [0, 1, 8])
def test_eight_threads_get_the_answers_of_one(cache_mb, folder_of):
    jobs = _jobs()
    alone = Prompting(folder_of("bert"), threads=1)
    expected = [job(alone) for job in jobs]
    shared = Prompting(folder_of("bert"), threads=1, settings=Settings(cache_mb=cache_mb))

    def work(seed: int) -> list[int]:
        order = np.random.default_rng(seed).permutation(len(jobs))
        return [
            int(k)
            for k in order
            if not np.allclose(jobs[k](shared), expected[k], atol=1e-5, rtol=1e-5)
        ]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[]] * 8


def test_prompts_are_counted_once_each_by_threads(fresh):
    texts = ["good " * number + "{mask}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fresh.fill, texts))
    assert fresh.runner.prompts_run == 40


# ---- parts --------------------------------------------------------------------------------------


def test_equal_prompts_of_one_call_run_once(fresh):
    encoded = fresh._free_text("It was {mask}.")
    first, second = fresh.runner.logits([encoded, replace(encoded)])
    assert fresh.runner.prompts_run == 1
    assert torch.equal(first, second)


def test_prompts_of_one_and_two_masks_are_run_together(fresh, plain_of):
    plain = plain_of("bert")
    texts = ["It was {mask}.", "The {mask} was {mask}.", "So {mask}"]
    rows = fresh.runner.logits([fresh._free_text(text) for text in texts])
    for text, logits in zip(texts, rows, strict=True):
        expected = plain.logits(text.replace("{mask}", "[MASK]"))
        assert logits.shape == expected.shape
        assert logits.flatten().tolist() == pytest.approx(expected.flatten().tolist(), abs=1e-4)


@pytest.mark.parametrize(("budget", "sizes"), [(1, [1] * 6), (30, [3, 2, 1]), (1000, [6])])
def test_batches_keep_to_the_budget_of_tokens(budget, sizes, open_model, folder_of):
    backbone = open_model("bert").backbone
    runner = Runner(backbone, Settings(batch_tokens=budget))
    seen: list[int] = []
    watch = backbone.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    lengths = [20, 8, 9, 10, 12, 14]
    prompts = [Encoded((4,) + (9,) * (n - 1), (0,) * n, (0,)) for n in lengths]
    try:
        runner.logits(prompts)
    finally:
        watch.remove()
    assert seen == sizes


def test_a_word_table_gives_raw_logits():
    scores, done = torch.tensor([[-1.0, -2.0]]), torch.ones(1, dtype=torch.bool)
    partition = torch.tensor([math.log(5.0)])
    table = WordTable(scores, partition, done)
    assert table.logits().tolist()[0] == pytest.approx([-1 + math.log(5), -2 + math.log(5)])
    assert WordTable(scores, None, done).logits() is scores
