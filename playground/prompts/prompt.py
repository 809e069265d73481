"""Prompts: a template and a verbalizer, kept as a card (a JSON file), a link, or Python code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playground.errors import PlaygroundError, shorten
from playground.prompts import link as links
from playground.prompts.cards import card_examples, card_texts, check_keys, read_card, write_card
from playground.prompts.scoring_options import ScoringOptions
from playground.prompts.template import Row, Template
from playground.prompts.verbalizer import Verbalizer

TASKS = ("classification", "entity", "nli")
_KEYS = (
    "name", "task", "language", "description", "templates", "labels", "scoring", "examples", "source",
)  # fmt: skip
_MAX_TEMPLATES = 256


@dataclass(frozen=True)
class Prompt:
    """A pattern-verbalizer pair (Schick and Schütze 2021) with its scoring choices.

    template and verbalizer score; alternatives are further templates of the card, and the other
    fields describe it. The template has exactly one mask, and every example is a row of it.
    """

    template: Template
    verbalizer: Verbalizer
    scoring: ScoringOptions = ScoringOptions()
    name: str = "prompt"
    task: str = "classification"
    language: str = "en"
    description: str = ""
    alternatives: tuple[Template, ...] = ()
    examples: tuple[Row, ...] = field(default=(), hash=False)
    source: str = ""

    def __post_init__(self) -> None:
        for template in self.templates:
            template.require_one_mask()
        if self.task not in TASKS:
            raise PlaygroundError(
                f"The task is {shorten(self.task)}; it must be one of {', '.join(TASKS)}."
            )
        rows = [(example, self.template.bind(example)) for example in self.examples]
        examples = tuple(row if isinstance(row, str | Mapping) else bound for row, bound in rows)
        object.__setattr__(self, "examples", examples)

    @property
    def templates(self) -> tuple[Template, ...]:
        """The template in use, then its alternatives."""
        return (self.template, *self.alternatives)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order, (C,)."""
        return self.verbalizer.names

    def bare(self) -> Prompt:
        """Return what scores of the prompt, without its card: equal prompts share what is worked out."""
        return Prompt(self.template, self.verbalizer, self.scoring)

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Prompt:
        """Read a card from a file, or a shipped card by its name, such as ``"sentiment"``."""
        return cls.from_json(read_card(source))

    @classmethod
    def from_json(cls, data: object) -> Prompt:
        """Return the prompt of a card; PlaygroundError names the key that is wrong."""
        if not isinstance(data, Mapping):
            raise PlaygroundError("A prompt card is a JSON object with templates and labels.")
        if data.get("task") == "rules":
            raise PlaygroundError(
                "The prompt card is one of rules, with several masks; this takes a card with one mask."
            )
        check_keys(data, _KEYS)
        templates = data.get("templates")
        if not isinstance(templates, Sequence) or isinstance(templates, str) or not templates:
            raise PlaygroundError('The prompt card needs "templates", a list with at least one.')
        if len(templates) > _MAX_TEMPLATES:
            raise PlaygroundError(
                f"The prompt card has {len(templates):,} templates; the most is {_MAX_TEMPLATES}."
            )
        if "labels" not in data:
            raise PlaygroundError('The prompt card needs "labels", a list of words for each label.')
        first, *others = (Template(source) for source in templates)
        texts = card_texts(data, ("name", "task", "language", "description", "source"))
        examples = card_examples(data)
        return cls(
            first,
            Verbalizer(data["labels"]),
            ScoringOptions.from_json(data.get("scoring", {})),
            alternatives=tuple(others),
            examples=examples,
            **texts,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the card as a JSON object; ``from_json`` reads it back to an equal prompt."""
        card: dict[str, Any] = {
            "name": self.name,
            "task": self.task,
            "language": self.language,
            "description": self.description,
            "templates": [template.source for template in self.templates],
            "labels": self.verbalizer.to_json(),
            "scoring": self.scoring.to_json(),
            "examples": list(self.examples),
            "source": self.source,
        }
        kept = ("name", "language")  # their defaults are not empty
        return {key: value for key, value in card.items() if value or key in kept}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the card; the file is replaced whole or not at all."""
        write_card(path, self.to_json())

    def link(self, base: str = "") -> str:
        """Return a URL that opens this prompt in the app at ``base``."""
        return f"{base}{'&' if '?' in base else '?'}p={links.pack(self.to_json())}"

    @classmethod
    def from_link(cls, url: str) -> Prompt:
        """Return the prompt of :meth:`link`'s URL, or of the part behind ``?p=`` alone."""
        token = parse_qs(urlsplit(url).query).get("p", [url])[0]
        return cls.from_json(links.unpack(token))

    def with_template(self, template: Template | str) -> Prompt:
        """Return this prompt with another template in use; the card's templates stay listed.

        Examples stay unless the template takes a text that they do not have.
        """
        chosen = template if isinstance(template, Template) else Template(template)
        others = tuple(other for other in self.templates if other != chosen)
        fitting = set(chosen.fields) <= set(self.template.fields)
        examples = self.examples if fitting else ()
        return replace(self, template=chosen, alternatives=others, examples=examples)

    def to_python(
        self, rows: Sequence[Row] = (), *, model: str | None = None, tuned: str | None = None
    ) -> str:
        """Return a program that scores ``rows`` with this prompt, ready to paste and run.

        tuned: the folder or file of the delta that the model is opened with.
        """
        words = ",\n".join(
            f"    {label!r}: {[_word_code(word) for word in entries]!r}"
            for label, entries in self.verbalizer.to_json().items()
        )
        arguments = [f"    Template({self.template.source!r})", "    verbalizer"]
        names = ["Prompt", "Prompting", "Template", "Verbalizer"]
        if options := self.scoring.to_json():
            chosen = ", ".join(f"{key}={value!r}" for key, value in options.items())
            arguments.append(f"    ScoringOptions({chosen})")
            names.insert(2, "ScoringOptions")
        fields = self.template.fields
        empty = "" if len(fields) < 2 else dict.fromkeys(fields, "")
        texts = list(rows) or list(self.examples[:1]) or [empty]
        return "\n".join(
            [
                f"from playground import {', '.join(names)}",
                "",
                model_line(model, tuned),
                f"verbalizer = Verbalizer({{\n{words},\n}})",
                "prompt = Prompt(\n" + ",\n".join(arguments) + ",\n)",
                f"scores = prompting.classify({texts!r}, prompt)",
                "print(scores.to_frame())",
                "",
            ]
        )


def model_line(model: str | None, tuned: str | None = None) -> str:
    """Return the line of a program that opens a model, the default one if None, with what tuning changed."""
    opened = f"prompting = Prompting({repr(model) if model else ''})"
    return f"{opened}.tuned({tuned!r})" if tuned else opened


def _word_code(word: str | dict[str, Any]) -> str | tuple[str, float]:
    return word if isinstance(word, str) else (word["word"], word["weight"])
