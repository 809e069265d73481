"""Typing spans: the mean of what each template says, against the plain engine and plain transformers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import Prompt, ScoringOptions, Template
from playground.errors import PlaygroundError
from playground.tasks.entities import PRIORS, EntityTyper, Span
from playground.tasks.entities.spans import all_spans, name_spans
from playground.tasks.entities.typing import margins
from tests.tasks.entities.conftest import TEMPLATES, TYPES

MODELS = ("bert", "roberta", "xlm-roberta", "shipped")
TEXT = "The man said that Paris is a great place, and that Rome is not."
OTHERS = ("My friend likes Rome. Ana likes soup and bread.", "Paris met Paris in Paris.", TEXT)
CLOSE = {"rtol": 0, "atol": 1e-5}


def row_of(text: str, span: Span) -> dict[str, str]:
    """Return what fills a template for a span of a short text."""
    return {
        "text": text,
        "span": text[span.start : span.end],
        "before": text[: span.start],
        "after": text[span.end :],
    }


def alone(text: str, span: Span) -> dict[str, str]:
    words = text[span.start : span.end]
    return {"text": words, "span": words, "before": "", "after": ""}


def normalised(values: np.ndarray) -> np.ndarray:
    return values - np.logaddexp.reduce(values, axis=1, keepdims=True)


def log_probs(prompting, prompt: Prompt, template: Template, rows, calibration: str) -> np.ndarray:
    """Return the label log-probabilities of one template by the plain path of the engine, (S, C)."""
    own = Prompt(template, prompt.verbalizer, replace(prompt.scoring, calibration=calibration))
    return np.log(prompting.classify(rows, own).probabilities)


def expected(prompting, prompt: Prompt, text: str, spans, prior: str) -> np.ndarray:
    rows = [row_of(text, span) for span in spans]
    calibration = "contextual" if prior == "contextual" else "none"
    found = [log_probs(prompting, prompt, t, rows, calibration) for t in prompt.templates]
    if prior == "span":
        lone = [alone(text, span) for span in spans]
        found = [
            normalised(one - log_probs(prompting, prompt, t, lone, "none"))
            for one, t in zip(found, prompt.templates, strict=True)
        ]
    return normalised(sum(found) / len(found))


# ---- numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", list(PRIORS))
@pytest.mark.parametrize("kind", MODELS)
def test_scores_are_the_mean_of_what_each_template_says(
    kind, prior, open_model, make_typing_prompt
):
    prompting, prompt = open_model(kind), make_typing_prompt()
    typed = EntityTyper(prompting, prompt, prior=prior).type_text(TEXT)
    assert [typed.words(i) for i in range(len(typed))] == ["Paris", "Rome"]
    assert typed.labels == ("person", "place", "none")
    assert typed.types == ("person", "place")
    numbers = expected(prompting, prompt, TEXT, typed.spans, prior)
    np.testing.assert_allclose(typed.log_probs, numbers, **CLOSE)
    np.testing.assert_allclose(np.exp(typed.log_probs).sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(typed.margins[:, :2], numbers[:, :2] - numbers[:, 2:], **CLOSE)
    assert np.isneginf(typed.margins[:, 2]).all()


@pytest.mark.parametrize("prior", list(PRIORS))
def test_the_shipped_card_scores_the_same_by_hand(prior, prompting, entity_card):
    text = "Maria Lopez moved to Norway and works for Siemens."
    typed = EntityTyper(prompting, entity_card, prior=prior).type_text(text)
    numbers = expected(prompting, entity_card, text, typed.spans, prior)
    np.testing.assert_allclose(typed.log_probs, numbers, **CLOSE)


@pytest.mark.parametrize("kind", ["bert", "shipped"])
def test_scores_are_those_of_plain_transformers(kind, open_model, plain_of, make_typing_prompt):
    """Two filled prompts written out by hand, the mean of the words' probabilities at their masks."""
    plain, prompting = plain_of(kind), open_model(kind)
    labels = {"person": ["man"], "place": ["room", "story"], "none": ["film", "good", "bad"]}
    prompt = make_typing_prompt(*TEMPLATES[:2], labels=labels)
    typed = EntityTyper(prompting, prompt, prior="none").type_text(TEXT, candidates=[(18, 23)])
    mask = plain.mask
    filled = [
        f"The man said that the {mask} Paris is a great place, and that Rome is not.",
        f"{TEXT} Paris is a {mask}.",
    ]
    logs = []
    for one in filled:
        shares = plain.log_probs(one).exp()
        means = [
            torch.stack([shares[plain.word_id(w)] for w in ws]).mean() for ws in labels.values()
        ]
        logs.append(torch.stack(means).log().log_softmax(-1))
    numbers = torch.stack(logs).mean(0).log_softmax(-1).numpy()
    np.testing.assert_allclose(typed.log_probs[0], numbers, atol=1e-5)


