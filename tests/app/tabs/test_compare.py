"""The Compare tab's own functions: what the columns hold, what they start with, what they measure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from playground import Prompt
from playground.app.registry import Registry
from playground.app.tabs.classify import default_prompt
from playground.app.tabs.columns import OPTIONS, SHOWN, Compare, offered, starting_prompts
from playground.app.tabs.evaluate import sample
from playground.app.tabs.measure import OPEN_ROWS, measured
from playground.errors import PlaygroundError
from playground.prompts import ScoringOptions
from playground.settings import Settings
from playground.tasks.evaluation import Candidate, evaluate, read_labelled

WORDS = "positive: great\nnegative: awful"
CORPUS = "Corpus calibration needs unlabelled texts: set them in Classify, then take it from there."


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(Settings())


def board(
    registry, *boxes: tuple[str, str, str, str], shown=SHOWN, options=OPTIONS, text="A film."
):
    """Return a page of the given columns; the others hold nothing."""
    filled = [*boxes, *[("", "", "", "none")] * (4 - len(boxes))]
    return Compare(registry, shown, options, text, "", *(value for box in filled for value in box))


A = ("{text} It was {mask}.", WORDS, "", "none")
B = ("{text} All in all, it was {mask}.", WORDS, "", "contextual")


def test_each_column_gives_the_engines_scores(registry, prompting):
    page = board(registry, A, B)
    for side, (source, words, _, calibration) in zip(page.sides(), (A, B), strict=True):
        prompt = Prompt.from_json({"templates": [source], "labels": {"positive": ["great"], "negative": ["awful"]},
                                   "scoring": {"calibration": calibration}})  # fmt: skip
        assert prompt.verbalizer.to_text() == words
        wanted = prompting.explain("A film.", prompt)
        assert side.found.probabilities == pytest.approx(wanted.probabilities, abs=1e-6)


def test_only_the_shown_columns_count(registry):
    page = board(registry, A, ("", "", "", "none"), B, shown=(True, False, True, False))
    assert [letter for letter, _, _ in page.prompts()] == ["A", "C"]


def test_the_choices_without_a_box_are_kept(registry):
    kept = ScoringOptions(aggregation="max", prior_texts=("one", "two"))
    page = board(registry, A, (*B[:3], "corpus"), options=(ScoringOptions(), kept, *OPTIONS[2:]))
    (_, first, _), (_, second, _) = page.prompts()
    assert first.scoring == ScoringOptions()
    assert second.scoring == replace(kept, calibration="corpus")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ((("no gap", WORDS, "", "none"), B), "Prompt A: The template has no {mask};"),
        ((A, (B[0], "", "", "none")), "Prompt B: There are no label words;"),
        ((A, (*B[:3], "corpus")), f"Prompt B: {CORPUS}"),
        ((A, (*B[:3], "none "),), 'Prompt B: calibration is "none"; it must be one of'),
    ],
)  # fmt: skip
def test_a_wrong_column_is_named(registry, boxes, message):
    with pytest.raises(PlaygroundError) as error:
        board(registry, *boxes).prompts()
    assert str(error.value).startswith(message)


def test_the_columns_start_with_other_templates_of_the_card():
    prompt = default_prompt()
    found = starting_prompts(prompt)
    card = Prompt.load("sentiment")
    assert [one.template for one in found] == list(card.templates[:4])
    assert {one.verbalizer for one in found} == {prompt.verbalizer}
    own = Prompt(prompt.template, Prompt.load("nli").verbalizer)
    assert starting_prompts(own) == [own] * 4  # no card has these labels with such a template


def test_a_link_opens_with_a_model_that_is_offered_here():
    hosted = Registry(replace(Settings(), hosted=True, models="a"))
    assert [offered(hosted, name) for name in ("", "a", "bert")] == ["playground-mini", "a", "playground-mini"]  # fmt: skip
    assert offered(Registry(Settings()), "bert") == "bert"


# ---- on rows ------------------------------------------------------------------------------------


def test_our_reviews_get_the_engines_numbers_from_each_prompt(registry, prompting):
    page = board(registry, A, B)
    parts = list(measured(page, "reviews", None, "gone", None, "gone", "no mapping"))
    assert [part.measured.done for part in parts] == [64, 128, 192, 200]
    prompts = [prompt for _, prompt, _ in page.prompts()]
    labelled = read_labelled(sample("reviews").table, prompts[0])
    wanted = evaluate(prompting, [Candidate("", prompt) for prompt in prompts], labelled)
    names = [result.name for result in parts[-1].measured.results]
    assert names == [f"A · {A[0]} · none", f"B · {B[0]} · contextual"]
    for found, alone in zip(parts[-1].measured.results, wanted, strict=True):
        assert found.metrics.accuracy == alone.metrics.accuracy
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_what_cannot_be_measured_says_why(registry):
    other = (B[0], "yes: yes\nno: no", "", "none")
    with pytest.raises(PlaygroundError, match=r"^Prompt B has the labels yes, no and Prompt A has"):
        next(measured(board(registry, A, other), "reviews", None, None, None, None, ""))
    with pytest.raises(PlaygroundError, match=r"^The rows are gone from the page's memory; open"):
        next(measured(board(registry, A, B), OPEN_ROWS, None, "text", None, "label", ""))
    with pytest.raises(PlaygroundError, match=r"^There is no such sample set; open a file, or"):
        next(measured(board(registry, A, B), "../../etc", None, "text", None, "label", ""))
