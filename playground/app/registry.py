"""The models of a running app: loaded when first asked for, a few kept, shared by all visitors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from playground.app.hub_sets import is_hub_id
from playground.app.training_line import TrainingLine
from playground.app.tuned_models import TunedModels
from playground.engine import Prompting
from playground.errors import PlaygroundError, shorten
from playground.settings import Settings
from playground.tasks.nli import NliClassifier

T = TypeVar("T")
_PATIENCE = 20.0  # seconds that a listener waits for a model, in a queue that others wait in


class _Shelf(Generic[T]):
    """Loads by name and keeps the most recently used; safe between threads.

    A model is loaded once, however many ask, in a thread of its own: whoever waits for one that takes
    minutes to arrive does not hold up the others.
    """

    def __init__(self, load: Callable[[str], T], slots: int) -> None:
        self._load, self._slots = load, slots
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._coming: dict[str, Future[T]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, patience: float | None) -> T:
        """Return the model, waiting at most ``patience`` seconds for it; None waits until it is there."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
            coming = self._coming.get(name)
            if coming is None:
                coming = self._coming[name] = Future()
                threading.Thread(target=self._fetch, args=(name, coming), daemon=True).start()
        try:
            return coming.result(patience)
        except TimeoutError:
            if coming.done():  # an error of the load itself
                raise
            raise PlaygroundError(
                f"The model {shorten(name, 80)} is still being loaded; try again in a moment."
            ) from None

    def _fetch(self, name: str, coming: Future[T]) -> None:
        try:
            fresh = self._load(name)
        except BaseException as error:
            with self._lock:
                del self._coming[name]
            coming.set_exception(error)
            return
        with self._lock:
            del self._coming[name]
            self._kept[name] = fresh
            while len(self._kept) > self._slots:
                self._kept.popitem(last=False)
        coming.set_result(fresh)


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

    def get(self, name: str | None = None, *, patience: float | None = _PATIENCE) -> Prompting:
        """Return the masked LM ``name`` (the default one if empty); raises PlaygroundError.

        One that takes longer than ``patience`` seconds to load is told to be on its way.
        """
        if name and TunedModels.is_tuned(name):
            return self.tuned.opened(name, self.get)
        wanted = (name or "").strip() or self.settings.model
        self._check_place(wanted, self.settings.model_names)
        return self._models.get(wanted, patience)

    def classifier(self, name: str | None = None) -> NliClassifier:
        """Return the NLI classifier ``name`` (the default one if empty); raises PlaygroundError."""
        if name and TunedModels.is_tuned(name):  # whose name is a secret, and is not said again
            raise PlaygroundError(
                "A tuned prompt is no NLI classifier; choose one that was fine-tuned on pairs."
            )
        wanted = (name or "").strip() or self.settings.nli_model
        self._check_place(wanted, self.settings.nli_model_names)
        return self._classifiers.get(wanted, _PATIENCE)

    def _check_place(self, name: str, listed: tuple[str, ...]) -> None:
        """Raise PlaygroundError for a folder that is not listed, unless only this machine can ask for it."""
        settings = self.settings
        if settings.alone or settings.hosted or name in listed or is_hub_id(name):
            return  # hosted, the engine refuses whatever is not listed
        raise PlaygroundError(
            f"The model {shorten(name, 80)} is no hub id, and folders open only where the app is reached "
            "from its own machine alone; write a name such as bert-base-uncased, or start the app with "
            "the folder in PLAYGROUND_MODELS."
        )

    def status(self, name: str | None = None) -> tuple[str, bool]:
        """Return one line about a masked LM, and whether it is fit for use without a warning.

        It waits until the model is loaded, however long that takes.
        """
        try:
            backbone = self.get(name, patience=None).backbone
            tuned = f" · {self.tuned.title(name)}" if name and TunedModels.is_tuned(name) else ""
        except PlaygroundError as error:
            return str(error), False
        line = f"{backbone.describe()}{tuned}"
        return " ".join([line, *backbone.warnings]), not backbone.warnings
