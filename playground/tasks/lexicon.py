"""Swaps of sentiment words: a text that says the opposite, and one that says the same.

A lexicon is a JSON file: ``{"swaps": [{"word": "good", "antonym": "bad", "synonym": "fine"}, ...]}``,
with name, language, description and source as one likes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground import resources
from playground.errors import PlaygroundError, shorten

SHIPPED = "sentiment_swaps"
_KEYS = ("word", "antonym", "synonym")
_MOST_BYTES, _MOST_SWAPS, _MOST_CHARS = 1 << 20, 10_000, 60
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_ARTICLE = re.compile(r"(?<![\w'’\-])(an?)(\s+)$", re.IGNORECASE)
_SOUNDS_OTHERWISE = re.compile(
    r"uni(?:[qtvfcl]|on|sex)|use|usu|usa|uti|eu|one|once|ubi", re.IGNORECASE
)
_SILENT_H = re.compile(r"hono|hones|hour|heir", re.IGNORECASE)


@dataclass(frozen=True)
class Swap:
    """A sentiment word with one that says the opposite and one that says the same, in lower case."""

    word: str
    antonym: str
    synonym: str


@dataclass(frozen=True)
class Swapped:
    """A text, its twin that says the opposite, its twin that says the same, and the words found."""

    text: str
    opposite: str
    same: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """Swaps by word, at least one."""

    name: str
    swaps: Mapping[str, Swap]

    def __len__(self) -> int:
        return len(self.swaps)

    @classmethod
    def load(cls, source: str | os.PathLike[str] = SHIPPED) -> Lexicon:
        """Read a lexicon from a file, or the shipped one by its name.

        Raises PlaygroundError, in one sentence, for a file that cannot be read or used.
        """
        path, shown = Path(source), shorten(source, 120)
        if not path.suffix and str(source) in resources.lexicon_names():
            path = resources.lexicon_path(str(source))
        try:
            with path.open("rb") as file:
                raw = file.read(_MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a file name"
            raise PlaygroundError(
                f"The lexicon {shown} cannot be read ({reason}); give a JSON file, or one of "
                f"{', '.join(resources.lexicon_names())}."
            ) from None
        if len(raw) > _MOST_BYTES:
            raise PlaygroundError(f"The lexicon {shown} is larger than 1 MiB.")
        try:
            data = json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            raise PlaygroundError(
                f"The lexicon {shown} is not JSON; check its commas and quotes."
            ) from None
        return cls.from_json(data, name=path.stem)

    @classmethod
    def from_json(cls, data: object, *, name: str = "lexicon") -> Lexicon:
        """Return the lexicon of a parsed file; PlaygroundError names the entry that is wrong."""
        entries = data.get("swaps") if isinstance(data, Mapping) else None
        if not isinstance(entries, list):
            raise PlaygroundError(
                'A lexicon is a JSON object with "swaps", a list of objects with word, antonym and '
                "synonym."
            )
        if not entries:
            raise PlaygroundError("The lexicon has no swaps; give at least one word.")
        if len(entries) > _MOST_SWAPS:
            raise PlaygroundError(
                f"The lexicon has {len(entries):,} swaps; the most is {_MOST_SWAPS:,}."
            )
        swaps: dict[str, Swap] = {}
        for number, entry in enumerate(entries, start=1):
            swap = _swap(entry, number)
            if swap.word in swaps:
                raise PlaygroundError(
                    f"The lexicon has {shorten(swap.word)} twice, the second as swap {number}; "
                    "keep one."
                )
            swaps[swap.word] = swap
        return cls(name, swaps)

    def swap(self, text: str) -> Swapped | None:
        """Return the twins of a text with every word that the lexicon knows swapped, or None.

        Upper case stays where it was, and a word that begins with another sound than the one before
        it takes its own article ("a good film", "an awful film").
        """
        found = [match for match in _WORD.finditer(text) if match.group().lower() in self.swaps]
        if not found:
            return None
        entries = [self.swaps[match.group().lower()] for match in found]
        return Swapped(
            text,
            _replaced(text, found, [entry.antonym for entry in entries]),
            _replaced(text, found, [entry.synonym for entry in entries]),
            tuple(match.group() for match in found),
        )


def _swap(entry: Any, number: int) -> Swap:
    if not isinstance(entry, Mapping) or set(entry) != set(_KEYS):
        raise PlaygroundError(
            f"Swap {number} of the lexicon is {shorten(entry)}; it must have word, antonym and "
            "synonym."
        )
    for key in _KEYS:
        value = entry[key]
        if not isinstance(value, str) or len(value) > _MOST_CHARS or not _WORD.fullmatch(value):
            raise PlaygroundError(
                f"Swap {number} of the lexicon has the {key} {shorten(value)}; it must be one word "
                "of letters."
            )
    word, antonym, synonym = (entry[key].lower() for key in _KEYS)
    if len({word, antonym, synonym}) < 3:
        raise PlaygroundError(
            f"Swap {number} of the lexicon, {shorten(word)}, has the same word twice; "
            "word, antonym and synonym must differ."
        )
    return Swap(word, antonym, synonym)


def _replaced(text: str, found: list[re.Match[str]], words: list[str]) -> str:
    parts: list[str] = []
    position = 0
    for match, word in zip(found, words, strict=True):
        before = text[position : match.start()]
        parts += [_with_article(before, match.group(), word), _cased(word, match.group())]
        position = match.end()
    return "".join([*parts, text[position:]])


def _with_article(before: str, old: str, new: str) -> str:
    """Return the text before a word, its last article fit for the new word if it was for the old."""
    article = _ARTICLE.search(before)
    if article is None or _vowel(old) == _vowel(new):
        return before
    given = article.group(1)
    if (len(given) == 2) != _vowel(old):
        return before  # no article but a letter or a slip, which is not ours to mend
    loud = given.isupper() and old.isupper() and len(old) > 1
    fit = given[0] + (("N" if loud or given == "AN" else "n") if _vowel(new) else "")
    return before[: article.start(1)] + fit + article.group(2)


def _vowel(word: str) -> bool:
    """Whether a word begins with the sound of a vowel, and so takes "an"."""
    if _SILENT_H.match(word):
        return True
    return word[0].lower() in "aeiou" and not _SOUNDS_OTHERWISE.match(word)


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word