def test_the_margin_is_how_much_likelier_a_type_is_than_none():
    shares = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]])
    found = margins(np.log(shares), ("person", "place", "None "))
    np.testing.assert_allclose(found[:, :2], np.log(shares[:, :2] / shares[:, 2:]))
    assert np.isneginf(found[:, 2]).all()


def test_two_none_types_count_together():
    shares = np.array([[0.4, 0.1, 0.5]])
    found = margins(np.log(shares), ("none", "NONE", "person"))
    assert found[0].tolist() == [-np.inf, -np.inf, pytest.approx(0.0)]


def test_without_a_none_type_the_margin_is_the_log_odds():
    shares = np.array([[0.5, 0.2, 0.3], [0.9, 0.05, 0.05]])
    found = margins(np.log(shares), ("person", "place", "team"))
    np.testing.assert_allclose(found, np.log(shares / (1 - shares)))
    assert np.isfinite(margins(np.array([[0.0, -80.0]]), ("a", "b"))).all()


def test_a_card_without_none_types_spans_by_their_log_odds(open_model, make_typing_prompt):
    labels = {name: words for name, words in TYPES.items() if name != "none"}
    typed = EntityTyper(open_model("bert"), make_typing_prompt(labels=labels)).type_text(TEXT)
    shares = np.exp(typed.log_probs)
    np.testing.assert_allclose(typed.margins, np.log(shares / (1 - shares)), atol=1e-6)
    label, margin = typed.best(0)
    assert label == typed.labels[int(shares[0].argmax())]
    assert margin == typed.margins[0].max() > 0


# ---- the same score wherever a span stands ----------------------------------------------------------


@pytest.mark.parametrize("prior", list(PRIORS))
@pytest.mark.parametrize("kind", ["roberta", "shipped"])
def test_a_span_scores_the_same_alone_and_among_others(kind, prior, open_model, make_typing_prompt):
    typer = EntityTyper(open_model(kind), make_typing_prompt(), prior=prior)
    many = typer.type_texts(OTHERS, candidates=["all", "names", "all"])
    for text, typed in zip(OTHERS, many, strict=True):
        assert typed.text == text
        one = typer.type_text(text)
        assert one.spans == tuple(name_spans(text))
        places = [typed.spans.index(span) for span in one.spans]
        np.testing.assert_allclose(typed.log_probs[places], one.log_probs, **CLOSE)
        for k, span in enumerate(one.spans):
            lone = typer.type_text(text, candidates=[(span.start, span.end)])
            np.testing.assert_allclose(lone.log_probs[0], one.log_probs[k], **CLOSE)


def test_equal_names_of_a_text_have_their_own_contexts(open_model, make_typing_prompt):
    typer = EntityTyper(open_model("bert"), make_typing_prompt(TEMPLATES[0]))
    typed = typer.type_text("Paris saw Paris.")
    assert typed.spans == (Span(0, 5), Span(10, 15))
    rows = [typer.explain(typed, place)[0][1] for place in (0, 1)]
    assert rows == [
        {"before": "", "span": "Paris", "after": " saw Paris."},
        {"before": "Paris saw ", "span": "Paris", "after": "."},
    ]
    assert np.abs(typed.log_probs[0] - typed.log_probs[1]).max() > 1e-3


def test_equal_prompts_are_run_once(prompting, make_typing_prompt):
    typer = EntityTyper(prompting, make_typing_prompt("The {mask} {span}.", "{span} is a {mask}."))
    before = prompting.runner.prompts_run
    typed = typer.type_texts(["Paris saw Paris.", "Rome and Paris"], candidates=["names"] * 2)
    assert prompting.runner.prompts_run - before == 4  # two names, two templates
    assert [one.prompts for one in typed] == [4, 4]
    np.testing.assert_array_equal(typed[0].log_probs[0], typed[0].log_probs[1])
    np.testing.assert_array_equal(typed[0].log_probs[0], typed[1].log_probs[1])


@pytest.mark.parametrize(("prior", "count"), [("none", 6), ("contextual", 6), ("span", 10)])
def test_each_prior_runs_as_many_prompts_as_it_says(prior, count, prompting, make_typing_prompt):
    # of the span alone: both templates in the sentence, and the last, which is the same prompt again
    typer = EntityTyper(prompting, make_typing_prompt(), prior=prior)
    before = prompting.runner.prompts_run
    typed = typer.type_text(TEXT)
    assert (typed.prompts, prompting.runner.prompts_run - before) == (count, count)
    assert typed.batches >= 1
    assert typed.seconds > 0


