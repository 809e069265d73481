"""A small cache of tensors: least recently used goes first, bounded in bytes, safe between threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

import torch


class TensorCache:
    """Keeps tensors up to ``max_bytes``; 0 keeps nothing."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._rows: OrderedDict[Hashable, torch.Tensor] = OrderedDict()
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
            row = self._rows.get(key)
            if row is not None:
                self._rows.move_to_end(key)
            return row

    def put(self, key: Hashable, tensor: torch.Tensor) -> None:
        """Keep ``tensor`` (a copy of its own, never a view of a batch) under ``key``."""
        own = tensor.clone()
        size = own.nbytes
        with self._lock:
            old = self._rows.pop(key, None)
            if old is not None:
                self._bytes -= old.nbytes
            if size > self.max_bytes:
                return
            self._rows[key] = own
            self._bytes += size
            while self._bytes > self.max_bytes:
                _, gone = self._rows.popitem(last=False)
                self._bytes -= gone.nbytes
