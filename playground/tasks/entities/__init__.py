"""Zero-shot named entities: candidate spans, a prompt for each, and what they add up to."""

from playground.tasks.entities.decoding import DECODINGS, THRESHOLD, Entity, decode
from playground.tasks.entities.spans import CANDIDATES, Span, all_spans, name_spans, words
from playground.tasks.entities.typing import PRIORS, EntityTyper, TypedSpans

__all__ = [
    "CANDIDATES",
    "DECODINGS",
    "PRIORS",
    "THRESHOLD",
    "Entity",
    "EntityTyper",
    "Span",
    "TypedSpans",
    "all_spans",
    "decode",
    "name_spans",
    "words",
]
