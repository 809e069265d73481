"""How label words become label scores: choices that belong to a prompt, without any tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from playground.errors import PlaygroundError, shorten
from playground.settings import settings

AGGREGATIONS = {
    "mean": "Mean of the words' probabilities: fair to labels of unequal length.",
    "sum": "Sum of the words' probabilities: a label with more words gets more.",
    "geometric": "Mean of the words' log-probabilities: every word must fit.",
    "max": "The best word alone speaks for its label.",
    "logit_sum": "Sum of raw logits, then a softmax: what the tutorial's code does.",
}
CALIBRATIONS = {
    "none": "The model's scores as they are.",
    "contextual": "Divided by what the prompt says of content-free texts (Zhao et al. 2021).",
    "domain": "Divided by what a domain prompt without the text says: PMI (Holtzman et al. 2021).",
    "corpus": "Each word divided by its mean probability over unlabelled texts (Hu et al. 2022).",
}
FILL_ORDERS = {
    "confidence": "the piece that the model is surest of first",
    "left-to-right": "from the first piece to the last",
    "parallel": "all pieces at once, none seeing another",
}
PIECE_REDUCTIONS = {
    "sum": "sum of the pieces' log-probabilities: the word's probability",
    "mean": "mean of the pieces' log-probabilities: fair to long words",
}
CONTENT_FREE = ("", "N/A", "text")


@dataclass(frozen=True)
class ScoringOptions:
    """The choices beside a prompt's template and words; each value is checked.

    aggregation: one of AGGREGATIONS. calibration: one of CALIBRATIONS. content_free: the inputs of
    contextual calibration. domain: the prompt of domain calibration, with a {mask} and no text slot;
    empty means the template with its texts left out. prior_texts: the unlabelled texts of corpus
    calibration. fill_order and pieces: how a word of several pieces is scored.
    """

    aggregation: str = "mean"
    calibration: str = "none"
    content_free: tuple[str, ...] = CONTENT_FREE
    domain: str = ""
    prior_texts: tuple[str, ...] = ()
    fill_order: str = "confidence"
    pieces: str = "sum"

    def __post_init__(self) -> None:
        for name, table in (
            ("aggregation", AGGREGATIONS),
            ("calibration", CALIBRATIONS),
            ("fill_order", FILL_ORDERS),
            ("pieces", PIECE_REDUCTIONS),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in table:
                raise PlaygroundError(
                    f"{name} is {shorten(value)}; it must be one of {', '.join(table)}."
                )
        for name in ("content_free", "prior_texts"):
            texts = getattr(self, name)
            if not isinstance(texts, list | tuple) or not all(isinstance(t, str) for t in texts):
                raise PlaygroundError(f"{name} is {shorten(texts)}; it must be a list of texts.")
            object.__setattr__(self, name, tuple(texts))
        if not isinstance(self.domain, str):
            raise PlaygroundError(f"domain is {shorten(self.domain)}; it must be a prompt as text.")
        if not self.content_free:
            raise PlaygroundError(
                'There are no content-free texts; give at least one, such as "N/A".'
            )
        limit = settings().max_prior_texts
        if len(self.prior_texts) > limit or len(self.content_free) > limit:
            count = max(len(self.prior_texts), len(self.content_free))
            raise PlaygroundError(f"There are {count} texts for the prior; the most is {limit}.")
        if self.calibration == "corpus" and not self.prior_texts:
            raise PlaygroundError(
                "Corpus calibration has no unlabelled texts; give some, one a line."
            )
        if self.aggregation == "logit_sum" and self.calibration == "corpus":
            raise PlaygroundError(
                "Corpus calibration divides probabilities and logit_sum adds raw logits; "
                "choose another aggregation."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the choices that differ from the defaults."""
        changed = {
            row.name: getattr(self, row.name)
            for row in fields(self)
            if getattr(self, row.name) != row.default
        }
        return {key: list(v) if isinstance(v, tuple) else v for key, v in changed.items()}

    @classmethod
    def from_json(cls, data: object) -> ScoringOptions:
        """Read ``to_json``'s form; PlaygroundError names an unknown key."""
        if not isinstance(data, Mapping):
            raise PlaygroundError(f'"scoring" is {shorten(data)}; it must be an object.')
        known = asdict(cls())
        for key in data:
            if key not in known:
                raise PlaygroundError(
                    f'"scoring" has the unknown key {shorten(key)}; it takes {", ".join(known)}.'
                )
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**values)  # type: ignore[arg-type]
