"""Candidate spans of a text: all word-aligned ones, those that look like names, or given ones.

Words are those of Unicode's default word boundaries (UAX 29), joined over hyphens and the like, so any
language that has word boundaries is cut, and offsets are code points of the text as it is given.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import regex

from playground.errors import PlaygroundError, shorten

CANDIDATES = {
    "names": "Runs of capitalised words, with the numbers and small words within them: quick.",
    "names and numbers": "The same, and numbers that stand alone, such as years.",
    "all": "Every span of up to the most words: slower, and finds names in lower case too.",
}
_SEGMENT = regex.compile(r"\b\S+?\b", regex.WORD)
_WORDLIKE = regex.compile(r"[\p{L}\p{N}]")
_NUMBER = regex.compile(r"\p{N}[\p{N}.,:/\-–]*")
# possessive, and tried once a run of signs, so that no text takes longer than its length
_ADDRESS = regex.compile(
    r"(?:https?://|www\.)\S++|(?<![\w.\-])\w[\w\-]*+(?:\.[\w\-]++)++/\S*+|(?<!\S)[^\s@]*+@\S++"
)
_INITIALS = regex.compile(r"\w\w?|\w(?:\.\w)+")
_JOINTS = frozenset("-‐‑&'’+")  # with no space around them they hold a word together
_LINKS = frozenset(["of", "de", "la", "le", "du", "del", "der", "von", "van", "da", "di", "al"])
_ENGLISH = """
a about above across after again against ain all almost also although always am among an and any are
aren around as at be because been before being below between both but by can cannot could couldn did
didn do does doesn doing don down during each either else even ever every few for from further had
hadn has hasn have haven having he her here hers herself him himself his how however i if in inside
into is isn it its itself just last least less let maybe me might mine more most much must my myself
near neither never next no nobody none nor not nothing now of off often on once one only or other
our ours out over own per perhaps please quite rather really rt same shall she should shouldn since
so some somebody someone something soon still such than that the their theirs them then there these
they this those though through thus till to today together tomorrow too tonight toward under until
up upon us very via was wasn we well were weren what when whenever where whether which while who
whoever whom whose why will with within without won would wouldn yes yesterday yet you your yours
"""
_FUNCTION_WORDS = frozenset(_ENGLISH.split())  # of other languages nothing is taken away
_STOPS = frozenset('.!?:;…"“”‘«»(-–—|*')
_LONGEST_RUN = 8


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of a text: ``text[start:end]``, in code points."""

    start: int
    end: int

    def overlaps(self, other: Span) -> bool:
        """Return whether the two share a character."""
        return self.start < other.end and other.start < self.end

    def holds(self, other: Span) -> bool:
        """Return whether ``other`` lies within this one."""
        return self.start <= other.start and other.end <= self.end


def words(text: str) -> list[Span]:
    """Return the words of a text in order; signs and white space are none."""
    found: list[Span] = []
    for match in _SEGMENT.finditer(text):
        if not _WORDLIKE.search(match.group()):
            continue
        start, end = match.span()
        if found and _joined(text, found[-1].end, start):
            start = found.pop().start
        found.append(Span(start, end))
    return found


def all_spans(text: str, *, most_words: int = 4) -> list[Span]:
    """Return every span of 1 to ``most_words`` neighbouring words, by start, then by length."""
    if most_words < 1:
        raise PlaygroundError(f"A span has at least 1 word; {most_words} is asked for.")
    cut = words(text)
    return [
        Span(first.start, cut[last].end)
        for i, first in enumerate(cut)
        for last in range(i, min(i + most_words, len(cut)))
    ]


def name_spans(text: str, *, most_words: int = _LONGEST_RUN, numbers: bool = False) -> list[Span]:
    """Return runs of words that look like a name or a date, from left to right.

    A run starts with a capitalised word or a number, ends with one, and holds a capital, unless ``numbers``
    alone are wanted too; small words such as "of" may link two of its words. An English function word that starts a sentence
    is left out, so that "When Maria" is "Maria", and so are runs of such words; web addresses and
    @names are no words here. Writing without capitals (Arabic, Chinese, Thai) has no runs: take all spans.
    """
    addresses = [Span(*match.span()) for match in _ADDRESS.finditer(text)]
    starts = [place.start for place in addresses]

    def free(word: Span) -> bool:
        k = bisect_left(starts, word.end)
        return not (k and addresses[k - 1].overlaps(word))

    cut = [word for word in words(text) if free(word)]
    found: list[Span] = []
    i = 0
    while i < len(cut):
        end = i + 1
        if _marked(text, cut[i]):
            end = _run_end(text, cut, i, most_words)
            run = _trimmed(text, cut[i:end])
            if run and (numbers or any(_capitalised(text, word) for word in run)):
                found.append(Span(run[0].start, run[-1].end))
        i = end
    return found


