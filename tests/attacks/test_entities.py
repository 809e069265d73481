"""Hostile texts, spans and types in entity typing: a result or one clear sentence, soon."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground import Prompt, Template, Verbalizer
from playground.errors import PlaygroundError
from playground.tasks.entities import (
    DECODINGS,
    PRIORS,
    EntityTyper,
    TypedSpans,
    all_spans,
    decode,
)
from playground.tasks.entities.labelled import read_labelled_texts
from playground.tasks.entities.spans import Span, candidates, name_spans, words
from playground.tasks.entities.typing import margins
from playground.tasks.reading import Record, Table
from tests.attacks import strategies as attacks
from tests.attacks.strategies import outcome, refused

TYPES = ("person", "location")
LONGEST = 20_000  # the most characters of a text


@pytest.fixture(scope="module")
def typer(prompting) -> EntityTyper:
    return EntityTyper(prompting, Prompt.load("entity"))


def sound(typed: TypedSpans) -> None:
    """Check that every span has a distribution over the types and lies in its text."""
    assert np.isfinite(typed.log_probs).all()
    np.testing.assert_allclose(np.exp(typed.log_probs).sum(1), 1, atol=1e-6)
    for place, span in enumerate(typed.spans):
        assert 0 <= span.start < span.end <= len(typed.text)
        assert typed.words(place) == typed.text[span.start : span.end] != ""
    for decoding in DECODINGS:
        for entity in decode(typed, threshold=0, decoding=decoding):
            assert entity.text == typed.text[entity.start : entity.end]


# ---- texts ------------------------------------------------------------------------------------------

LONG = {
    "one letter": "a",
    "points": "a.",
    "domains": "a.b",
    "domains and slashes": "a.b/c ",
    "numbers": "1.",
    "hyphens": "a-",
    "hyphens alone": "-",
    "mails": "a@b ",
    "names of users": "@a ",
    "at signs": "@",
    "addresses": "www.",
    "links": "https://",
    "masks": "[MASK]",
    "slots": "{span}",
    "signs": "!",
    "initials": "A. ",
    "links of names": "A of ",
    "lines": "A\n",
    "joiners": "\u200d",
    "accents": "\u0301",
    "families": "\U0001f468\u200d",
    "ideographs": "京",
    "thai": "ก",
    "surrogates": "\ud800",
    "overrides": "\u202eA",
    "white space": " ",
    "function words": "The ",
    "apostrophes": "A'",
    "ampersands": "A & ",
}


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG)
def test_the_longest_text_of_any_kind_is_cut_soon(piece):
    text = (piece * LONGEST)[:LONGEST]
    outcome(lambda: candidates(text), budget=1)
    outcome(lambda: candidates(text, "all"), budget=1)


@settings(max_examples=300)
@given(text=attacks.attacks)
def test_any_text_has_spans_that_stand_in_it(text):
    for cut in (words, all_spans, name_spans):
        for span in outcome(lambda: cut(text)):  # noqa: B023
            assert 0 <= span.start < span.end <= len(text)
            assert text[span.start : span.end].strip()


@settings(max_examples=40)
@given(text=attacks.attacks.map(lambda text: text[:60]), prior=st.sampled_from(list(PRIORS)))
def test_any_text_is_typed_or_refused(prompting, text, prior):
    typer = EntityTyper(prompting, first_template(Prompt.load("entity")), prior=prior)
    for kind in ("names", "all"):
        result = outcome(lambda: typer.type_text(text, candidates=kind, most_words=2), budget=5)  # noqa: B023
        if not refused(result):
            sound(result)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("B", 1),
        ("A", 0),
        ("b", 0),
        ("é", 0),
        ("1", 0),
        ("京", 0),
        ("\ud800B", 1),
        ("[MASK] " * 20, 20),
        ("{span} {text} {mask} {before}" * 20, 0),
        ("[MASK] [SEP] <mask> [CLS] Maria [PAD]", None),
        ("Maria {span} \u202eLopez\u202c \U0001f468\u200d\U0001f469 Anna", None),
    ],
)
def test_a_strange_text_is_typed(typer, text, count):
    typed = typer.type_text(text)
    sound(typed)
    assert count is None or len(typed) == count


@pytest.mark.parametrize(
    "text", ["", " ", "?!… —", "\u202e\u200d", "\U0001f600" * 50, "\ud800" * 9]
)
@pytest.mark.parametrize("kind", ["names", "all"])
def test_a_text_of_signs_is_refused(typer, text, kind):
    with pytest.raises(PlaygroundError, match=r"^The text has no words; write a sentence with a "):
        typer.type_text(text, candidates=kind)


def test_ten_thousand_words_are_refused_or_typed_soon(typer):
    before = typer.prompting.runner.prompts_run
    long = outcome(lambda: typer.type_text("Maria saw " * 5000), budget=0.5)
    assert str(long) == "The text has 50,000 characters; the most is 20,000."
    many = outcome(lambda: typer.type_text("a " * 10_000, candidates="all"), budget=0.5)
    assert str(many) == (
        "The text has 39,994 candidate spans and the most is 2,000; shorten it, take fewer words a "
        "span, or candidates that look like names."
    )
    assert typer.prompting.runner.prompts_run == before
    assert len(outcome(lambda: typer.type_text("a " * 10_000), budget=1)) == 0


@pytest.mark.parametrize("piece", ["Maria ", "a", "[MASK]", "a.b"])
@pytest.mark.parametrize("kind", ["names", "all", [(0, 1)]])
def test_a_megabyte_of_text_is_refused_before_it_is_cut(typer, piece, kind):
    text = (piece * 1_000_000)[:1_000_000]
    result = outcome(lambda: typer.type_text(text, candidates=kind))
    assert str(result) == "The text has 1,000,000 characters; the most is 20,000."


def test_a_text_of_masks_does_not_move_the_mask(typer):
    """A mask that is written out is text: the template's own one is read."""
    text = "[MASK] [MASK] Maria [MASK] [MASK]"
    typed = typer.type_text(text, candidates=[(14, 19)])
    found = []
    for prompt, row in typer.explain(typed, 0):
        encoder = typer.prompting.backbone.encoder
        encoded = encoder.encode_one(prompt.template.render(row))
        assert encoded.ids.count(encoder.mask_id) == 1
        found.append(np.log(typer.prompting.classify([row], prompt).probabilities[0]))
    mean = np.mean(found, axis=0)
    np.testing.assert_allclose(typed.log_probs[0], mean - np.logaddexp.reduce(mean), atol=1e-5)


