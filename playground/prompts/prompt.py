"""Prompts: a template and a verbalizer, kept as a card (a JSON file), a link, or Python code."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playground import resources
from playground.errors import PlaygroundError, shorten
from playground.prompts import link as links
from playground.prompts.scoring_options import ScoringOptions
from playground.prompts.template import Row, Template
from playground.prompts.verbalizer import Verbalizer

TASKS = ("classification", "entity", "nli")
_KEYS = (
    "name", "task", "language", "description", "templates", "labels", "scoring", "examples", "source",
)  # fmt: skip
_MAX_CARD_BYTES = 1 << 20
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

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Prompt:
        """Read a card from a file, or a shipped card by its name, such as ``"sentiment"``."""
        path = Path(source)
        if not path.suffix and str(source) in resources.card_names():
            path = resources.card_path(str(source))
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_CARD_BYTES + 1)
        except (OSError, ValueError) as error:
            raise PlaygroundError(
                f"The prompt card {shorten(source, 120)} cannot be read ({_reason(error)}); "
                f"give a file, or one of {', '.join(resources.card_names())}."
            ) from None
        if len(raw) > _MAX_CARD_BYTES:
            raise PlaygroundError(f"The prompt card {shorten(source, 120)} is larger than 1 MiB.")
        try:
            data = json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            raise PlaygroundError(
                f"The prompt card {shorten(source, 120)} is not JSON; check its commas and quotes."
            ) from None
        return cls.from_json(data)

    @classmethod
    def from_json(cls, data: object) -> Prompt:
        """Return the prompt of a card; PlaygroundError names the key that is wrong."""
        if not isinstance(data, Mapping):
            raise PlaygroundError("A prompt card is a JSON object with templates and labels.")
        unknown = [key for key in data if key not in _KEYS]
        if unknown:
            raise PlaygroundError(
                f"The prompt card has the unknown key {shorten(unknown[0])}; "
                f"it takes {', '.join(_KEYS)}."
            )
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
        texts = {
            key: data[key]
            for key in ("name", "task", "language", "description", "source")
            if key in data
        }
        for key, value in texts.items():
            if not isinstance(value, str):
                raise PlaygroundError(f'"{key}" of the card is {shorten(value)}; it must be text.')
        examples = data.get("examples", [])
        if not isinstance(examples, list) or not all(isinstance(e, str | dict) for e in examples):
            raise PlaygroundError('"examples" of the card must be a list of texts or objects.')
        return cls(
            first,
            Verbalizer(data["labels"]),
            ScoringOptions.from_json(data.get("scoring", {})),
            alternatives=tuple(others),
            examples=tuple(examples),
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
        target = Path(path)
        text = json.dumps(self.to_json(), ensure_ascii=False, indent=2) + "\n"
        try:
            handle, name = tempfile.mkstemp(
                dir=target.parent, prefix=target.name, suffix=".partial"
            )
        except (OSError, ValueError) as error:
            raise PlaygroundError(
                f"The card cannot be written to {shorten(path, 120)} ({_reason(error)})."
            ) from None
        try:
            # a lone surrogate becomes \udXXX, its JSON escape
            with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                mask = os.umask(0)  # a temporary file is private; a card is as open as other files
                os.umask(mask)
                os.chmod(name, 0o666 & ~mask)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise PlaygroundError(
                f"The card cannot be written to {shorten(path, 120)} ({error.strerror}); "
                "what was there is untouched."
            ) from None

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


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or "not a file name"


def _word_code(word: str | dict[str, Any]) -> str | tuple[str, float]:
    return word if isinstance(word, str) else (word["word"], word["weight"])
