"""A link holds the whole page and gives it back; one that does not open says why."""

from __future__ import annotations

import pytest
from hypothesis import given

from playground import resources
from playground.app.share import ComparedPrompt, PageState
from playground.errors import PlaygroundError
from playground.prompts import Prompt, ScoringOptions, Template, Verbalizer, link
from tests.attacks.strategies import texts as anything

CARD = {"templates": ["{text} {mask}."], "labels": {"a": ["x"], "b": ["y"]}}


NER = {
    "text": "Ana & <b>Bo</b>\n👩‍👩‍👧 \ud800",
    "types": "person: man*0.5\nnone: thing",
    "templates": "{before}{mask} {span}{after}\nThe {mask} {span}.",
    "candidates": "all",
    "most_words": 3,
    "prior": "span",
    "threshold": -0.3,
    "decoding": "best total",
    "nested": True,
}


def prompt(**options: object) -> Prompt:
    words = {"good": ["great", ("fine", 0.5)], "bad": ["awful"]}
    return Prompt(Template("{text} {mask}."), Verbalizer(words), ScoringOptions(**options))


def packed(**changes: object) -> str:
    return link.pack({"card": CARD} | changes)


@pytest.mark.parametrize(
    "state",
    [
        PageState(prompt()),
        PageState(prompt(), ("a text",)),
        PageState(prompt(), ("premise", "hypothesis"), tab="classify"),
        PageState(prompt(), (), ("The {mask}.", ""), "", "fill"),
        PageState(prompt(calibration="contextual", aggregation="sum"), ("x",), ("", ""), "bert"),
        PageState(prompt(calibration="corpus", prior_texts=("one", "two")), ("",)),
        PageState(prompt(calibration="domain", domain="It was {mask}.", pieces="mean"), ("x",)),
        PageState(prompt(), tab="nli", pair=("A man sleeps.", ""), classifier="org/model"),
        PageState(
            prompt(),
            tab="compare",
            compared=(
                ComparedPrompt(prompt(aggregation="max")),
                ComparedPrompt(prompt(), "org/model"),
            ),
            compared_texts=("a text ${x}", "another"),
        ),
        PageState(prompt(), ("line\none\r\n\ttwo", "{mask} ${x} </p>\x00\ud800 👩‍👩‍👧")),
        PageState(prompt(), tab="ner", ner=NER),
        PageState(prompt(), ("x",), tab="ner", ner={"nested": False, "threshold": 0, "text": ""}),
        PageState(
            prompt(),
            tab="pretrain",
            pretrain={"text": "a ${x} [MASK]", "sentence": "<b> [MASK]", "layer": 2, "head": 12},
        ),
    ],
    ids=range(13),
)
def test_a_page_comes_back_from_its_link(state):
    assert PageState.from_token(state.token()) == state


@given(anything, anything)
def test_any_text_comes_back_from_its_link(text, sentence):
    state = PageState(prompt(), (text,), (sentence, text))
    assert PageState.from_token(state.token()) == state


@pytest.mark.parametrize("name", resources.card_names())
def test_every_card_fits_a_page_link(name):
    card = Prompt.load(name)
    state = PageState(card, ("x" * 100,), ("y {mask}", "z {mask}"))
    assert PageState.from_token(state.token()) == state


@given(anything, anything)
def test_any_text_and_types_of_entities_come_back(text, types):
    state = PageState(prompt(), tab="ner", ner={"text": text, "types": types, "templates": text})
    assert PageState.from_token(state.token()) == state


def test_a_link_of_before_opens_without_entities():
    assert PageState.from_token(packed(tab="fill")).ner == {}


def test_what_is_at_its_default_takes_no_room():
    assert link.unpack(PageState(prompt()).token()).keys() == {"card", "tab"}


def test_a_card_alone_opens_with_its_first_example():
    card = Prompt.load("nli")
    token = card.link().partition("?p=")[2]
    example = card.examples[0]
    assert PageState.from_token(token) == PageState(
        card, (example["premise"], example["hypothesis"])
    )


def test_a_card_without_examples_opens_without_a_text():
    assert PageState.from_token(link.pack(CARD)).texts == ()


