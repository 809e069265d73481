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
from playground.tasks.entities import PRIORS, EntityTyper, decode
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
    most = 512
    answer = client.predict(text, api_name="/classify")
    template = 6  # [CLS], the four tokens of "It was [MASK].", [SEP]
    assert (answer["tokens"], answer["dropped"]) == (most, 800 - (most - template))
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
        ({"text": "the " * 600 + "{mask}"}, "The text is longer than the 512 tokens that the model reads; shorten it."),
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


# ---- /ner ---------------------------------------------------------------------------------------

NAMES = "Maria Lopez moved to Madrid with 👩‍👩‍👧, and Google hired her."


def check_entities(answer: list, expected: list) -> None:
    """Compare an answer of /ner with the engine's entities, number by number."""
    assert [list(one) for one in answer] == [
        ["start", "end", "label", "text", "margin", "probability"]
    ] * len(expected)
    for one, entity in zip(answer, expected, strict=True):
        assert {key: one[key] for key in ("start", "end", "label", "text")} == {
            "start": entity.start, "end": entity.end, "label": entity.label, "text": entity.text,
        }  # fmt: skip
        assert one["margin"] == pytest.approx(entity.margin, abs=1e-4)
        assert one["probability"] == pytest.approx(entity.probability, abs=1e-5)


def test_entities_are_those_of_the_card_unless_told_otherwise(client, prompting):
    expected = decode(EntityTyper(prompting, Prompt.load("entity")).type_text(NAMES))
    assert {"Maria Lopez", "Madrid"} <= {entity.text for entity in expected}
    answer = client.predict(NAMES, api_name="/ner")
    check_entities(answer, expected)
    assert [NAMES[one["start"] : one["end"]] for one in answer] == [one["text"] for one in answer]


@pytest.mark.parametrize("prior", list(PRIORS))
@pytest.mark.parametrize(("decoding", "nested"), [("greedy", False), ("best total", True)])
def test_every_choice_of_entities_is_the_engines(client, prompting, prior, decoding, nested):
    types = "person: man, friend*0.5\nplace: city, country\nnone: thing"
    templates = "The {mask} {span}.\n{before}the {mask} {span}{after}"
    first, other = map(Template, templates.splitlines())
    prompt = Prompt(first, Verbalizer.from_text(types), alternatives=(other,))
    how = {"threshold": -0.5, "decoding": decoding, "nested": nested}
    typed = EntityTyper(prompting, prompt, prior=prior).type_text(
        NAMES, candidates="all", most_words=2
    )
    expected = decode(typed, **how)
    assert len(expected) >= 3
    answer = client.predict(
        NAMES, types=types, templates=templates, candidates="all", most_words=2, prior=prior,
        model="playground-mini", api_name="/ner", **how,
    )  # fmt: skip
    check_entities(answer, expected)


def test_a_program_may_give_the_spans_itself(client, prompting):
    typed = EntityTyper(prompting, Prompt.load("entity")).type_text(
        "nobody is here", candidates=[(0, 6)]
    )
    answer = client.predict("nobody is here", spans=[[0, 6]], threshold=-100, api_name="/ner")
    check_entities(answer, decode(typed, threshold=-100))
    assert [(one["start"], one["end"]) for one in answer] == [(0, 6)]


def test_a_text_without_a_name_has_no_entities(client):
    assert client.predict("nobody is here", api_name="/ner") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ""}, "The text has no words; write a sentence with a name in it."),
        ({"text": 5}, 'text is "5"; it must be text.'),
        ({"types": ""}, "There are no label words; write a label a line, such as positive: great, good."),
        ({"types": "person: man"}, "There is one label; give at least two, one a line."),
        ({"types": "none: thing\nNONE: stuff"}, "There is no type but none; add one, such as person: man, woman."),
        ({"templates": " "}, "There is no template; write one with {span} and {mask}."),
        ({"templates": "It is a {mask}."}, 'The template "It is a {mask}." has no {span}; put {span} where the name should stand.'),
        ({"templates": "{span}{mask}\n" * 7}, "There are 7 templates; the page averages 6 at most."),
        ({"candidates": "some"}, 'There are no candidates "some"; choose one of names, names and numbers, all.'),
        ({"candidates": "all", "most_words": 0}, "most_words is \"0\"; it must be a whole number from 1 to 10."),
        ({"most_words": "4"}, 'most_words is "4"; it must be a whole number from 1 to 10.'),
        ({"most_words": 101}, 'most_words is "101"; it must be a whole number from 1 to 10.'),
        ({"prior": "magic"}, 'There is no prior "magic"; choose one of contextual, none, span.'),
        ({"threshold": True}, 'threshold is "True"; it must be a number from -100 to 100.'),
        ({"threshold": -1e9}, 'threshold is "-1000000000.0"; it must be a number from -100 to 100.'),
        ({"most_words": 2.7}, 'most_words is "2.7"; it must be a whole number from 1 to 10.'),
        ({"nested": "no"}, 'nested is "no"; it must be true or false.'),
        ({"spans": "all"}, 'spans is "all"; it must be a list of [start, end].'),
        ({"spans": [[0, 5], "x"]}, 'A span is a start and an end, not "x".'),
        ({"spans": [[0, 10_000]]}, f"The span from 0 to 10000 does not lie in the text, which has {len(NAMES)} characters; a span has 0 <= start < end."),
        ({"decoding": "best"}, 'There is no decoding "best"; choose one of greedy, best total.'),
        ({"model": "no such model!"}, 'The model "no such model!" is neither a folder here nor a hub id such as bert-base-uncased; shipped models: playground-mini.'),
    ],
)  # fmt: skip
def test_a_wrong_call_of_ner_is_one_sentence(client, changes, message):
    assert (
        refusal(lambda: client.predict(**({"text": NAMES, "api_name": "/ner"} | changes)))
        == message
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


# ---- inside one prediction ----------------------------------------------------------------------


def test_layers_are_the_engines(client, prompting):
    answer = client.predict("Paris is the capital of [MASK].", 3, api_name="/layers")
    assert answer == prompting.layers("Paris is the capital of [MASK].", top_k=3).to_json()
    (*_, last) = answer["layers"]
    assert last["top"] == client.predict("Paris is the capital of [MASK].", 3, api_name="/fill")


def test_a_head_is_the_engines(client, prompting):
    answer = client.predict("A dog barks.", 3, 2, api_name="/attention")
    assert answer == prompting.attention("A dog barks.").to_json(3, 2)
    assert [sum(row) for row in answer["weights"]] == pytest.approx(
        [1.0] * len(answer["tokens"]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no gap", '"no gap" has no mask; write {mask} where a word is missing.'),
        (
            "{mask} {mask}",
            "The text has 2 masks and the layers are read at one; write {mask} once.",
        ),
    ],
)
def test_layers_need_one_mask(client, text, sentence):
    assert refusal(lambda: client.predict(text, api_name="/layers")) == sentence
