"""Verbalizers: label to weighted label words, as text that people edit and as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from playground.errors import PlaygroundError, shorten
from playground.settings import settings

MAX_WORD_CHARS = 60
MAX_LABEL_CHARS = 60
_MAX_CHARS_PER_WORD = 200  # of the text form: the word, its weight, and its label before it
_FORBIDDEN = re.compile(r"[,:*\n\r]")


@dataclass(frozen=True)
class LabelWord:
    """A word that votes for a label, and the weight of its vote (positive, 1 by default)."""

    text: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise PlaygroundError("A label word is empty; write a word or take the comma away.")
        object.__setattr__(self, "text", " ".join(self.text.split()))
        if len(self.text) > MAX_WORD_CHARS:
            raise PlaygroundError(
                f"Label word {shorten(self.text)} has {len(self.text)} characters; "
                f"the most is {MAX_WORD_CHARS}."
            )
        if found := _FORBIDDEN.search(self.text):
            raise PlaygroundError(
                f'Label word {shorten(self.text)} holds "{found.group()}"; '
                "write words between commas, and weights as good*0.5."
            )
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float):
            raise PlaygroundError(
                f"The weight of {shorten(self.text)} is {shorten(self.weight)}; write a number."
            )
        if not 0 < self.weight <= 1e6:  # so is "not a number", which compares false
            raise PlaygroundError(
                f"The weight of {shorten(self.text)} is {shorten(self.weight)}; "
                "it must be above 0 and at most 1,000,000."
            )
        object.__setattr__(self, "weight", float(self.weight))

    def __str__(self) -> str:
        return self.text if self.weight == 1.0 else f"{self.text}*{self.weight!r}"


@dataclass(frozen=True)
class Verbalizer:
    """Label words by label, at least two labels, no word under two of them.

    ``Verbalizer({"positive": ["great", ("good", 0.5)], "negative": ["awful"]})``: a label word is a
    string, a pair (word, weight), a mapping with "word" and "weight", or a LabelWord.
    """

    labels: Mapping[str, tuple[LabelWord, ...]]

    def __post_init__(self) -> None:
        if not isinstance(self.labels, Mapping):
            raise PlaygroundError(
                f"Label words are a mapping of labels to words, not a {type(self.labels).__name__}."
            )
        cleaned: dict[str, tuple[LabelWord, ...]] = {}
        for label, words in self.labels.items():
            name = _label_name(label)
            if name in cleaned:
                raise PlaygroundError(f"Label {shorten(name)} stands twice; keep one line of it.")
            if isinstance(words, str) or not isinstance(words, Sequence):
                raise PlaygroundError(
                    f"The words of label {shorten(name)} must be a list of words."
                )
            cleaned[name] = tuple(_label_word(word) for word in words)
            if not cleaned[name]:
                raise PlaygroundError(
                    f"Label {shorten(name)} has no words; add at least one after the colon."
                )
        _check_counts(cleaned)
        _check_collisions(cleaned)
        object.__setattr__(self, "labels", cleaned)

    def __eq__(self, other: object) -> bool:
        """Equal labels in the same order: the order is that of the columns of the scores."""
        if not isinstance(other, Verbalizer):
            return NotImplemented
        return tuple(self.labels.items()) == tuple(other.labels.items())

    def __hash__(self) -> int:
        return hash(tuple(self.labels.items()))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels in order, (C,)."""
        return tuple(self.labels)

    @cached_property
    def words(self) -> tuple[LabelWord, ...]:
        """All label words, label by label, (W,)."""
        return tuple(word for words in self.labels.values() for word in words)

    @cached_property
    def label_of_word(self) -> tuple[int, ...]:
        """For each of ``words`` the index of its label, (W,)."""
        return tuple(i for i, words in enumerate(self.labels.values()) for _ in words)

    @classmethod
    def from_text(cls, source: str) -> Verbalizer:
        """Read the text form, a label a line: ``positive: great, amazing, good*0.5``.

        Raises PlaygroundError that names the line.
        """
        limit = settings().max_label_words * _MAX_CHARS_PER_WORD
        if len(source) > limit:
            raise PlaygroundError(
                f"The label words have {len(source):,} characters; the most is {limit:,}."
            )
        labels: dict[str, list[LabelWord]] = {}
        for number, line in enumerate(source.splitlines(), start=1):
            if not line.strip():
                continue
            label, colon, rest = line.partition(":")
            if not colon:
                raise PlaygroundError(
                    f"Line {number} of the label words, {shorten(line)}, has no colon; "
                    "write it as label: word, word."
                )
            name = " ".join(label.split())
            if name in labels:
                raise PlaygroundError(
                    f"Label {shorten(name)} stands again on line {number}; keep one line of it."
                )
            labels[name] = [_word_from_text(word) for word in rest.split(",") if word.strip()]
        if not labels:
            raise PlaygroundError(
                "There are no label words; write a label a line, such as positive: great, good."
            )
        return cls(labels)  # type: ignore[arg-type]

    def to_text(self) -> str:
        """Return the text form; ``from_text`` reads it back to an equal verbalizer."""
        return "\n".join(
            f"{label}: {', '.join(str(word) for word in words)}"
            for label, words in self.labels.items()
        )

    def to_json(self) -> dict[str, list]:
        """Return the JSON form: a word is a string, or an object where its weight is not 1."""
        return {
            label: [
                word.text if word.weight == 1.0 else {"word": word.text, "weight": word.weight}
                for word in words
            ]
            for label, words in self.labels.items()
        }