# ---- spans ------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    places=st.lists(st.tuples(st.integers(-3, 30), st.integers(-3, 30)), max_size=6),
    context=st.integers(0, 3),
)
def test_any_spans_are_typed_or_refused(prompting, places, context):
    text = "Maria, the \u202eking\u202c of {span}"
    prompt = first_template(Prompt.load("entity"))
    typer = EntityTyper(prompting, prompt, prior="none", context_words=context)
    result = outcome(lambda: typer.type_text(text, candidates=places), budget=5)
    inside = [0 <= a < b <= len(text) and bool(text[a:b].strip()) for a, b in places]
    assert refused(result) != all(inside)
    if not refused(result):
        assert [(span.start, span.end) for span in result.spans] == sorted(set(places))
        sound(result)


def first_template(card: Prompt) -> Prompt:
    """Return the first template alone, to be quick."""
    return Prompt(card.template, card.verbalizer, card.scoring, task="entity")


@pytest.mark.parametrize("decoding", list(DECODINGS))
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("shape", ["staircase", "onion", "words"])
def test_the_most_spans_are_decoded_soon(decoding, nested, shape):
    spans = {
        "staircase": [Span(k, k + 50) for k in range(2000)],
        "onion": [Span(k, 4000 - k) for k in range(2000)],
        "words": [Span(k, k + size) for k in range(500) for size in (1, 2, 3, 4)],
    }[shape]
    labels = ("person", "none")
    gains = np.random.default_rng(0).uniform(1, 5, len(spans))
    log_probs = np.stack([-np.log1p(np.exp(-gains)), -np.log1p(np.exp(gains))], axis=1)
    typed = TypedSpans("x" * 4000, tuple(spans), labels, log_probs, margins(log_probs, labels))
    found = outcome(
        lambda: decode(typed, threshold=0.9, decoding=decoding, nested=nested), budget=4
    )
    assert found
    if shape == "onion":
        assert len(found) == (2000 if nested else 1)


# ---- types and templates ----------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["[MASK]", "[SEP]", "[PAD]", "[UNK]", "\u202e", "☃☃☃"])
def test_a_label_word_that_is_none_is_refused(prompting, word):
    prompt = Prompt(Template("{span} is a {mask}."), Verbalizer({"person": [word], "none": ["so"]}))
    result = outcome(lambda: EntityTyper(prompting, prompt), budget=5)
    assert refused(result)
    assert str(result).startswith("Label word ")


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "{span}", "[MASK]", "{0.__class__}", "%s", "none ", "\u202e"],
)
def test_a_type_of_any_name_is_just_a_name(prompting, name):
    prompt = Prompt(
        Template("the {mask} {span}"),
        Verbalizer({"person": ["man"], name: ["city"], "other": ["so"]}),
    )
    typed = EntityTyper(prompting, prompt).type_text("Maria went to Norway.")
    sound(typed)
    plain = Prompt(
        Template("the {mask} {span}"),
        Verbalizer({"person": ["man"], "x": ["city"], "other": ["so"]}),
    )
    expected = EntityTyper(prompting, plain).type_text("Maria went to Norway.")
    np.testing.assert_array_equal(typed.log_probs, expected.log_probs)


def test_a_template_that_repeats_a_long_text_is_refused(prompting, entity_like):
    started = time.thread_time()
    with pytest.raises(
        PlaygroundError, match=r"^The filled template holds [\d,]+ characters of text"
    ):
        EntityTyper(prompting, entity_like).type_text("Maria" + "a" * 19_000)
    assert time.thread_time() - started < 5


@pytest.fixture
def entity_like() -> Prompt:
    return Prompt(
        Template("{text} " * 100 + "{span} {mask}"), Verbalizer({"person": ["man"], "none": ["so"]})
    )


# ---- labelled texts ---------------------------------------------------------------------------------

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 40),
        st.floats(),
        attacks.texts,
        st.sampled_from(["text", "start", "end", "label", "person", "B-person", "I-person", "O"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["start", "end", "label", "x"]), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=400)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"text": values, "entities": values, "tokens": values, "tags": values}
        ),
        max_size=4,
    ),
    kind=st.sampled_from(["text entities", "tokens tags", "text entities tokens tags"]),
)
def test_any_table_gives_usable_rows_or_one_sentence(rows, kind):
    good = {
        "text": "Maria sat",
        "entities": [{"start": 0, "end": 5, "label": "person"}],
        "tokens": ["Maria", "sat"],
        "tags": ["B-person", "O"],
    }
    kept = [{name: row[name] for name in kind.split()} for row in [good, *rows]]
    table = Table("The table", lambda: (Record(dict(row)) for row in kept))
    found = outcome(lambda: read_labelled_texts(table, TYPES))
    assert not refused(found)
    assert len(found.rows) + found.faulty == len(kept)
    for row in found.rows:
        for span, label in row.entities:
            assert label in TYPES
            assert row.text[span.start : span.end].strip()
