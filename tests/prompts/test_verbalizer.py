"""Label words: their text form, their JSON form, weights, limits and collisions."""

from __future__ import annotations

import re
from types import MappingProxyType

import pytest

from playground.errors import PlaygroundError
from playground.prompts import LabelWord, Verbalizer

TEXT = "positive: great, very good*0.5\nnegative: awful"
LABELS = {"positive": ["great", {"word": "very good", "weight": 0.5}], "negative": ["awful"]}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize(
    "word",
    [
        "very good",
        "  very \n good ",
        LabelWord("very good"),
        ("very good", 1),
        ["very good", 1.0],
        {"word": "very good"},
        {"word": "very good", "weight": 1},
    ],
)
def test_a_label_word_is_written_in_several_ways(word):
    assert Verbalizer({"a": [word], "b": ["x"]}).words[0] == LabelWord("very good", 1.0)


def test_words_and_labels_stand_in_the_order_given():
    verbalizer = Verbalizer({"b": ["one", ("two", 2)], "a": ["three"], "c": ["four"]})
    assert verbalizer.names == ("b", "a", "c")
    assert [word.text for word in verbalizer.words] == ["one", "two", "three", "four"]
    assert [word.weight for word in verbalizer.words] == [1.0, 2.0, 1.0, 1.0]
    assert verbalizer.label_of_word == (0, 0, 1, 2)


@pytest.mark.parametrize(
    "source",
    [
        TEXT,
        "\n  positive :great,  very   good * 0.5 ,\r\n\n\tnegative: ,awful,,\n",
        "positive: great, very good*.5\u2028negative: awful",
    ],
)
def test_the_text_form_is_read(source):
    assert Verbalizer.from_text(source) == Verbalizer(LABELS)


def test_the_text_form_and_the_json_form_are_written():
    verbalizer = Verbalizer.from_text(TEXT)
    assert verbalizer.to_text() == TEXT
    assert verbalizer.to_json() == LABELS


@pytest.mark.parametrize("weight", [1e-05, 0.1, 1 / 3, 2, 1e6, 123456.789])
def test_a_weight_survives_both_forms(weight):
    verbalizer = Verbalizer({"a": [("x", weight)], "b": ["y"]})
    assert verbalizer.words[0].weight == weight
    assert Verbalizer.from_text(verbalizer.to_text()) == verbalizer
    assert Verbalizer(verbalizer.to_json()) == verbalizer


@pytest.mark.parametrize(
    ("weight", "text"), [(1, "x"), (1.0, "x"), (0.5, "x*0.5"), (2, "x*2.0"), (1e-7, "x*1e-07")]
)
def test_a_weight_of_one_is_not_written(weight, text):
    assert str(LabelWord("x", weight)) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "There are no label words; write a label a line, such as positive: great, good."),
        (" \n\n", "There are no label words; write a label a line, such as positive: great, good."),
        ("a: x\n\ngreat, good", 'Line 3 of the label words, "great, good", has no colon; write it as label: word, word.'),
        ("a: x\nb: y\n a : z", 'Label "a" stands again on line 3; keep one line of it.'),
        ("a: x\n: y", "A label has no name; write its name before the colon."),
        ("a: x\nb:", 'Label "b" has no words; add at least one after the colon.'),
        ("a: x\nb: , ,", 'Label "b" has no words; add at least one after the colon.'),
        ("a: x", "There is one label; give at least two, one a line."),
        ("a: x*half\nb: y", 'The weight of "x" is "half"; write a number, as in good*0.5.'),
        ("a: x*\nb: y", 'The weight of "x" is ""; write a number, as in good*0.5.'),
        ("a: x*2*3\nb: y", 'The weight of "x" is "2*3"; write a number, as in good*0.5.'),
        ("a: *2\nb: y", "A label word is empty; write a word or take the comma away."),
        ("a: x: y\nb: z", 'Label word "x: y" holds ":"; write words between commas, and weights as good*0.5.'),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(source, message):
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Verbalizer.from_text(source)


