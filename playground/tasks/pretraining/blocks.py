"""Encoded corpora on disk, and the blocks of tokens that a training reads from them.

Documents are joined end to end, with the separator token between them, and cut into blocks of one
length ("full sentences" of Liu et al. 2019, § 4.2): no token is thrown away, none is padding, and what
is left at the end of one pass begins the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Corpus:
    """An encoded corpus: its tokens end to end, and where each document ends.

    tokens: (N,) ids, read from disk as needed. ends: (D,). share: of the blocks of a training. digest:
    the SHA-256 of the tokens, where it is known.
    """

    name: str
    tokens: np.ndarray
    ends: np.ndarray
    share: float = 1.0
    digest: str | None = None

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.ends)

    def mark(self) -> str:
        """Return the SHA-256 of all that a training reads of it, its share and name included."""
        tokens = self.digest or hashlib.sha256(np.ascontiguousarray(self.tokens)).hexdigest()
        total = hashlib.sha256(f"{self.name} {self.share} {len(self)} {tokens}".encode())
        total.update(np.ascontiguousarray(self.ends))
        return total.hexdigest()

    def document(self, index: int) -> np.ndarray:
        """Return the tokens of a document."""
        start = self.ends[index - 1] if index else 0
        return self.tokens[start : self.ends[index]]


class Stream:
    """Tokens of a corpus without end: its documents in an order drawn anew for each pass.

    The state is three numbers, so a stream can go on where another stopped. The corpus must hold a
    document.
    """

    def __init__(self, corpus: Corpus, separator: int, seed: Sequence[int]) -> None:
        self._corpus = corpus
        self._separator = np.array([separator], corpus.tokens.dtype)
        self._seed = list(seed)
        self._open(0)

    def _open(self, epoch: int, place: int = 0, offset: int = 0) -> None:
        self._epoch, self._place, self._offset = epoch, place, offset
        self._order = np.random.default_rng([*self._seed, epoch]).permutation(len(self._corpus))

    @property
    def state(self) -> list[int]:
        """The pass, the document in it, and the token in that."""
        return [self._epoch, self._place, self._offset]

    @state.setter
    def state(self, state: Sequence[int]) -> None:
        self._open(*state)

    @property
    def passes(self) -> float:
        """How often the corpus has been read so far."""
        return self._epoch + self._place / max(1, len(self._order))

    def take(self, many: int) -> np.ndarray:
        """Return the next ``many`` tokens."""
        parts: list[np.ndarray] = []
        missing = many
        while missing:
            text = self._corpus.document(self._order[self._place])
            part = text[
                self._offset : self._offset + missing
            ]  # a long document is not copied whole
            parts.append(part)
            self._offset += len(part)
            missing -= len(part)
            if missing:  # the document is at its end
                parts.append(self._separator)
                missing -= 1
                self._offset = 0
                self._place += 1
                if self._place == len(self._order):
                    self._open(self._epoch + 1)
        return np.concatenate(parts)


class Blocks:
    """Batches of blocks from several corpora, mixed by their shares, the same for the same seed.

    Of which corpus a block is, is drawn for each block. first, separator: ids that stand around one.
    """

    def __init__(self, corpora: Sequence[Corpus], *, first: int, separator: int, seed: int) -> None:
        self._first, self._separator, self._seed = first, separator, seed
        self._streams = [
            Stream(corpus, separator, (seed, number)) for number, corpus in enumerate(corpora)
        ]
        shares = np.array([corpus.share for corpus in corpora], float)
        self._shares = shares / shares.sum()

    @property
    def state(self) -> list[list[int]]:
        """Where each stream stands."""
        return [stream.state for stream in self._streams]

    @state.setter
    def state(self, state: Sequence[Sequence[int]]) -> None:
        for stream, place in zip(self._streams, state, strict=True):
            stream.state = place

    @property
    def passes(self) -> list[float]:
        """How often each corpus has been read."""
        return [stream.passes for stream in self._streams]

    def batch(self, step: int, rows: int, length: int) -> np.ndarray:
        """Return (rows, length) ids: the first token, ``length - 2`` of a corpus, the separator.

        step: seeds which corpus each block is of. Batches must be asked for in turn, as each one moves
        the streams.
        """
        rng = np.random.default_rng([self._seed, 1, step])
        chosen = rng.choice(len(self._streams), rows, p=self._shares)
        found = np.full((rows, length), self._separator, np.int64)
        found[:, 0] = self._first
        for number in range(len(self._streams)):
            mine = np.flatnonzero(chosen == number)
            if len(mine):
                taken = self._streams[number].take(len(mine) * (length - 2))
                found[mine, 1:-1] = taken.reshape(len(mine), length - 2)
        return found


def held_out_blocks(
    corpus: Corpus, *, first: int, separator: int, length: int, most: int
) -> np.ndarray:
    """Return up to ``most`` blocks of a corpus in its own order, (rows, length); the rest is left."""
    room = length - 2
    wanted = most * room
    tokens = np.full(wanted, separator, np.int64)
    have = 0
    for index in range(len(corpus)):
        text = corpus.document(index)[: wanted - have]
        tokens[have : have + len(text)] = text
        have = min(wanted, have + len(text) + 1)  # the separator is there already
        if have == wanted:
            break
    rows = have // room
    found = np.full((rows, length), separator, np.int64)
    found[:, 0] = first
    found[:, 1:-1] = tokens[: rows * room].reshape(rows, room)
    return found
