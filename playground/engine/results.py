"""What the engine returns: plain values, ready for a table, a chart or JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from playground.prompts.template import Segment

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fill:
    """One prediction at a mask: the token, its raw logit, and its probability over the vocabulary."""

    token: str
    logit: float
    probability: float

    def __iter__(self):
        return iter((self.token, self.logit, self.probability))


@dataclass(frozen=True)
class Scores:
    """Label scores of N rows: C labels, W label words. A row with an error holds NaN.

    probabilities: (N, C) over the labels. label_scores: (N, C) log-scores after aggregation and
    before calibration. word_log_probs: (N, W) over the whole vocabulary, and mass: (N,), the share of
    it that the label words hold; both None when only the label words' columns were computed.
    log_prior: (C,) what calibration divided by, or None. tokens, dropped: (N,) tokens read and cut.
    errors: row number to sentence.
    """

    labels: tuple[str, ...]
    words: tuple[str, ...]
    probabilities: np.ndarray
    label_scores: np.ndarray
    word_log_probs: np.ndarray | None
    mass: np.ndarray | None
    log_prior: np.ndarray | None
    tokens: np.ndarray
    dropped: np.ndarray
    errors: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def predictions(self) -> list[str | None]:
        """The best label of each row; None for a row with an error."""
        best = np.nan_to_num(self.probabilities, nan=-1.0).argmax(1)
        return [None if i in self.errors else self.labels[k] for i, k in enumerate(best)]

    def to_frame(self) -> pd.DataFrame:
        """Return a table: prediction, one probability column a label, tokens, dropped, error.

        A label that is called like one of the other columns is written P(label).
        """
        import pandas as pd

        others = ("prediction", "tokens", "dropped", "error")
        names = [f"P({label})" if label in others else label for label in self.labels]
        frame = pd.DataFrame(self.probabilities, columns=names)
        frame.insert(0, "prediction", self.predictions)
        frame["tokens"], frame["dropped"] = self.tokens, self.dropped
        frame["error"] = [self.errors.get(i, "") for i in range(len(self))]
        return frame


@dataclass(frozen=True)
class MaskScores:
    """What one mask of a rule prompt says: its sub-labels, and their probabilities, (N, S)."""

    name: str
    labels: tuple[str, ...]
    probabilities: np.ndarray


@dataclass(frozen=True)
class RuleScores(Scores):
    """Class scores of a rule prompt, and what each of its M masks said: ``masks``, in order."""

    masks: tuple[MaskScores, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the table of :class:`Scores`, with a column behind it for each sub-label of a mask."""
        frame = super().to_frame()
        for mask in self.masks:
            for place, label in enumerate(mask.labels):
                frame[f"{mask.name}: {label}"] = mask.probabilities[:, place]
        return frame


@dataclass(frozen=True)
class RowScore:
    """One row of a stream: its number, label and probabilities, or the error that it had."""

    index: int
    prediction: str | None
    probabilities: dict[str, float]
    tokens: int
    dropped: int
    error: str | None = None


@dataclass(frozen=True)
class WordScore:
    """A label word at the mask: its pieces, log-probability, and rank (1 is best; None if split)."""

    text: str
    label: str
    weight: float
    pieces: tuple[str, ...]
    log_prob: float
    rank: int | None
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """All that the live view shows of one row; arrays are (C,) in the order of ``labels``."""

    labels: tuple[str, ...]
    probabilities: np.ndarray
    uncalibrated: np.ndarray
    prior: np.ndarray
    words: tuple[WordScore, ...]
    mass: float
    top: tuple[Fill, ...]
    segments: tuple[Segment, ...]
    tokens: int
    max_tokens: int
    dropped: int
    warnings: tuple[str, ...] = ()

    @property
    def prediction(self) -> str:
        return self.labels[int(self.probabilities.argmax())]


@dataclass(frozen=True)
class LayerView:
    """What the masked-LM head makes of each layer's state at one mask: L + 1 rows, embeddings first.

    layers: the likeliest tokens of each row, best first. winner: the last row's best token, with its
    probability, (L + 1,), and its rank (1 is best) in every row. tokens: read by the model.
    """

    layers: tuple[tuple[Fill, ...], ...]
    winner: str
    probabilities: np.ndarray
    ranks: tuple[int, ...]
    tokens: int

    def __len__(self) -> int:
        return len(self.layers)

    def to_json(self) -> dict[str, Any]:
        """Return the rows as plain values."""
        rows = zip(self.layers, self.probabilities.tolist(), self.ranks, strict=True)
        return {
            "tokens": self.tokens,
            "winner": self.winner,
            "layers": [
                {
                    "layer": layer,
                    "top": [
                        {"token": f.token, "logit": f.logit, "probability": f.probability}
                        for f in top
                    ],
                    "winner_probability": share,
                    "winner_rank": rank,
                }
                for layer, (top, share, rank) in enumerate(rows)
            ],
        }


@dataclass(frozen=True)
class AttentionMap:
    """The attention weights of one text: tokens (T,), weights (L, heads, T, T), each row adds up to 1.

    ``weights[l, h, i, j]`` is how much of token j head h of layer l + 1 mixes into token i.
    mask_positions: the places of the text's masks.
    """

    tokens: tuple[str, ...]
    weights: np.ndarray
    mask_positions: tuple[int, ...] = ()

    @property
    def layers(self) -> int:
        return self.weights.shape[0]

    @property
    def heads(self) -> int:
        return self.weights.shape[1]

    def entropies(self) -> np.ndarray:
        """Return the entropy of each head's rows in bits, averaged over the tokens, (L, heads).

        0 where every token looks at one token alone, log2(T) where it looks at all alike.
        """
        logs = np.log2(self.weights, where=self.weights > 0, out=np.zeros_like(self.weights))
        return 0.0 - (self.weights * logs).sum(-1).mean(-1)  # 0, and not -0

    def to_json(self, layer: int, head: int) -> dict[str, Any]:
        """Return one head, counted from 1, as plain values; ``weights`` has a row a token."""
        return {
            "tokens": list(self.tokens),
            "layer": layer,
            "head": head,
            "layers": self.layers,
            "heads": self.heads,
            "entropy": float(self.entropies()[layer - 1, head - 1]),
            "weights": np.round(self.weights[layer - 1, head - 1].astype(float), 6).tolist(),
        }
