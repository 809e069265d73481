"""Sentiment words swapped in place: case and articles kept right, and a shipped lexicon that is sound."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import PlaygroundError
from playground.tasks.lexicon import Lexicon

SWAPS = [
    {"word": "good", "antonym": "awful", "synonym": "nice"},
    {"word": "boring", "antonym": "exciting", "synonym": "dull"},
    {"word": "awful", "antonym": "good", "synonym": "horrible"},
    {"word": "honest", "antonym": "dishonest", "synonym": "sincere"},
    {"word": "unique", "antonym": "ordinary", "synonym": "special"},
    {"word": "unimpressive", "antonym": "impressive", "synonym": "useless"},
    {"word": "well-made", "antonym": "sloppy", "synonym": "polished"},
]
LEXICON = Lexicon.from_json({"swaps": SWAPS})


# ---- swapping ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "opposite", "same"),
    [
        ("A good film.", "An awful film.", "A nice film."),
        ("an awful, boring film", "a good, exciting film", "a horrible, dull film"),
        ("GOOD! Good, good.", "AWFUL! Awful, awful.", "NICE! Nice, nice."),
        ("AN AWFUL SHOW", "A GOOD SHOW", "A HORRIBLE SHOW"),
        ("A GOOD SHOW", "AN AWFUL SHOW", "A NICE SHOW"),
        ("an honest man", "a dishonest man", "a sincere man"),
        ("a unique place", "an ordinary place", "a special place"),
        ("an unimpressive play", "an impressive play", "a useless play"),
        ("a  boring\nfilm, the good old man", "an  exciting\nfilm, the awful old man", "a  dull\nfilm, the nice old man"),
        ("plan a: good", "plan a: awful", "plan a: nice"),
        ("vitamin-a good", "vitamin-a awful", "vitamin-a nice"),
        ("an good film", "an awful film", "an nice film"),  # a slip of the text is left as it is
        ("a well-made film", "a sloppy film", "a polished film"),
        ("it wasn't good", "it wasn't awful", "it wasn't nice"),
    ],
)  # fmt: skip
def test_every_known_word_is_swapped_in_its_place(text, opposite, same):
    found = LEXICON.swap(text)
    assert (found.text, found.opposite, found.same) == (text, opposite, same)


@pytest.mark.parametrize("text", ["", "A goodness test", "feel-good", "goods", "gut", "go\u0301od"])
def test_a_text_without_a_whole_known_word_has_no_twin(text):
    assert LEXICON.swap(text) is None


@given(st.text(alphabet="anoGOODgood AWFULawful'-.\n\U0001f600", max_size=60))
def test_all_but_the_words_and_their_articles_stays(text):
    found = LEXICON.swap(text)
    if found is None:
        return
    assert len(found.words) >= 1
    assert len(found.opposite.split()) == len(text.split()) == len(found.same.split())
    for word in found.words:
        assert word.lower() in LEXICON.swaps


def test_the_words_found_are_told():
    assert LEXICON.swap("Good and boring and good").words == ("Good", "boring", "good")


# ---- the file ------------------------------------------------------------------------------------


def test_the_shipped_lexicon_is_sound():
    lexicon = Lexicon.load()
    assert (lexicon.name, 80 <= len(lexicon) <= 120) == ("sentiment_swaps", True)
    words = {w for swap in lexicon.swaps.values() for w in (swap.word, swap.antonym, swap.synonym)}
    assert all(word.isalpha() and word.islower() for word in words)
    praise, blame = sides(lexicon)
    assert not praise & blame
    assert praise | blame == words
    assert {"good", "funny", "loved", "finest", "polite"} <= praise
    assert {"bad", "boring", "hated", "poorest", "rude"} <= blame


def sides(lexicon: Lexicon) -> tuple[set[str], set[str]]:
    """Return all words of praise and of blame, from one of each group of words that touch."""
    near: dict[str, set[tuple[str, bool]]] = {}
    for swap in lexicon.swaps.values():
        for other, same in ((swap.antonym, False), (swap.synonym, True)):
            near.setdefault(swap.word, set()).add((other, same))
            near.setdefault(other, set()).add((swap.word, same))
    known = (set(), set())
    queue = [(word, 0) for word in KNOWN_PRAISE]
    while queue:
        word, side = queue.pop()
        if word not in known[side]:
            known[side].add(word)
            queue += [(other, side if same else 1 - side) for other, same in near.get(word, ())]
    return known


KNOWN_PRAISE = (
    *("good", "best", "funny", "clever", "wise", "interesting", "exciting", "convincing", "strong"),
    *("perfect", "memorable", "remarkable", "effective", "useful", "valuable", "beautiful", "nice"),
    *("happy", "warm", "friendly", "polite", "honest", "fresh", "delicious", "clean", "graceful"),
    *("comfortable", "loved", "enjoy", "enjoyed", "admired", "loves", "love", "pleasant"),
    *("enjoyable", "entertaining", "impressive", "outstanding", "magnificent", "amazing"),
    *("wonderful", "terrific", "charming", "smart", "reasonable", "brilliant", "helpful", "adore"),
)


def test_a_lexicon_is_read_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"source": "me", "swaps": SWAPS}), encoding="utf-8-sig")
    assert Lexicon.load(path).swaps == LEXICON.swaps
    assert Lexicon.load(path).name == "mine"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], r'^A lexicon is a JSON object with "swaps", a list of objects with word, antonym and'),
        ({"words": []}, r'^A lexicon is a JSON object with "swaps"'),
        ({"swaps": []}, r"^The lexicon has no swaps; give at least one word\.$"),
        ({"swaps": SWAPS * 2}, r'^The lexicon has "good" twice, the second as swap 8; keep one\.$'),
        ({"swaps": SWAPS * 2000}, r"^The lexicon has 14,000 swaps; the most is 10,000\.$"),
        ({"swaps": [{"word": "good", "antonym": "bad"}]}, r"^Swap 1 of the lexicon is .* it must have word,"),
        ({"swaps": ["good"]}, r'^Swap 1 of the lexicon is "good"; it must have word, antonym and syn'),
        ({"swaps": [{**SWAPS[0], "synonym": 7}]}, r'^Swap 1 of the lexicon has the synonym "7"; it must be'),
        ({"swaps": [{**SWAPS[0], "antonym": "not good"}]}, r'has the antonym "not good"; it must be one word'),
        ({"swaps": [{**SWAPS[0], "synonym": "Good"}]}, r'^Swap 1 of the lexicon, "good", has the same word'),
    ],
)  # fmt: skip
def test_a_lexicon_that_is_none_says_why(data, sentence):
    with pytest.raises(PlaygroundError, match=sentence):
        Lexicon.from_json(data)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            None,
            r'^The lexicon ".*x\.json" cannot be read \(No such file or directory\); give a JSON',
        ),
        (b"{", r'^The lexicon ".*x\.json" is not JSON; check its commas and quotes\.$'),
        (b"\xff", r"is not JSON"),
        (b"[" * 200_000, r"is not JSON"),
        (b" " * ((1 << 20) + 1), r"is larger than 1 MiB\.$"),
    ],
)
def test_a_file_that_is_none_says_why(tmp_path, content, sentence):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlaygroundError, match=sentence):
        Lexicon.load(path)
