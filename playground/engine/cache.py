"""A small cache of tensors: least recently used goes first, bounded in bytes, safe between threads."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import is_dataclass

import torch

_ENTRY = 640  # bytes of the objects around an entry's numbers, measured with torch 2.13
_SHARED = range(-5, 257)  # numbers of which Python has one object for all


class TensorCache:
    """Keeps tensors up to ``max_bytes``, all that :func:`cost` counts of them; 0 keeps nothing."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._rows: OrderedDict[Hashable, tuple[torch.Tensor, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def get(self, key: Hashable) -> torch.Tensor | None:
        """Return the tensor of ``key``, or None."""
        with self._lock:
            found = self._rows.get(key)
            if found is None:
                return None
            self._rows.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, tensor: torch.Tensor) -> None:
        """Keep ``tensor`` (a copy of its own, never a view of a batch) under ``key``."""
        own = tensor.clone()
        size = cost(key, own)
        with self._lock:
            old = self._rows.pop(key, None)
            if old is not None:
                self._bytes -= old[1]
            if size > self.max_bytes:
                return
            self._rows[key] = own, size
            self._bytes += size
            while self._bytes > self.max_bytes:
                _, (_, gone) = self._rows.popitem(last=False)
                self._bytes -= gone


def cost(key: Hashable, tensor: torch.Tensor) -> int:
    """Return the bytes that an entry takes: the tensor's numbers, the objects around them, and the key.

    A key that several caches have is counted in each of them.
    """
    return _ENTRY + tensor.nbytes + _held(key)


def _held(key: object) -> int:
    """Return the bytes of a key as Python holds it, with all that its tuples and dataclasses hold."""
    if isinstance(key, int):
        return 0 if key in _SHARED else sys.getsizeof(key)
    parts: tuple = key if isinstance(key, tuple) else ()
    if is_dataclass(key):
        parts = tuple(vars(key).values())
    return sys.getsizeof(key) + sum(map(_held, parts))
