"""Candidate spans: offsets that hold under any Unicode, what is a word, and what looks like a name."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from playground.errors import PlaygroundError
from playground.tasks.entities.spans import (
    CANDIDATES,
    Span,
    all_spans,
    candidates,
    given_spans,
    name_spans,
    words,
)

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one sign of five code points
PIECES = [
    *("Maria", "of", "Oxford", "the", "12", "3.5", "I", "J.", "R.", "A", "é", "e\u0301", "O'Neill"),
    *(
        "Jean-Luc",
        "AT&T",
        "’",
        "-",
        "-",
        "'",
        "&",
        ".",
        ",",
        "(",
        ")",
        "@ana",
        "a@b.c",
        "www.Ab.de",
    ),
    *("https://Ab.de/X", "Ab.de/X", "[MASK]", "{span}", "{mask}", " ", "  ", "\n", "\t", "\u00a0"),
    *("\u2028", "\u3000", "\u202e", "\u200d", "\u200b", "\ufeff", "\x00", "\ud800", "\udfff"),
    *(
        "\u0301",
        FAMILY,
        "\U0001f1eb\U0001f1f7",
        "مريم",
        "ירושלים",
        "東京",
        "タワー",
        "กรุงเทพ",
        "İ",
        "ß",
    ),
]
pieces = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=4)), max_size=14
).map("".join)


def shown(text: str, spans) -> list[str]:
    return [text[span.start : span.end] for span in spans]


# ---- words ----------------------------------------------------------------------------------------


@settings(max_examples=500)
@given(text=pieces)
@example(text=f"Maria {FAMILY} e\u0301te\u0301 \u202eOxford\u202c \ud800 東京")
@example(text="a\u0301-\u0301b")
def test_words_are_stretches_of_the_text_in_order_under_any_unicode(text):
    found = words(text)
    for span in found:
        word = text[span.start : span.end]
        assert word
        assert word == word.strip()
        assert any(sign.isalpha() or sign.isnumeric() for sign in word)
    ends = [0, *(span.end for span in found)]
    assert all(end <= span.start for end, span in zip(ends, found, strict=False))


@settings(max_examples=300)
@given(text=pieces)
def test_no_letter_and_no_digit_is_left_out_of_the_words(text):
    covered = {place for span in words(text) for place in range(span.start, span.end)}
    assert [
        sign
        for i, sign in enumerate(text)
        if (sign.isalpha() or sign.isdigit()) and i not in covered
    ] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Maria met Tom.", ["Maria", "met", "Tom"]),
        ("Jean-Luc's well-known co‑op", ["Jean-Luc's", "well-known", "co‑op"]),
        ("O'Neill, O’Neill and rock'n'roll", ["O'Neill", "O’Neill", "and", "rock'n'roll"]),
        ("AT&T, R & B, R&B", ["AT&T", "R", "B", "R&B"]),
        ("C - D -E F- G--H", ["C", "D", "E", "F", "G", "H"]),
        ("3.5 of 1,000 on 12/05", ["3.5", "of", "1,000", "on", "12", "05"]),
        ("U.S. Army", ["U.S", "Army"]),
        ("“Quoted” (and) [put] {so}!", ["Quoted", "and", "put", "so"]),
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("Владимир Путин", ["Владимир", "Путин"]),
        ("مريم في القاهرة", ["مريم", "في", "القاهرة"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("say \u202eabc\u202c def", ["say", "abc\u202c", "def"]),
        (f"Hi {FAMILY} you", ["Hi", "you"]),
        ("a\ud800b", ["a", "b"]),
        ("one\u00a0two\u3000three\u2028four", ["one", "two", "three", "four"]),
        ("", []),
        (" \t\n", []),
        ("… — !? *** \U0001f600", []),
    ],
)
def test_words_of_a_text(text, expected):
    assert shown(text, words(text)) == expected


def test_offsets_are_code_points_of_the_text_as_it_is_given():
    text = f"{FAMILY} e\u0301t\u00e9 \U0001f600 Maria"
    (*_, last) = words(text)
    assert last == Span(len(text) - 5, len(text))
    assert (last.start, text.index("Maria")) == (13, 13)


def test_spans_share_a_character_or_do_not():
    one = Span(2, 5)
    assert [one.overlaps(Span(*at)) for at in [(0, 2), (0, 3), (3, 4), (4, 9), (5, 9)]] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert [one.holds(Span(*at)) for at in [(2, 5), (3, 4), (2, 4), (1, 4), (4, 6), (1, 9)]] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


# ---- all spans --------------------------------------------------------------------------------------


@given(text=pieces, most=st.integers(1, 6))
def test_all_spans_are_every_pair_of_words_near_enough(text, most):
    cut = words(text)
    expected = {
        Span(first.start, last.end)
        for i, first in enumerate(cut)
        for k, last in enumerate(cut)
        if 0 <= k - i < most
    }
    found = all_spans(text, most_words=most)
    assert set(found) == expected
    assert found == sorted(expected)
    n, most = len(cut), min(most, len(cut))
    assert len(found) == n * most - most * (most - 1) // 2


def test_all_spans_of_a_sentence():
    text = "We saw Oxford."
    assert shown(text, all_spans(text, most_words=2)) == [
        "We", "We saw", "saw", "saw Oxford", "Oxford",
    ]  # fmt: skip


@pytest.mark.parametrize("most", [0, -3])
def test_a_span_of_no_words_is_refused(most):
    message = rf"^A span has at least 1 word; {most} is asked for\.$"
    with pytest.raises(PlaygroundError, match=message):
        all_spans("Maria", most_words=most)


# ---- what looks like a name -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("J. R. R. Tolkien wrote The Hobbit.", ["J. R. R. Tolkien", "The Hobbit"]),
        ("She studied at the University of Oxford.", ["University of Oxford"]),
        ("It was on 12 May 2024.", ["12 May 2024"]),
        ("We met Ludwig van Beethoven and Vasco da Gama.", ["Ludwig van Beethoven", "Vasco da Gama"]),
        ("Simon & Garfunkel sang.", ["Simon & Garfunkel"]),
        ("Dr. Chen and Mr. Smith left.", ["Dr. Chen", "Mr. Smith"]),
        ("We saw Jean-Luc Picard with O'Neill.", ["Jean-Luc Picard", "O'Neill"]),
        ("Bob, Alice and Carol came.", ["Bob", "Alice", "Carol"]),
        ("He met Smith (London).", ["Smith", "London"]),
        ("New York\nCity", ["New York", "City"]),
        ("iPhone 15 Pro", ["iPhone 15 Pro"]),
        ("MARIA LOPEZ of IBM", ["MARIA LOPEZ of IBM"]),
        ("Bank of nothing", ["Bank"]),
        # function words that start a sentence
        ("When Maria came, Tom left. The end.", ["Maria", "Tom"]),
        ("“The Beatles” sang! But Anna slept.", ["Beatles", "Anna"]),
        ("we like\nThe Beatles", ["Beatles"]),
        ("we like The Beatles", ["The Beatles"]),
        ("Don't tell Anna.", ["Anna"]),
        ("I'm here and I don't know.", []),
        ("They said that He and She were there.", []),
        ("IT is big in the US.", ["IT", "US"]),
        # web addresses and @names
        ("see https://www.Example.com/Foo and @Maria in Rome", ["Rome"]),
        ("write to Tom.Lee@Example.com or http://Ab.de, Anna", ["Anna"]),
        ("www.Foo.com, foo.Bar/Baz and my-site.Example.org/X for Paris", ["Paris"]),
        ("RT @Foo: Paris", ["Paris"]),
        # numbers and small letters
        ("all lower case here", []),
        ("2024 was good, and 1 2 3 too", []),
        ("3M and 7-Eleven", ["3M", "7-Eleven"]),
        # other scripts
        ("Владимир Сорокин в Москве", ["Владимир Сорокин", "Москве"]),
        ("東京タワー مريم กรุงเทพ", []),
        ("Zoe\u0308 and \u00c5sa \u202eOslo", ["Zoe\u0308", "\u00c5sa", "Oslo"]),
        ("", []),
    ],
)  # fmt: skip
def test_names_of_a_sentence(text, expected):
    assert shown(text, name_spans(text)) == expected


@settings(max_examples=500)
@given(text=pieces)
def test_names_are_runs_of_words_that_do_not_overlap(text):
    cut = words(text)
    starts, ends = {word.start for word in cut}, {word.end for word in cut}
    found = name_spans(text)
    for span in found:
        assert span.start in starts
        assert span.end in ends
        assert any(sign.isupper() for sign in text[span.start : span.end])
        assert "\n" not in text[span.start : span.end]
        assert sum(span.holds(word) for word in cut) <= 8
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


def test_a_run_is_cut_at_the_most_words():
    text = "Ann Ben Cat Dan"
    assert shown(text, name_spans(text, most_words=2)) == ["Ann Ben", "Cat Dan"]


# ---- given spans and candidates ---------------------------------------------------------------------


def test_given_spans_are_sorted_and_each_once():
    places = [(6, 9), (0, 5), (6, 9), (0, 9)]
    assert given_spans("Maria Tom", places) == [Span(0, 5), Span(0, 9), Span(6, 9)]
    assert given_spans("Maria", []) == []
    assert given_spans("", []) == []


@pytest.mark.parametrize("place", [(0, 0), (3, 2), (-1, 3), (2, 8), (7, 8), (-5, -1)])
def test_a_given_span_outside_the_text_is_refused(place):
    message = (
        f"The span from {place[0]} to {place[1]} does not lie in the text, which has 7 characters; "
        "a span has 0 <= start < end."
    )
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        given_spans("Maria T", [(0, 5), place])


def test_a_given_span_of_white_space_is_refused():
    message = r"^The span from 1 to 3 holds white space only\.$"
    with pytest.raises(PlaygroundError, match=message):
        given_spans("a \tb", [(1, 3)])


def test_candidates_are_names_or_all_spans():
    text = "the man met Maria Lopez"
    assert candidates(text) == name_spans(text) == [Span(12, 23)]
    assert candidates(text, "all", most_words=2) == all_spans(text, most_words=2)
    assert list(CANDIDATES) == ["names", "names and numbers", "all"]


def test_unknown_candidates_are_refused():
    message = r'^There are no candidates "some"; choose one of names, names and numbers, all\.$'
    with pytest.raises(PlaygroundError, match=message):
        candidates("Maria", "some")


@pytest.mark.parametrize("text", ["", "  \n", "?!", "\U0001f600", "\ud800\u202e"])
@pytest.mark.parametrize("kind", list(CANDIDATES))
def test_a_text_without_words_has_no_candidates(text, kind):
    message = r"^The text has no words; write a sentence with a name in it\.$"
    with pytest.raises(PlaygroundError, match=message):
        candidates(text, kind)


# ---- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [words, all_spans, name_spans])
@pytest.mark.parametrize(
    "word", ["Maria ", "word ", "The Word of Maria, ", "A. ", "@a ", "Ab.de/x "]
)
def test_ten_times_the_words_take_no_more_than_in_proportion(cut, word):
    """And ten thousand are cut within a second; what grows with the square takes a hundred times as long."""

    def seconds(count: int) -> float:
        text, taken = word * (count // len(word.split())), []
        for _ in range(3):
            started = time.thread_time()
            cut(text)
            taken.append(time.thread_time() - started)
        return min(taken)

    large = seconds(10_000)
    assert large < 1
    assert large < 30 * seconds(1_000)


def test_numbers_alone_are_candidates_if_they_are_asked_for():
    text = "In 1998 we paid 2,500 to Maria on 12 May 2024."

    def found(kind):
        return [text[span.start : span.end] for span in candidates(text, kind)]

    assert found("names") == ["Maria", "12 May 2024"]
    assert found("names and numbers") == ["1998", "2,500", "Maria", "12 May 2024"]