def test_the_scoring_of_the_card_is_kept_but_for_its_calibration(prompting, make_typing_prompt):
    plain = make_typing_prompt(TEMPLATES[2])
    best = make_typing_prompt(TEMPLATES[2], aggregation="max", calibration="contextual")
    typed = EntityTyper(prompting, best, prior="none").type_text(TEXT)
    rows = [{"span": "Paris"}, {"span": "Rome"}]
    own = Prompt(best.template, best.verbalizer, ScoringOptions(aggregation="max"))
    numbers = np.log(prompting.classify(rows, own).probabilities)
    np.testing.assert_allclose(typed.log_probs, numbers, **CLOSE)
    others = EntityTyper(prompting, plain, prior="none").type_text(TEXT)
    assert np.abs(others.log_probs - typed.log_probs).max() > 1e-3


# ---- the words around a span ------------------------------------------------------------------------


def test_no_more_of_the_text_is_read_than_the_context(open_model, make_typing_prompt):
    typer = EntityTyper(
        open_model("bert"),
        make_typing_prompt("{text} {before}{mask} {span}{after}"),
        context_words=2,
    )
    text = "one two, three Paris, four five. Six"
    typed = typer.type_text(text, candidates=[(15, 20), (0, 3), (33, 36)])
    windows = [typer.explain(typed, place)[0][1] for place in range(3)]
    assert windows == [
        {"text": "one two, three ", "before": "", "span": "one", "after": " two, three "},
        {"text": "two, three Paris, four five. ", "before": "two, three ", "span": "Paris", "after": ", four five. "},
        {"text": "four five. Six", "before": "four five. ", "span": "Six", "after": ""},
    ]  # fmt: skip


def test_what_stands_outside_the_context_changes_no_score(open_model, make_typing_prompt):
    typer = EntityTyper(open_model("bert"), make_typing_prompt(), context_words=3)
    texts = [
        f"{far} we really like Paris in the park {far}"
        for far in ("good food", "bad weather today")
    ]
    near = "so we all like Paris in the park now"
    (one, other), nearer = (
        [typer.type_text(text).log_probs[-1] for text in texts],
        typer.type_text(near).log_probs[0],
    )
    np.testing.assert_allclose(one, other, **CLOSE)
    assert np.abs(one - nearer).max() > 1e-3


def test_a_word_at_the_end_of_a_long_text_is_typed_by_its_neighbours(prompting, entity_card):
    typer = EntityTyper(prompting, entity_card)
    typed = typer.type_text("so it goes " * 300 + "and we flew to Norway last week.")
    ((_, row), *_) = typer.explain(typed, 0)
    assert row["before"].split() == [*("so it goes " * 12).split(), "and", "we", "flew", "to"][-40:]
    assert typed.best(0)[0] == "location"


@pytest.mark.parametrize("words", [0, 1])
@pytest.mark.parametrize("place", [(1, 3), (2, 8), (4, 5), (0, 9)])
def test_a_span_that_cuts_words_stands_whole_in_its_context(
    words, place, open_model, make_typing_prompt
):
    typer = EntityTyper(open_model("bert"), make_typing_prompt(TEMPLATES[1]), context_words=words)
    text = "abcd! efg hij"
    typed = typer.type_text(text, candidates=[place])
    (row,) = (row for _, row in typer.explain(typed, 0))
    assert row["span"] == text[slice(*place)]
    assert row["span"] in row["text"]


# ---- candidates -------------------------------------------------------------------------------------


def test_given_candidates_are_typed_as_they_are_given(open_model, make_typing_prompt):
    typer = EntityTyper(open_model("bert"), make_typing_prompt())
    typed = typer.type_text(TEXT, candidates=[(18, 23), (4, 7), (4, 23)])
    assert [typed.words(i) for i in range(3)] == ["man", "man said that Paris", "Paris"]
    assert typed.log_probs.shape == typed.margins.shape == (3, 3)


def test_all_candidates_take_the_most_words(open_model, make_typing_prompt):
    typer = EntityTyper(open_model("bert"), make_typing_prompt())
    typed = typer.type_text("Paris is good", candidates="all", most_words=2)
    assert list(typed.spans) == all_spans("Paris is good", most_words=2)


