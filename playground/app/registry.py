"""The models of a running app: loaded when first asked for, a few kept, shared by all visitors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from playground.app.training_line import TrainingLine
from playground.app.tuned_models import TunedModels
from playground.engine import Prompting
from playground.errors import PlaygroundError
from playground.settings import Settings
from playground.tasks.nli import NliClassifier

T = TypeVar("T")


class _Shelf(Generic[T]):
    """Loads by name and keeps the most recently used; safe between threads."""

    def __init__(self, load: Callable[[str], T], slots: int) -> None:
        self._load, self._slots = load, slots
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()  # a model is loaded once, however many ask

    def get(self, name: str) -> T:
        if (found := self._known(name)) is not None:
            return found
        with self._loading:  # one visitor loads; those who ask for a model that is there go on
            if (found := self._known(name)) is not None:
                return found
            fresh = self._load(name)
            with self._lock:
                self._kept[name] = fresh
                while len(self._kept) > self._slots:
                    self._kept.popitem(last=False)
            return fresh

    def _known(self, name: str) -> T | None:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
            return self._kept.get(name)


class Registry:
    """The masked LMs and the classifiers of one process, by name.

    tuned: what visitors have tuned, each under a name of its own. line: who trains next.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tuned = TunedModels(settings)
        self.line = TrainingLine(settings.queue_size)
        self._models = _Shelf(
            lambda name: Prompting(name, settings=settings), slots=settings.model_slots
        )
        self._classifiers = _Shelf(
            lambda name: NliClassifier(name, settings=settings), slots=settings.model_slots
        )

    def get(self, name: str | None = None) -> Prompting:
        """Return the masked LM ``name`` (the default one if empty); raises PlaygroundError."""
        if name and TunedModels.is_tuned(name):
            return self.tuned.opened(name, self.get)
        return self._models.get((name or "").strip() or self.settings.model)

    def classifier(self, name: str | None = None) -> NliClassifier:
        """Return the NLI classifier ``name`` (the default one if empty); raises PlaygroundError."""
        if name and TunedModels.is_tuned(name):  # whose name is a secret, and is not said again
            raise PlaygroundError(
                "A tuned prompt is no NLI classifier; choose one that was fine-tuned on pairs."
            )
        return self._classifiers.get((name or "").strip() or self.settings.nli_model)

    def status(self, name: str | None = None) -> tuple[str, bool]:
        """Return one line about a masked LM, and whether it is fit for use without a warning."""
        try:
            backbone = self.get(name).backbone
            tuned = f" · {self.tuned.title(name)}" if name and TunedModels.is_tuned(name) else ""
        except PlaygroundError as error:
            return str(error), False
        line = f"{backbone.describe()}{tuned}"
        return " ".join([line, *backbone.warnings]), not backbone.warnings
