"""Scoring choices: which values are taken, and their JSON form."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from playground.errors import PlaygroundError
from playground.prompts import AGGREGATIONS, CALIBRATIONS, ScoringOptions
from playground.prompts.scoring_options import CONTENT_FREE, FILL_ORDERS, PIECE_REDUCTIONS

CHOICES = {
    "aggregation": "mean, sum, geometric, max, logit_sum",
    "calibration": "none, contextual, domain, corpus",
    "fill_order": "confidence, left-to-right, parallel",
    "pieces": "sum, mean",
}
TABLES = {
    "aggregation": AGGREGATIONS,
    "calibration": CALIBRATIONS,
    "fill_order": FILL_ORDERS,
    "pieces": PIECE_REDUCTIONS,
}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_the_defaults_are_the_plain_mean():
    options = ScoringOptions()
    assert {row.name: getattr(options, row.name) for row in fields(options)} == {
        "aggregation": "mean",
        "calibration": "none",
        "content_free": ("", "N/A", "text"),
        "domain": "",
        "prior_texts": (),
        "fill_order": "confidence",
        "pieces": "sum",
    }


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, table in TABLES.items() for value in table]
)
def test_every_listed_choice_is_taken_and_explained(name, value):
    options = ScoringOptions(**{name: value, "prior_texts": ("a",)})
    assert getattr(options, name) == value
    assert len(TABLES[name][value]) > 20


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize(
    ("value", "shown"), [("best", "best"), ("", ""), (None, "None"), (["sum"], "['sum']")]
)
def test_any_other_choice_is_refused(name, value, shown):
    message = f'{name} is "{shown}"; it must be one of {CHOICES[name]}.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions(**{name: value})


@pytest.mark.parametrize("name", ["content_free", "prior_texts"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("one", "one"),
        (5, "5"),
        (None, "None"),
        ({"a": "b"}, "{'a': 'b'}"),
        (["a", 1], "['a', 1]"),
        ([None], "[None]"),
    ],
)
def test_texts_are_a_list_of_texts(name, value, shown):
    message = f'{name} is "{shown}"; it must be a list of texts.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions(**{name: value})


def test_the_domain_is_text():
    message = 'domain is "5"; it must be a prompt as text.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions(domain=5)  # type: ignore[arg-type]


def test_a_list_of_texts_becomes_a_tuple():
    options = ScoringOptions(content_free=["x"], prior_texts=["y", "z"])  # type: ignore[arg-type]
    assert options.content_free == ("x",)
    assert hash(options) == hash(ScoringOptions(content_free=("x",), prior_texts=("y", "z")))


def test_one_content_free_text_is_the_least():
    message = 'There are no content-free texts; give at least one, such as "N/A".'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions(content_free=())


@pytest.mark.parametrize("name", ["content_free", "prior_texts"])
def test_the_most_prior_texts_fit_and_one_more_does_not(name):
    assert len(getattr(ScoringOptions(**{name: ("a",) * 200}), name)) == 200
    message = "There are 201 texts for the prior; the most is 200."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions(**{name: ("a",) * 201})


def test_corpus_calibration_needs_texts():
    message = "Corpus calibration has no unlabelled texts; give some, one a line."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions(calibration="corpus")


def test_corpus_calibration_does_not_go_with_raw_logits():
    message = (
        "Corpus calibration divides probabilities and logit_sum adds raw logits; "
        "choose another aggregation."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions(aggregation="logit_sum", calibration="corpus", prior_texts=("a",))


@pytest.mark.parametrize(
    ("options", "data"),
    [
        (ScoringOptions(), {}),
        (ScoringOptions(aggregation="max"), {"aggregation": "max"}),
        (ScoringOptions(content_free=("?",), pieces="mean"), {"content_free": ["?"], "pieces": "mean"}),
        (ScoringOptions(content_free=CONTENT_FREE, domain="A {mask}."), {"domain": "A {mask}."}),
        (ScoringOptions(calibration="corpus", prior_texts=("a", "")), {"calibration": "corpus", "prior_texts": ["a", ""]}),
    ],
)  # fmt: skip
def test_json_holds_what_differs_from_the_defaults(options, data):
    assert options.to_json() == data
    assert ScoringOptions.from_json(data) == options


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, '"scoring" is "None"; it must be an object.'),
        (["mean"], "\"scoring\" is \"['mean']\"; it must be an object."),
        ({"agregation": "sum"}, '"scoring" has the unknown key "agregation"; it takes aggregation, calibration, content_free, domain, prior_texts, fill_order, pieces.'),
        ({"calibration": "corpus"}, "Corpus calibration has no unlabelled texts; give some, one a line."),
    ],
)  # fmt: skip
def test_wrong_json_is_refused(data, message):
    with pytest.raises(PlaygroundError, match=exactly(message)):
        ScoringOptions.from_json(data)