@pytest.mark.parametrize(
    ("weight", "shown"),
    [
        (0, "0"),
        (-1, "-1"),
        (1_000_001, "1000001"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (10**400, "1" + "0" * 38 + "…"),
    ],
)
def test_a_weight_out_of_bounds_is_refused(weight, shown):
    message = f'The weight of "x" is "{shown}"; it must be above 0 and at most 1,000,000.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        LabelWord("x", weight)


@pytest.mark.parametrize(
    ("weight", "shown"), [(True, "True"), ("2", "2"), (None, "None"), ([], "[]")]
)
def test_a_weight_is_a_number(weight, shown):
    message = f'The weight of "x" is "{shown}"; write a number.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        LabelWord("x", weight)


@pytest.mark.parametrize("text", ["", " \n", None, 5])
def test_a_label_word_is_not_empty(text):
    message = "A label word is empty; write a word or take the comma away."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        LabelWord(text)


@pytest.mark.parametrize("sign", [",", ":", "*"])
def test_a_sign_of_the_text_form_is_no_part_of_a_word(sign):
    message = (
        f'Label word "a{sign}b" holds "{sign}"; '
        "write words between commas, and weights as good*0.5."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        LabelWord(f"a{sign}b")


def test_the_longest_word_and_label_fit_and_one_more_character_does_not():
    longest = Verbalizer({"b" * 60: ["x" * 60], "c": ["y"]})
    assert longest.names[0] == "b" * 60
    with pytest.raises(
        PlaygroundError, match=r'^Label word "x{39}…" has 61 characters; the most is 60\.$'
    ):
        LabelWord("x" * 61)
    with pytest.raises(
        PlaygroundError, match=r'^Label "b{39}…" has 61 characters; the most is 60\.$'
    ):
        Verbalizer({"b" * 61: ["x"], "c": ["y"]})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "There are no labels; give at least two, one a line."),
        ([["a", "x"]], "Label words are a mapping of labels to words, not a list."),
        ("a: x", "Label words are a mapping of labels to words, not a str."),
        ({"a": "great"}, 'The words of label "a" must be a list of words.'),
        ({"a": {"x", "y"}}, 'The words of label "a" must be a list of words.'),
        ({"a": None}, 'The words of label "a" must be a list of words.'),
        ({"a": []}, 'Label "a" has no words; add at least one after the colon.'),
        ({"a b": ["x"], " a  b ": ["y"]}, 'Label "a b" stands twice; keep one line of it.'),
        ({"": ["x"]}, "A label has no name; write its name before the colon."),
        ({1: ["x"]}, "A label has no name; write its name before the colon."),
        ({"a:b": ["x"]}, 'Label "a:b" holds ":"; choose a name without it.'),
        ({"a": [5]}, '"5" is no label word; write "good" or {"word": "good", "weight": 0.5}.'),
        ({"a": [{"word": "x", "wait": 1}]}, "\"{'wait': 1, 'word': 'x'}\" is no label word; write \"good\" or {\"word\": \"good\", \"weight\": 0.5}."),
        ({"a": [["x", "y", "z"]]}, "\"['x', 'y', 'z']\" is no label word; write \"good\" or {\"word\": \"good\", \"weight\": 0.5}."),
        ({"a": ["x"], "b": ["y", "x"]}, 'Label word "x" stands under both "a" and "b"; keep one.'),
        ({"a": ["x", "y", " x"], "b": ["z"]}, 'Label word "x" stands twice under "a"; keep one.'),
    ],
)  # fmt: skip
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Verbalizer(labels)


def test_the_most_labels_fit_and_one_more_does_not():
    labels = {f"l{i}": [f"w{i}"] for i in range(65)}
    assert len(Verbalizer(dict(list(labels.items())[:64])).names) == 64
    with pytest.raises(PlaygroundError, match=exactly("There are 65 labels; the most is 64.")):
        Verbalizer(labels)


def test_the_most_words_fit_and_one_more_does_not():
    words = [f"w{i}" for i in range(512)]
    assert len(Verbalizer({"a": words[1:], "b": words[:1]}).words) == 512
    with pytest.raises(
        PlaygroundError, match=exactly("There are 513 label words; the most is 512.")
    ):
        Verbalizer({"a": words, "b": ["x"]})


def test_the_limits_are_settings(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_MAX_LABELS", "2")
    monkeypatch.setenv("PLAYGROUND_MAX_LABEL_WORDS", "3")
    with pytest.raises(PlaygroundError, match=exactly("There are 3 labels; the most is 2.")):
        Verbalizer({"a": ["x"], "b": ["y"], "c": ["z"]})
    with pytest.raises(PlaygroundError, match=exactly("There are 4 label words; the most is 3.")):
        Verbalizer({"a": ["x"], "b": ["y", "z", "w"]})


def test_a_text_form_far_too_long_is_refused_before_it_is_read():
    message = "The label words have 102,401 characters; the most is 102,400."  # 512 words x 200
    with pytest.raises(PlaygroundError, match=exactly(message)):
        Verbalizer.from_text("x" * 102_401)


def test_the_longest_verbalizer_has_a_text_form_that_is_read_back():
    labels = {
        f"{label:060}": [(f"{label * 8 + k:060}", 100_000.12345678912 + k) for k in range(8)]
        for label in range(64)
    }
    verbalizer = Verbalizer(labels)
    assert Verbalizer.from_text(verbalizer.to_text()) == verbalizer


def test_verbalizers_are_values_and_their_order_counts():
    verbalizer = Verbalizer(MappingProxyType(LABELS))
    assert verbalizer == Verbalizer(LABELS)
    assert hash(verbalizer) == hash(Verbalizer(LABELS))
    assert verbalizer != Verbalizer(dict(reversed(LABELS.items())))
    assert verbalizer != LABELS
    assert Verbalizer({"a": [("x", 2)], "b": ["y"]}) != Verbalizer({"a": ["x"], "b": ["y"]})


def test_a_later_change_of_the_given_labels_changes_nothing():
    labels = {"a": ["x"], "b": ["y"]}
    verbalizer = Verbalizer(labels)
    labels["b"].append("z")
    labels["c"] = ["w"]
    assert verbalizer == Verbalizer({"a": ["x"], "b": ["y"]})
