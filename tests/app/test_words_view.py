"""Learned label words as HTML: chips that say what they add, and what they change."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from playground import Prompt, resources
from playground.app.markup import percent
from playground.app.words_view import learned_html
from playground.tasks.held_out import changes, split_rows
from playground.tasks.word_search import LearnedWord, search_label_words
from tests.app.elements import buttons, read, texts
from tests.app.payloads import PAYLOADS
from tests.tasks.test_evaluation import labelled

TAGS = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span", "button", "h2", "h3"}


@pytest.fixture(scope="module")
def found(prompting):
    prompt = Prompt.load("sentiment")
    rows = resources.load_examples("reviews")[:60]
    all_rows = labelled(prompt, [r["text"] for r in rows], [r["label"] for r in rows])
    split = split_rows(all_rows, shots=4, seed=3)
    learned = search_label_words(prompting, prompt, split.search.rows, split.search.gold, count=3)
    after = replace(prompt, verbalizer=learned.verbalizer)
    changed = changes(prompting, prompt, after, split.held_out, searched=learned.searched)
    return learned, changed, split, prompt


def test_each_word_is_a_chip_or_is_there_already(found):
    learned, _, _, prompt = found
    drawn = learned_html(*found)
    chips = [json.loads(argument) for act, argument, _ in buttons(drawn) if act == "word"]
    known = texts(drawn, "pp-known")
    wanted = [[label, word.text] for label, words in learned.words.items() for word in words]
    there = {word.text for word in prompt.verbalizer.words}
    new = [pair for pair in wanted if pair[1] not in there]
    assert chips == new
    assert len(known) == len(wanted) - len(new)
    assert [text for act, _, text in buttons(drawn) if act == "word"] == [f"+ {w}" for _, w in new]


def test_a_word_of_another_label_says_where_it_is(found):
    learned, changes, split, prompt = found
    words = {**learned.words, "positive": (LearnedWord("awful", 1.0), LearnedWord("great", 0.5))}
    drawn = learned_html(replace(learned, words=words), changes, split, prompt)
    assert texts(drawn, "pp-known")[:2] == ["awful is there (under negative)", "great is there"]


def test_before_and_after_are_the_engines(found):
    _, changes, split, _ = found
    cells = [element.text for element in read(learned_html(*found)) if element.tag == "td"]
    for k, change in enumerate(changes):
        before, after, difference = cells[4 * k + 1 : 4 * k + 4]
        assert percent(change.before.metrics.accuracy) in before
        assert percent(change.after.metrics.accuracy) in after
        assert f"{change.comparison.difference * 100:+.1f} points" in difference
        assert difference.startswith("could be chance") is (not change.comparison.real)
    assert f"on {len(split.held_out)} rows that the search has not seen" in learned_html(*found)


@pytest.mark.parametrize(("gap", "said"), [(0.3, "really better"), (-0.3, "really worse")])
def test_a_real_change_says_its_way(found, gap, said):
    learned, changes, split, prompt = found
    real = replace(changes[0].comparison, difference=gap, p_value=0.01)
    drawn = learned_html(learned, [replace(changes[0], comparison=real)], split, prompt)
    assert any(e.text.startswith(said) for e in read(drawn) if e.tag == "td")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_labels_and_words_are_only_text(found, payload):
    learned, changes, split, prompt = found
    words = {payload: (LearnedWord(payload, 0.1),), "b": (LearnedWord(payload, 0.1),)}
    drawn = learned_html(replace(learned, words=words), changes, split, prompt)
    assert {element.tag for element in read(drawn)} <= TAGS
    assert json.loads(buttons(drawn)[0][1]) == [payload, payload]
