"""Soft tokens: vectors behind the last row of a model's table of embeddings."""

from __future__ import annotations

import torch
from torch import nn


class SoftEmbedding(nn.Module):
    """A model's own embeddings, and n learned rows behind them: ids V to V + n - 1.

    ``rows`` gives the learned rows, (n, E). The decoder, which may be tied to the table, keeps its V
    columns: no soft token is ever predicted.
    """

    def __init__(self, table: nn.Embedding, rows: nn.Module) -> None:
        super().__init__()
        self.table, self.rows = table, rows
        self.num_embeddings = table.num_embeddings
        self.padding_idx = table.padding_idx

    @property
    def weight(self) -> torch.Tensor:
        """The model's own table, (V, E)."""
        return self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        soft = ids >= self.num_embeddings
        vectors = self.table(ids.masked_fill(soft, 0))  # (N, T, E)
        rows = self.rows().to(vectors.dtype)
        place = (ids - self.num_embeddings).clamp(min=0)
        return torch.where(soft[..., None], rows[place], vectors)


class Rows(nn.Module):
    """Soft rows, (n, E): the vectors themselves."""

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    def forward(self) -> torch.Tensor:
        return self.vectors


class EncodedRows(nn.Module):
    """Soft rows made by an encoder of free vectors, (n, E): P-tuning (Liu et al. 2021, section 3.2, eq. 3).

    "lstm": two bidirectional layers and a perceptron of two layers; "mlp": the perceptron alone. They
    are left out once tuned, since the rows no longer change. The first rows are scaled to ``spread``.
    """

    scale: torch.Tensor

    def __init__(self, vectors: torch.Tensor, kind: str, spread: float) -> None:
        super().__init__()
        width = vectors.shape[1]
        self.vectors = nn.Parameter(vectors)
        self.lstm = (
            nn.LSTM(width, width // 2, num_layers=2, bidirectional=True) if kind == "lstm" else None
        )
        inner = width // 2 * 2 if kind == "lstm" else width
        self.perceptron = nn.Sequential(nn.Linear(inner, width), nn.ReLU(), nn.Linear(width, width))
        self.register_buffer("scale", torch.ones(()))
        with torch.no_grad():
            self.scale.fill_(spread / float(self().std(unbiased=False)))

    def forward(self) -> torch.Tensor:
        hidden = self.vectors if self.lstm is None else self.lstm(self.vectors)[0]  # (n, E)
        return self.perceptron(hidden) * self.scale


def first_rows(
    table: torch.Tensor, count: int, words: list[int], generator: torch.Generator
) -> torch.Tensor:
    """Return what ``count`` soft rows begin with, (n, E): embeddings of words, then noise of their spread.

    The noise has the mean and deviation of the table (V, E) in each dimension.
    """
    spread, mean = table.std(0), table.mean(0)
    noise = torch.randn(count, table.shape[1], generator=generator)
    rows = (mean.cpu() + spread.cpu() * noise).to(table.device)
    known = words[:count]
    rows[: len(known)] = table[torch.tensor(known, dtype=torch.long, device=table.device)]
    return rows
