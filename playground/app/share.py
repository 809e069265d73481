"""The state of the page as a link, and what a link restores. Nothing is kept on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from playground.app.tuned_models import TunedModels
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.prompts import link as links

TABS = ("classify", "fill", "ner", "compare", "nli", "pretrain")
_TEXTS = 2
_COMPARED = 4
_NUMBER = (int, float)
_MOST_NUMBER = 100
_NER = {
    **dict.fromkeys(("text", "types", "templates", "candidates", "prior", "decoding"), str),
    **dict.fromkeys(("most_words", "threshold"), _NUMBER),
    "nested": bool,
}
_PRETRAIN = {"text": str, "sentence": str, "layer": int, "head": int}


@dataclass(frozen=True)
class ComparedPrompt:
    """One column of Compare: a prompt, and its model where it is not the default one."""

    prompt: Prompt
    model: str = ""


@dataclass(frozen=True)
class PageState:
    """What a link holds: the prompt, the texts of Classify, the sentences of Fill, the pair of NLI,
    the inputs of NER, the prompts of Compare with their texts, and the text and head of Pretrain."""

    prompt: Prompt
    texts: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    model: str = ""
    tab: str = "classify"
    pair: tuple[str, ...] = ()
    classifier: str = ""
    ner: Mapping[str, Any] = field(default_factory=dict)
    compared: tuple[ComparedPrompt, ...] = ()
    compared_texts: tuple[str, ...] = ()
    pretrain: Mapping[str, Any] = field(default_factory=dict)

    def token(self) -> str:
        """Return the state as the value of the link's ``p``; ValueError for a tuned model's name."""
        if any(map(TunedModels.is_tuned, [self.model, *(c.model for c in self.compared)])):
            raise ValueError("a tuned model's name is the key to it and leaves the page in no link")
        state: dict[str, Any] = {
            "card": self.prompt.to_json(),
            "texts": list(self.texts),
            "sentences": list(self.sentences),
            "model": self.model,
            "tab": self.tab,
            "pair": list(self.pair),
            "classifier": self.classifier,
            "ner": dict(self.ner),
            "compared": [{"card": c.prompt.to_json(), "model": c.model} for c in self.compared],
            "compared_texts": list(self.compared_texts),
            "pretrain": dict(self.pretrain),
        }
        return links.pack({key: value for key, value in state.items() if value})

    @classmethod
    def from_token(cls, token: str) -> PageState:
        """Return the state of a link; a link of a card alone (``Prompt.link``) opens too."""
        data = links.unpack(token)
        prompt = Prompt.from_json(data.get("card", data))
        if "card" not in data:
            return cls(prompt, _first_example(prompt))
        tab = data.get("tab", "classify")
        if tab not in TABS:
            raise PlaygroundError(f"The link opens the tab {shorten(tab)}, which this app has not.")
        return cls(
            prompt,
            _texts(data, "texts"),
            _texts(data, "sentences"),
            _name(data, "model"),
            tab,
            _texts(data, "pair"),
            _name(data, "classifier"),
            _values(data, "ner", "NER", _NER),
            _compared(data),
            _texts(data, "compared_texts"),
            _values(data, "pretrain", "Pretrain", _PRETRAIN),
        )


def _values(
    data: Mapping[str, Any], key: str, tab: str, kinds: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a link holds of a tab with inputs of its own, each value of its kind."""
    state = data.get(key, {})
    if not isinstance(state, Mapping):
        raise PlaygroundError(f"The link's state of {tab} cannot be read; copy the link again.")
    for name, value in state.items():
        if (kind := kinds.get(name)) is None:
            raise PlaygroundError(f"The link sets {shorten(name)} in {tab}, which it has not.")
        fits = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
        if not fits or (kind is not str and not -_MOST_NUMBER <= value <= _MOST_NUMBER):
            raise PlaygroundError(
                f"The link's {name} of {tab} is {shorten(value)}; copy the link again."
            )
    return dict(state)


def _name(data: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := data.get(name, ""), str):
        raise PlaygroundError(f"The link names the {name} {shorten(value)}; it must be text.")
    if TunedModels.is_tuned(value):
        raise PlaygroundError(
            "The link names a tuned model, which lives on the page that tuned it alone; ask for its file, "
            "and open that in Train."
        )
    return value


def _compared(data: Mapping[str, Any]) -> tuple[ComparedPrompt, ...]:
    values = data.get("compared", [])
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise PlaygroundError("The link's compared prompts must be a list; copy the link again.")
    if len(values) > _COMPARED:
        raise PlaygroundError(
            f"The link compares {len(values):,} prompts; the most is {_COMPARED}."
        )
    return tuple(
        ComparedPrompt(Prompt.from_json(value.get("card")), _name(value, "model"))
        for value in values
    )


def _texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = data.get(key, [])
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise PlaygroundError(f"The link's {key} must be a list of texts; copy the link again.")
    if len(values) > _TEXTS or not all(isinstance(value, str) for value in values):
        raise PlaygroundError(
            f"The link's {key} must be at most {_TEXTS} texts; copy the link again."
        )
    return tuple(values)


def _first_example(prompt: Prompt) -> tuple[str, ...]:
    if not prompt.examples:
        return ()
    return tuple(prompt.template.bind(prompt.examples[0]).values())[:_TEXTS]