def test_a_link_without_texts_leaves_them_empty():
    state = PageState.from_token(packed())
    assert (state.texts, state.sentences, state.model, state.tab) == ((), (), "", "classify")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tab": "train"}, 'The link opens the tab "train", which this app has not.'),
        ({"tab": ["fill"]}, "The link opens the tab \"['fill']\", which this app has not."),
        ({"tab": None}, 'The link opens the tab "None", which this app has not.'),
        ({"model": 7}, 'The link names the model "7"; it must be text.'),
        ({"model": ["a"]}, "The link names the model \"['a']\"; it must be text."),
        ({"texts": "one"}, "The link's texts must be a list of texts; copy the link again."),
        ({"texts": {"a": "b"}}, "The link's texts must be a list of texts; copy the link again."),
        ({"texts": None}, "The link's texts must be a list of texts; copy the link again."),
        ({"texts": ["a", 1]}, "The link's texts must be at most 2 texts; copy the link again."),
        ({"texts": list("abc")}, "The link's texts must be at most 2 texts; copy the link again."),
        ({"sentences": 3}, "The link's sentences must be a list of texts; copy the link again."),
        ({"sentences": [None]}, "The link's sentences must be at most 2 texts; copy the link again."),
        ({"compared": 3}, "The link's compared prompts must be a list; copy the link again."),
        ({"compared": [3]}, "The link's compared prompts must be a list; copy the link again."),
        ({"compared": [{"card": CARD}] * 5}, "The link compares 5 prompts; the most is 4."),
        ({"compared": [{}]}, "A prompt card is a JSON object with templates and labels."),
        ({"compared": [{"card": CARD, "model": 1}]}, 'The link names the model "1"; it must be text.'),
        ({"compared_texts": [1]}, "The link's compared_texts must be at most 2 texts; copy the link again."),
        ({"pretrain": 3}, "The link's state of Pretrain cannot be read; copy the link again."),
        ({"pretrain": {"model": "x"}}, 'The link sets "model" in Pretrain, which it has not.'),
        ({"pretrain": {"layer": 2.5}}, 'The link\'s layer of Pretrain is "2.5"; copy the link again.'),
        ({"pretrain": {"layer": True}}, 'The link\'s layer of Pretrain is "True"; copy the link again.'),
        ({"pretrain": {"head": 10**9}}, 'The link\'s head of Pretrain is "1000000000"; copy the link again.'),
        ({"pretrain": {"text": None}}, 'The link\'s text of Pretrain is "None"; copy the link again.'),
        ({"ner": 3}, "The link's state of NER cannot be read; copy the link again."),
        ({"ner": ["text"]}, "The link's state of NER cannot be read; copy the link again."),
        ({"ner": None}, "The link's state of NER cannot be read; copy the link again."),
        ({"ner": {"model": "bert"}}, 'The link sets "model" in NER, which it has not.'),
        ({"ner": {"x" * 99: 1}}, f'The link sets "{"x" * 39}…" in NER, which it has not.'),
        ({"ner": {"text": 5}}, 'The link\'s text of NER is "5"; copy the link again.'),
        ({"ner": {"types": None}}, 'The link\'s types of NER is "None"; copy the link again.'),
        ({"ner": {"templates": ["{span}"]}}, "The link's templates of NER is \"['{span}']\"; copy the link again."),
        ({"ner": {"candidates": True}}, 'The link\'s candidates of NER is "True"; copy the link again.'),
        ({"ner": {"prior": 1}}, 'The link\'s prior of NER is "1"; copy the link again.'),
        ({"ner": {"decoding": {}}}, 'The link\'s decoding of NER is "{}"; copy the link again.'),
        ({"ner": {"most_words": "4"}}, 'The link\'s most_words of NER is "4"; copy the link again.'),
        ({"ner": {"most_words": True}}, 'The link\'s most_words of NER is "True"; copy the link again.'),
        ({"ner": {"most_words": 101}}, 'The link\'s most_words of NER is "101"; copy the link again.'),
        ({"ner": {"threshold": 1e300}}, 'The link\'s threshold of NER is "1e+300"; copy the link again.'),
        ({"ner": {"threshold": float("nan")}}, 'The link\'s threshold of NER is "nan"; copy the link again.'),
        ({"ner": {"threshold": float("inf")}}, 'The link\'s threshold of NER is "inf"; copy the link again.'),
        ({"ner": {"nested": 1}}, 'The link\'s nested of NER is "1"; copy the link again.'),
        ({"ner": {"nested": "yes"}}, 'The link\'s nested of NER is "yes"; copy the link again.'),
        ({"card": None}, "A prompt card is a JSON object with templates and labels."),
        ({"card": {}}, 'The prompt card needs "templates", a list with at least one.'),
        ({"card": {**CARD, "scoring": {"aggregation": "x"}}}, 'aggregation is "x"; it must be one of mean, sum, geometric, max, logit_sum.'),
    ],
)  # fmt: skip
def test_a_wrong_link_says_what_is_wrong_with_it(changes, message):
    with pytest.raises(PlaygroundError) as error:
        PageState.from_token(packed(**changes))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", 'The link "" is not a prompt link; copy it again.'),
        ("hello", 'The link "hello" is not a prompt link; copy it again.'),
        ("2.abc", "The link is of version 2 and this app reads version 1; open it with the app that made it."),
        ("1.%%%", "The link is damaged: its end may have been cut when it was copied; copy it again."),
        (packed()[:-4], "The link is damaged: its end may have been cut when it was copied; copy it again."),
        ("1." + "A" * 20_000, "The link has 20,002 characters, the most is 16,000; it was not opened."),
    ],
    ids=["empty", "word", "version", "alphabet", "cut", "long"],
)  # fmt: skip
def test_a_damaged_link_says_so(token, message):
    with pytest.raises(PlaygroundError) as error:
        PageState.from_token(token)
    assert str(error.value) == message


def test_a_text_too_long_for_a_link_is_refused(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_MAX_LINK_CHARS", "200")
    with pytest.raises(
        PlaygroundError, match=r"^The link would have 1,252 characters, the most is 200; "
    ):
        PageState(prompt(), ("".join(map(chr, range(200, 700))),)).token()
