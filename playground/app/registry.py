"""The models of a running app: loaded when first asked for, a few kept, shared by all visitors."""

from __future__ import annotations

import threading
from collections import OrderedDict

from playground.engine import Prompting
from playground.errors import PlaygroundError
from playground.settings import Settings


class Registry:
    """Loads models by name and keeps the most recently used ones; safe between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loaded: OrderedDict[str, Prompting] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()  # a model is loaded once, however many ask

    def get(self, name: str | None = None) -> Prompting:
        """Return the model ``name`` (the default one if empty); raises PlaygroundError."""
        key = (name or "").strip() or self.settings.model
        if found := self._known(key):
            return found
        with self._loading:  # one visitor loads; those who ask for a model that is there go on
            if found := self._known(key):
                return found
            fresh = Prompting(key, settings=self.settings)
            with self._lock:
                self._loaded[key] = fresh
                while len(self._loaded) > self.settings.model_slots:
                    self._loaded.popitem(last=False)
            return fresh

    def _known(self, key: str) -> Prompting | None:
        with self._lock:
            if key in self._loaded:
                self._loaded.move_to_end(key)
            return self._loaded.get(key)

    def status(self, name: str | None = None) -> tuple[str, bool]:
        """Return one line about a model, and whether it is fit for use without a warning."""
        try:
            backbone = self.get(name).backbone
        except PlaygroundError as error:
            return str(error), False
        return " ".join([backbone.describe(), *backbone.warnings]), not backbone.warnings