def _label_name(label: object) -> str:
    if not isinstance(label, str) or not label.strip():
        raise PlaygroundError("A label has no name; write its name before the colon.")
    name = " ".join(label.split())
    if ":" in name:
        raise PlaygroundError(f'Label {shorten(name)} holds ":"; choose a name without it.')
    if len(name) > MAX_LABEL_CHARS:
        raise PlaygroundError(
            f"Label {shorten(name)} has {len(name)} characters; the most is {MAX_LABEL_CHARS}."
        )
    return name


def _label_word(word: object) -> LabelWord:
    match word:
        case LabelWord():
            return word
        case str():
            return LabelWord(word)
        case {"word": text, **rest} if set(rest) <= {"weight"}:
            return LabelWord(text, rest.get("weight", 1.0))  # type: ignore[arg-type]
        case (str() as text, weight):
            return LabelWord(text, weight)  # type: ignore[arg-type]
    raise PlaygroundError(
        f'{shorten(word)} is no label word; write "good" or {{"word": "good", "weight": 0.5}}.'
    )


def _word_from_text(source: str) -> LabelWord:
    text, star, weight = source.partition("*")
    if not star:
        return LabelWord(text)
    try:
        return LabelWord(text, float(weight))
    except ValueError:
        raise PlaygroundError(
            f"The weight of {shorten(text.strip())} is {shorten(weight)}; "
            "write a number, as in good*0.5."
        ) from None


def _check_counts(labels: Mapping[str, tuple[LabelWord, ...]]) -> None:
    limits = settings()
    if len(labels) < 2:
        raise PlaygroundError(
            f"There {'is one label' if labels else 'are no labels'}; give at least two, one a line."
        )
    if len(labels) > limits.max_labels:
        raise PlaygroundError(f"There are {len(labels)} labels; the most is {limits.max_labels}.")
    words = sum(len(entries) for entries in labels.values())
    if words > limits.max_label_words:
        raise PlaygroundError(
            f"There are {words} label words; the most is {limits.max_label_words}."
        )


def _check_collisions(labels: Mapping[str, tuple[LabelWord, ...]]) -> None:
    owner: dict[str, str] = {}
    for label, words in labels.items():
        for word in words:
            if word.text in owner:
                where = (
                    f"twice under {shorten(label)}"
                    if owner[word.text] == label
                    else f"under both {shorten(owner[word.text])} and {shorten(label)}"
                )
                raise PlaygroundError(f"Label word {shorten(word.text)} stands {where}; keep one.")
            owner[word.text] = label