@pytest.mark.parametrize("prior", list(PRIORS))
def test_no_candidate_is_no_score(prior, prompting, make_typing_prompt):
    typer = EntityTyper(prompting, make_typing_prompt(), prior=prior)
    before = prompting.runner.prompts_run
    for typed in (
        typer.type_text("all in lower case"),
        typer.type_text("Paris", candidates=[]),
        typer.type_text("", candidates=()),
    ):
        assert (len(typed), typed.spans, typed.prompts) == (0, (), 0)
        assert typed.log_probs.shape == typed.margins.shape == (0, 3)
    assert typer.type_texts([], candidates=[]) == []
    assert prompting.runner.prompts_run == before


def test_a_text_without_candidates_among_others(prompting, make_typing_prompt):
    typer = EntityTyper(prompting, make_typing_prompt())
    none, some = typer.type_texts(["nobody here", TEXT], candidates=["names", "names"])
    assert (len(none), len(some)) == (0, 2)
    np.testing.assert_allclose(some.log_probs, typer.type_text(TEXT).log_probs, **CLOSE)


# ---- errors -----------------------------------------------------------------------------------------


def refused(message: str):
    return pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize("template", ["{text} It is {mask}.", "It is {mask}."])
def test_a_template_without_a_span_is_refused(template, prompting, make_typing_prompt):
    message = (
        f'The template "{template}" has no {{span}}; put {{span}} where the name should stand.'
    )
    with refused(message):
        EntityTyper(prompting, make_typing_prompt(template))
    with refused(message):  # among others, too
        EntityTyper(prompting, make_typing_prompt("{span} {mask}", template))


def test_a_template_of_another_task_is_refused(prompting, make_typing_prompt):
    message = (
        'The template "{premise} {mask} {span}" takes {premise}; one that types spans takes {span}, '
        "{text}, {before} and {after}."
    )
    with refused(message):
        EntityTyper(prompting, make_typing_prompt("{premise} {mask} {span}"))


@pytest.mark.parametrize("labels", [{"none": ["film"], " NONE": ["good"]}])
def test_types_of_nothing_are_refused(labels, prompting, make_typing_prompt):
    with refused("There is no type but none; add one, such as person: man, woman."):
        EntityTyper(prompting, make_typing_prompt(labels=labels))


def test_an_unknown_prior_is_refused(prompting, make_typing_prompt):
    with refused('There is no prior "domain"; choose one of contextual, none, span.'):
        EntityTyper(prompting, make_typing_prompt(), prior="domain")


def test_an_unknown_label_word_is_told_before_a_text_is_typed(open_model, make_typing_prompt):
    labels = TYPES | {"place": ["東京"]}
    with refused('Label word "東京" is unknown to this model; choose another word.'):
        EntityTyper(open_model("bert"), make_typing_prompt(labels=labels))


def test_too_many_candidates_are_refused(prompting, make_typing_prompt):
    typer = EntityTyper(prompting, make_typing_prompt())
    before = prompting.runner.prompts_run
    end = "shorten it, take fewer words a span, or candidates that look like names."
    with refused(f"The text has 9 candidate spans and the most is 8; {end}"):
        typer.type_text("one two three four", candidates="all", most_words=3, most_spans=8)
    with refused(f"The text has 2,994 candidate spans and the most is 2,000; {end}"):
        typer.type_text("word " * 999, candidates="all", most_words=3)
    assert prompting.runner.prompts_run == before


def test_the_most_candidates_are_a_setting(prompting, make_typing_prompt, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_MAX_SPANS", "1")
    typer = EntityTyper(prompting, make_typing_prompt())
    with pytest.raises(
        PlaygroundError, match=r"^The text has 2 candidate spans and the most is 1; "
    ):
        typer.type_text(TEXT)
    assert len(typer.type_text(TEXT, most_spans=2)) == 2


def test_a_text_that_is_too_long_is_refused(prompting, make_typing_prompt):
    typer = EntityTyper(prompting, make_typing_prompt())
    for candidates in ("names", "all", [(0, 5)]):
        with pytest.raises(
            PlaygroundError, match=r"^The text has 20,005 characters; the most is 20,"
        ):
            typer.type_text("Paris" * 4001, candidates=candidates)


@pytest.mark.parametrize(
    ("text", "candidates", "message"),
    [
        ("Paris", "some", 'There are no candidates "some"; choose one of names, names and numbers, all.'),
        ("?!", "names", "The text has no words; write a sentence with a name in it."),
        ("Paris", [(0, 6)], "The span from 0 to 6 does not lie in the text, which has 5 characters; a span has 0 <= start < end."),
    ],
)  # fmt: skip
def test_candidates_that_cannot_be_are_refused(text, candidates, message, prompting, make_typing_prompt):  # fmt: skip
    with refused(message):
        EntityTyper(prompting, make_typing_prompt()).type_text(text, candidates=candidates)
