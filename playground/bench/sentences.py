"""Natural-looking English of any length from word lists: the same sentences for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator


def _choices(listing: str) -> tuple[str, ...]:
    return tuple(listing.split("|"))


_PEOPLE = _choices(
    "my sister|the old man|our teacher|a young doctor|the waiter|his neighbour|"
    "the whole family|a tired driver|the director|her best friend|the captain|two students"
)
_VERBS = _choices(
    "watched|liked|bought|forgot|painted|opened|repaired|described|found|ordered|sold|"
    "returned|praised|hated|finished|cleaned"
)
_QUALITIES = _choices(
    "small|beautiful|broken|quiet|expensive|wonderful|boring|strange|cold|famous|new|heavy|"
    "bright|empty|simple|noisy"
)
_THINGS = _choices(
    "film|book|restaurant|house|camera|song|bicycle|soup|hotel room|story|garden|game|letter|"
    "phone|concert|kitchen|market|bridge"
)
_PLACES = _choices(
    "near the station|in the city|at the lake|behind the school|on the island|"
    "in a small village|next to the bank|at home"
)
_TIMES = _choices(
    "yesterday|last summer|in the morning|after the rain|on Sunday|two weeks ago|"
    "before dinner|during the holidays"
)
_COMMENTS = (
    "and nobody could say why",
    "but it took far too long",
    "because the weather was good",
    "although it cost 250 dollars",
    "and we would do it again",
    "while the children slept",
    "which was a big surprise",
    "so everybody went home early",
)


def sentences(seed: int) -> Iterator[str]:
    """Yield sentences without end, of about 8 to 30 words."""
    draw = random.Random(seed)
    pick = draw.choice
    while True:
        words = [pick(_PEOPLE), pick(_VERBS), "the", pick(_QUALITIES), pick(_THINGS)]
        for part, chance in ((_PLACES, 0.6), (_TIMES, 0.5), (_COMMENTS, 0.5)):
            if draw.random() < chance:
                words.append(pick(part))
        if draw.random() < 0.4:
            words += [", and", pick(_PEOPLE), pick(_VERBS), "a", pick(_QUALITIES), pick(_THINGS)]
            words += [pick(_TIMES), pick(_COMMENTS)]
        text = " ".join(words).replace(" ,", ",")
        yield f"{text[0].upper()}{text[1:]}."


def short_texts(count: int, seed: int = 0) -> list[str]:
    """Return texts of one sentence, about 20 tokens, so that a prompt has about 25."""
    source = sentences(seed)
    return [next(source) for _ in range(count)]


def long_texts(count: int, fits: Callable[[str], bool], seed: int = 0) -> list[str]:
    """Return texts cut between words to the longest that ``fits``."""
    source = sentences(seed)
    texts = []
    for _ in range(count):
        words: list[str] = []
        while fits(" ".join(words)):
            words += next(source).split()
        low, high = 0, len(words)  # low words fit, high do not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(" ".join(words[:middle])) else (low, middle)
        texts.append(" ".join(words[:low]))
    return texts
