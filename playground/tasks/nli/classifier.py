"""The NLI classifier: does the hypothesis follow from the premise?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playground.engine import Scores
from playground.engine.classifier import PAIR, TEMPERATURE, PairClassifier
from playground.prompts import Template
from playground.settings import Settings
from playground.tasks.nli.pairs import LABELS


class NliClassifier(PairClassifier):
    """Three-way natural language inference: entailment, neutral, contradiction.

    ``NliClassifier().classify([("A man sleeps.", "A man is awake.")])`` gives
    :class:`~playground.engine.results.Scores` of shape (N, 3). The shipped classifier by default; any
    sequence classifier of transformers whose labels have these names otherwise.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        settings: Settings | None = None,
        device: str | None = None,
        max_tokens: int | None = None,
        cut: str = "longest",
    ) -> None:
        super().__init__(
            model, labels=LABELS, settings=settings, device=device, max_tokens=max_tokens, cut=cut
        )


@dataclass(frozen=True)
class NliScorer:
    """Scores the rows of a table with a classifier; see :func:`playground.tasks.score.score_table`."""

    classifier: NliClassifier

    @property
    def template(self) -> Template:
        return PAIR

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classifier.labels

    @property
    def settings(self) -> Settings:
        return self.classifier.settings

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be the same for rows of two runs to stand in one file."""
        found = self.classifier
        return {
            "classifier": [found.name, found.revision, found.device.type],
            TEMPERATURE: found.temperature,
        }

    def score(self, rows: list[dict[str, Any]], progress: Callable[[int, int], None]) -> Scores:
        """Return the scores of rows with a premise and a hypothesis."""
        return self.classifier.classify(rows, progress=progress)