def given_spans(text: str, places: Iterable[tuple[int, int]]) -> list[Span]:
    """Return spans of given offsets, sorted; PlaygroundError for one that is empty or outside."""
    found = []
    for place in places:
        if not (
            isinstance(place, tuple | list)
            and len(place) == 2
            and all(type(offset) is int for offset in place)
        ):
            raise PlaygroundError(f"A span is a start and an end, not {shorten(place)}.")
        start, end = place
        if not 0 <= start < end <= len(text):
            raise PlaygroundError(
                f"The span from {start} to {end} does not lie in the text, which has {len(text):,} "
                "characters; a span has 0 <= start < end."
            )
        if not text[start:end].strip():
            raise PlaygroundError(f"The span from {start} to {end} holds white space only.")
        found.append(Span(start, end))
    return sorted(set(found))


def candidates(text: str, kind: str = "names", *, most_words: int = 4) -> list[Span]:
    """Return the spans of ``kind``, one of CANDIDATES; PlaygroundError for a text without words."""
    if kind not in CANDIDATES:
        raise PlaygroundError(
            f"There are no candidates {shorten(kind)}; choose one of {', '.join(CANDIDATES)}."
        )
    if not words(text):
        raise PlaygroundError("The text has no words; write a sentence with a name in it.")
    if kind == "all":
        return all_spans(text, most_words=most_words)
    return name_spans(text, numbers=kind != "names")


def _joined(text: str, end: int, start: int) -> bool:
    return start == end or (start == end + 1 and text[end] in _JOINTS)


def _near(text: str, one: Span, next_one: Span) -> bool:
    """Return whether only spaces, an ampersand, or the point of an initial stand between two words."""
    between = text[one.end : next_one.start]
    if "\n" in between:
        return False
    signs = between.strip()
    if signs in ("", "&"):
        return True
    return signs == "." and between.startswith(".") and _initial(text, one, next_one)


def _initial(text: str, one: Span, next_one: Span) -> bool:
    """Return whether a word before a point is an initial or an abbreviation: J, J.R.R, Dr, U.S."""
    written = text[one.start : one.end]
    if not _INITIALS.fullmatch(written) or _ordinary(text, next_one):
        return False
    return written != "I" or next_one.end - next_one.start == 1  # "So do I. Paris is nice."


def _plain(text: str, word: Span) -> str:
    return text[word.start : word.end].lower()


def _capitalised(text: str, word: Span) -> bool:
    return any(letter.isupper() for letter in text[word.start : word.end])


def _marked(text: str, word: Span) -> bool:
    return _capitalised(text, word) or bool(_NUMBER.fullmatch(text, word.start, word.end))


def _run_end(text: str, cut: list[Span], first: int, most_words: int) -> int:
    """Return the place behind the run that starts at ``first``."""
    end = first + 1
    while end < len(cut) and end - first < most_words and _near(text, cut[end - 1], cut[end]):
        if _marked(text, cut[end]):
            end += 1
        elif (
            _plain(text, cut[end]) in _LINKS
            and end + 1 < len(cut)
            and _near(text, cut[end], cut[end + 1])
            and _capitalised(text, cut[end + 1])
        ):
            end += 2
        else:
            break
    return end


def _trimmed(text: str, run: list[Span]) -> list[Span]:
    """Return the run without the function word that starts a sentence; nothing if it holds no other."""
    ordinary = [_ordinary(text, word) for word in run]
    if all(ordinary):
        return []
    before = text[: run[0].start].rstrip()
    starts = not before or before[-1] in _STOPS or "\n" in text[len(before) : run[0].start]
    return run[1:] if ordinary[0] and starts else run


def _ordinary(text: str, word: Span) -> bool:
    """Return whether a word is a function word; "IT" and "US" in capitals are none, nor is "A." """
    written = text[word.start : word.end]
    if written == "A" and text[word.end : word.end + 1] == ".":
        return False
    if len(written) > 1 and written.isupper() and written != "RT":
        return False
    return regex.split("['’]", written.lower())[0] in _FUNCTION_WORDS
