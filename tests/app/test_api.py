"""The public endpoints, asked as a program would: the engine's numbers, or one clear sentence."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from playground import NliClassifier, Prompt, Prompting, resources
from playground.app.tabs.classify import default_prompt
from playground.prompts import AGGREGATIONS, ScoringOptions, Template, Verbalizer
from tests.app.serving import Site

WORDS = "good: great, fine*0.5\nbad: awful"
SPLIT = "good: great, uplifting*0.5\nbad: awful"


@pytest.fixture(scope="module")
def client(site: Site) -> Client:
    return site.client()


def check(answer: dict, prompting: Prompting, prompt: Prompt, row: dict[str, str]) -> None:
    """Compare an answer of /classify with the engine, number by number."""
    found = prompting.explain(row, prompt)
    assert list(answer) == [
        *("label", "scores", "prior", "words", "mass", "prompt", "tokens", "dropped"),
    ]
    assert answer["label"] == found.prediction
    assert list(answer["scores"]) == list(answer["prior"]) == list(found.labels)
    assert list(answer["scores"].values()) == pytest.approx(list(found.probabilities), abs=1e-6)
    assert list(answer["prior"].values()) == pytest.approx(list(found.prior), abs=1e-6)
    assert [(w["word"], w["label"], w["rank"], tuple(w["pieces"])) for w in answer["words"]] == [
        (w.text, w.label, w.rank, w.pieces) for w in found.words
    ]
    assert [w["probability"] for w in answer["words"]] == pytest.approx(
        [math.exp(w.log_prob) for w in found.words], rel=1e-4
    )
    assert answer["mass"] == pytest.approx(found.mass, rel=1e-4)
    assert answer["prompt"] == prompt.template.fill(row)
    assert (answer["tokens"], answer["dropped"]) == (found.tokens, found.dropped)


def refusal(ask) -> str:
    """Return the sentence with which a call is refused."""
    with pytest.raises(AppError) as error:
        ask()
    return error.value.args[0]


def test_a_text_alone_is_scored_with_the_prompt_of_the_page(client, prompting):
    answer = client.predict("I love this song.", api_name="/classify")
    check(answer, prompting, default_prompt(), {"text": "I love this song."})


def test_prompts_are_compared_as_each_is_scored_alone(client, prompting):
    prompts = [
        {"template": "{text} It was {mask}.", "label_words": WORDS, "name": "first"},
        {"template": "{text_a} {mask} {text_b}", "label_words": "yes: yes\nno: no", "calibration": "none"},
    ]  # fmt: skip
    answers = client.predict("A fine soup.", prompts, "It was hot.", api_name="/compare")
    assert [answer["name"] for answer in answers] == ["first", "prompt 2"]
    rows = ({"text": "A fine soup."}, {"text_a": "A fine soup.", "text_b": "It was hot."})
    for answer, given, row in zip(answers, prompts, rows, strict=True):
        prompt = Prompt(
            Template(given["template"]),
            Verbalizer.from_text(given["label_words"]),
            ScoringOptions(calibration=given.get("calibration", "contextual")),
        )
        found = prompting.explain(row, prompt)
        assert list(answer["scores"].values()) == pytest.approx(found.probabilities, abs=1e-6)
        assert list(answer["prior"].values()) == pytest.approx(found.prior, abs=1e-6)
        assert answer["mass"] == pytest.approx(found.mass, rel=1e-4)
        assert (answer["label"], answer["prompt"]) == (found.prediction, prompt.template.fill(row))
        assert answer["model"] == "playground-mini"


@pytest.mark.parametrize("calibration", ["none", "contextual", "domain"])
@pytest.mark.parametrize(
    ("aggregation", "words"),
    [
        *((name, WORDS) for name in AGGREGATIONS),
        *((name, SPLIT) for name in AGGREGATIONS if name != "logit_sum"),  # it takes whole words
    ],
)
def test_every_choice_is_the_engines(client, prompting, aggregation, words, calibration):
    answer = client.predict(
        "The soup was cold.",
        template="{text} It was {mask}.",
        label_words=words,
        aggregation=aggregation,
        calibration=calibration,
        api_name="/classify",
    )
    prompt = Prompt(
        Template("{text} It was {mask}."),
        Verbalizer.from_text(words),
        ScoringOptions(aggregation, calibration),
    )
    check(answer, prompting, prompt, {"text": "The soup was cold."})


def test_a_pair_goes_into_its_two_slots(client, prompting):
    card = Prompt.load("nli")
    row = {"premise": "A girl is riding", "hypothesis": "A girl is asleep."}
    answer = client.predict(
        row["premise"],
        template=card.template.source,
        label_words=card.verbalizer.to_text(),
        second_text=row["hypothesis"],
        calibration="none",
        model="playground-mini",
        api_name="/classify",
    )
    check(answer, prompting, replace(card, scoring=ScoringOptions()), row)


def test_a_long_text_is_cut_and_says_so(client, prompting):
    text = "a very long film " * 200
    answer = client.predict(text, api_name="/classify")
    template = 7  # [CLS], the five tokens of "Because it was [MASK].", [SEP]
    assert (answer["tokens"], answer["dropped"]) == (128, 800 - (128 - template))
    check(answer, prompting, default_prompt(), {"text": text})


@pytest.mark.parametrize(
    ("text", "top_k"),
    [
        ("The man worked as a {mask}.", 5),
        ("The man worked as a [MASK].", 1),
        ("{mask} and {mask}", 3),
        ("100 % of {{mask}} <mask> 👩‍👩‍👧", 100),
    ],
)
def test_fill_is_the_engines(client, prompting, text, top_k):
    best = prompting.fill(text, top_k=top_k)
    answer = client.predict(text, top_k=top_k, api_name="/fill")
    assert [list(row) for row in answer] == [["token", "logit", "probability"]] * top_k
    assert [row["token"] for row in answer] == [fill.token for fill in best]
    for key in ("logit", "probability"):
        assert [row[key] for row in answer] == pytest.approx(
            [getattr(fill, key) for fill in best], rel=1e-4, abs=1e-5
        )


def test_fill_gives_five_unless_told_otherwise(client):
    assert len(client.predict("The {mask}.", api_name="/fill")) == 5


def test_cards_are_the_shipped_files(client):
    expected = [
        json.loads(resources.card_path(name).read_text(encoding="utf-8"))
        for name in resources.card_names()
    ]
    assert client.predict(api_name="/cards") == expected


def test_models_are_those_of_the_picker(client):
    assert client.predict(api_name="/models") == ["playground-mini"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": ""}, "The template is empty; write a sentence with a {mask} in it."),
        ({"template": "{text}"}, "The template has no {mask}; put {mask} where a label word should stand."),
        ({"template": "{text} {premise} {hypothesis} {mask}"}, "The template takes 3 texts; this endpoint takes two."),
        ({"label_words": ""}, "There are no label words; write a label a line, such as positive: great, good."),
        ({"label_words": "good: great"}, "There is one label; give at least two, one a line."),
        ({"label_words": SPLIT, "aggregation": "logit_sum"}, 'Label word "uplifting" is 2 pieces (uplif ##ting) and logit_sum adds single logits; choose a word of one piece or another aggregation.'),
        ({"aggregation": "median"}, 'aggregation is "median"; it must be one of mean, sum, geometric, max, logit_sum.'),
        ({"calibration": "magic"}, 'calibration is "magic"; it must be one of none, contextual, domain, corpus.'),
        ({"calibration": "corpus"}, "Corpus calibration has no unlabelled texts; give some, one a line."),
        ({"model": "no such model!"}, 'The model "no such model!" is neither a folder here nor a hub id such as bert-base-uncased; shipped models: playground-mini.'),
    ],
)  # fmt: skip
def test_a_wrong_call_of_classify_is_one_sentence(client, changes, message):
    def ask():
        client.predict(**({"text": "x", "api_name": "/classify"} | changes))

    assert refusal(ask) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "no gap"}, '"no gap" has no mask; write {mask} where a word is missing.'),
        ({"text": ""}, '"" has no mask; write {mask} where a word is missing.'),
        ({"text": "the " * 200 + "{mask}"}, "The text is longer than the 128 tokens that the model reads; shorten it."),
        ({"top_k": 0}, 'top_k is "0"; it must be a whole number from 1 to 100.'),
        ({"top_k": 101}, 'top_k is "101"; it must be a whole number from 1 to 100.'),
    ],
)  # fmt: skip
def test_a_wrong_call_of_fill_is_one_sentence(client, changes, message):
    def ask():
        client.predict(**({"text": "a {mask}", "api_name": "/fill"} | changes))

    assert refusal(ask) == message


def test_after_errors_the_same_client_is_answered(client, prompting):
    assert refusal(lambda: client.predict("no gap", api_name="/fill")).startswith('"no gap"')
    assert client.predict("A {mask}.", top_k=1, api_name="/fill")[0]["token"] == (
        prompting.fill("A {mask}.", top_k=1)[0].token
    )


# ---- /nli ---------------------------------------------------------------------------------------


def test_a_pair_is_judged_with_the_classifiers_numbers(client):
    pair = ("A man is asleep on a bench.", "A man is awake.")
    scores = NliClassifier().classify([pair])
    answer = client.predict(*pair, api_name="/nli")
    assert list(answer) == ["label", "scores", "tokens", "dropped"]
    assert answer["label"] == scores.predictions[0]
    assert list(answer["scores"]) == ["entailment", "neutral", "contradiction"]
    found = list(answer["scores"].values())
    assert found == pytest.approx(list(scores.probabilities[0]), abs=1e-6)
    assert sum(found) == pytest.approx(1)
    assert (answer["tokens"], answer["dropped"]) == (scores.tokens[0], 0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("", "x"), "The premise is empty; write a sentence."),
        (("x", "y" * 20_001), "The hypothesis has 20,001 characters; the most is 20,000."),
        ((1, "x"), 'premise is "1"; it must be text.'),
    ],
)
def test_a_pair_that_cannot_be_judged_says_why(client, values, sentence):
    assert refusal(lambda: client.predict(*values, api_name="/nli")) == sentence


def test_a_masked_lm_is_no_classifier(client):
    told = refusal(lambda: client.predict("a", "b", "playground-mini", api_name="/nli"))
    assert told.startswith('The checkpoint "playground-mini" has no trained classification head (')
    assert told.endswith("fine-tune it first with playground nli train.")
