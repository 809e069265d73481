"""Dynamic masking: which tokens of a batch are hidden, drawn anew for every batch.

Devlin et al. (2019, § 3.1) hide 15 % of the tokens and replace 80 % of these by the mask token, 10 % by
any other and 10 % not at all; Liu et al. (2019, § 4.1) draw them anew each time a text is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Hidden:
    """A batch with hidden tokens.

    ids: (B, T) with the replacements. places: (M,) indices into the flattened batch, rising. gold:
    (M,) the tokens that were there.
    """

    ids: np.ndarray
    places: np.ndarray
    gold: np.ndarray


@dataclass(frozen=True)
class Masker:
    """Hides tokens of blocks of ids.

    mask_id: the mask token. special: ids that are never hidden. inner: (V,) whether a piece continues
    a word, or None to hide pieces one by one. plain: ids that a random token is drawn from.
    """

    mask_id: int
    special: frozenset[int]
    plain: np.ndarray
    rate: float
    masked: float
    randomised: float
    inner: np.ndarray | None = None

    def hide(self, blocks: np.ndarray, rng: np.random.Generator) -> Hidden:
        """Hide the same number of tokens in each of the blocks, (B, T): ``rate`` of T.

        With ``inner``, tokens are hidden by words, and one word of a block may be hidden in part so that
        the number holds. A block with fewer tokens that may be hidden hides those.
        """
        rows, length = blocks.shape
        many = max(1, round(self.rate * length))
        order = rng.random(blocks.shape)
        if self.inner is not None:
            starts = ~self.inner[blocks]
            starts[:, 0] = True
            word = np.cumsum(starts, axis=1) - 1  # (B, T), the word that a piece belongs to
            order = np.take_along_axis(order, word, axis=1)
        fixed = np.isin(blocks, list(self.special))
        order[fixed] = 2.0
        chosen = np.argsort(order, axis=1, kind="stable")[:, :many]
        flat = (chosen + np.arange(rows)[:, None] * length).ravel()
        flat = np.sort(flat[~fixed.ravel()[flat]])
        gold = blocks.ravel()[flat].astype(np.int64)
        ids = blocks.astype(np.int64).ravel()
        draw = rng.random(len(flat))
        ids[flat[draw < self.masked]] = self.mask_id
        swapped = (draw >= self.masked) & (draw < self.masked + self.randomised)
        ids[flat[swapped]] = rng.choice(self.plain, int(swapped.sum()))
        return Hidden(ids.reshape(rows, length), flat, gold)
