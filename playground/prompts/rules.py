"""Rule prompts: sub-prompts with a mask each, composed into one prompt, and classes as conjunctions.

Source: Han et al. 2021, "PTR: Prompt Tuning with Rules for Text Classification", section 3.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from playground.errors import PlaygroundError, shorten
from playground.prompts.cards import card_examples, card_texts, check_keys, read_card, write_card
from playground.prompts.prompt import Prompt
from playground.prompts.scoring_options import ScoringOptions
from playground.prompts.template import Row, Template
from playground.prompts.verbalizer import MAX_LABEL_CHARS, Verbalizer
from playground.settings import settings

TASK = "rules"
CALIBRATIONS = ("none", "contextual")
MAX_MASKS = 8
_KEYS = (
    *("name", "task", "language", "description", "text", "prompts", "rules", "scoring"),
    *("examples", "source"),
)
_PROMPT_KEYS = ("name", "template", "words")


@dataclass(frozen=True)
class SubPrompt:
    """One condition of a rule: a template with one mask, and the label words of its sub-labels.

    ``SubPrompt("head", "The {mask} {head}", {"person": ["man", "woman"], "place": ["city"]})``.
    """

    name: str
    template: Template
    verbalizer: Verbalizer

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _name(self.name, "sub-prompt"))
        if not isinstance(self.template, Template):
            object.__setattr__(self, "template", Template(self.template))
        if not isinstance(self.verbalizer, Verbalizer):
            object.__setattr__(self, "verbalizer", Verbalizer(self.verbalizer))
        if self.template.masks != 1:
            raise PlaygroundError(
                f"The sub-prompt {shorten(self.name)} has {self.template.masks} masks; give it one "
                "{mask}, and a phrase of several words a sub-prompt for each."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the sub-prompt as it stands in a card."""
        words = self.verbalizer.to_json()
        return {"name": self.name, "template": self.template.source, "words": words}


@dataclass(frozen=True)
class Rule:
    """A class and the conjunction that stands for it: a sub-label for each sub-prompt, in their order."""

    label: str
    sub_labels: tuple[str, ...]


@dataclass(frozen=True)
class RulePrompt:
    """A prompt of M masks whose C classes are conjunctions of sub-labels, one for each mask.

    text: the part before the sub-prompts, without a mask, or empty where they hold all texts.
    prompts: at least two, composed behind the text in their order, a space between them. rules: class
    to {sub-prompt: sub-label}; classes may share sub-labels. The score of a class is the product of the
    probabilities of its sub-labels at their masks, so that calibration is "none" or "contextual".
    Raises PlaygroundError for rules that name what is not there, or cannot tell two classes apart.
    """

    text: str
    prompts: tuple[SubPrompt, ...]
    rules: tuple[Rule, ...]
    scoring: ScoringOptions = ScoringOptions()
    name: str = "rules"
    language: str = "en"
    description: str = ""
    examples: tuple[Row, ...] = field(default=(), hash=False)
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        _check_prompts(self.text, self.prompts)
        object.__setattr__(self, "rules", _rules(self.rules, self.prompts))
        if self.scoring.calibration not in CALIBRATIONS:
            raise PlaygroundError(
                f"The calibration is {shorten(self.scoring.calibration)}; a rule prompt takes "
                f"{' or '.join(CALIBRATIONS)}."
            )
        template = self.template  # parts that do not fit together are told here
        rows = [(example, template.bind(example)) for example in self.examples]
        examples = tuple(row if isinstance(row, str | Mapping) else bound for row, bound in rows)
        object.__setattr__(self, "examples", examples)

    @cached_property
    def template(self) -> Template:
        """The composed template; its masks are those of the sub-prompts, in order."""
        parts = [self.text.strip(), *(prompt.template.source for prompt in self.prompts)]
        return Template(" ".join(filter(None, parts)))

    @property
    def task(self) -> str:
        """What the card is for: "rules"."""
        return TASK

    @property
    def templates(self) -> tuple[Template, ...]:
        """The composed template alone."""
        return (self.template,)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes in order, (C,)."""
        return tuple(rule.label for rule in self.rules)

    @cached_property
    def masks(self) -> tuple[Prompt, ...]:
        """Each sub-prompt as a prompt of its own, (M,): what reads one mask."""
        return tuple(Prompt(one.template, one.verbalizer, self.scoring) for one in self.prompts)

    @cached_property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """For each class the place of its sub-label at each mask, (C, M)."""
        return tuple(
            tuple(
                prompt.verbalizer.names.index(chosen)
                for prompt, chosen in zip(self.prompts, rule.sub_labels, strict=True)
            )
            for rule in self.rules
        )

    def bare(self) -> RulePrompt:
        """Return what scores of the prompt, without its card: equal prompts share what is worked out."""
        return RulePrompt(self.text, self.prompts, self.rules, self.scoring)

    def with_template(self, template: Template | str) -> RulePrompt:
        """Return this prompt; PlaygroundError for another template, which is composed and not given."""
        if str(template) != self.template.source:
            raise PlaygroundError(
                f"The template of a rule prompt is composed of its sub-prompts and cannot be "
                f"{shorten(template)}; change them in the card."
            )
        return self

    def conjunction(self, label: str) -> str:
        """Return the rule of a class as it is read: ``head: person ∧ verb: born ∧ tail: place``."""
        rule = self.rules[self.labels.index(label)]
        pairs = zip(self.prompts, rule.sub_labels, strict=True)
        return " ∧ ".join(f"{prompt.name}: {chosen}" for prompt, chosen in pairs)

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> RulePrompt:
        """Read a card from a file, or a shipped card of rules by its name, such as ``"relations"``."""
        return cls.from_json(read_card(source, (TASK,)))

    @classmethod
    def from_json(cls, data: object) -> RulePrompt:
        """Return the rule prompt of a card; PlaygroundError names the key that is wrong."""
        if not isinstance(data, Mapping) or data.get("task") != TASK:
            raise PlaygroundError('A card of rules is a JSON object with "task": "rules".')
        check_keys(data, _KEYS)
        for key, kind, what in (
            ("prompts", list, "a list of sub-prompts"),
            ("rules", dict, "an object of classes"),
        ):
            if not isinstance(data.get(key), kind):
                raise PlaygroundError(f'The card of rules needs "{key}", {what}.')
        if len(data["prompts"]) > MAX_MASKS:  # before any of them is parsed
            raise PlaygroundError(_too_many(len(data["prompts"])))
        return cls(
            data.get("text", ""),
            tuple(_sub_prompt(one) for one in data["prompts"]),
            data["rules"],
            ScoringOptions.from_json(data.get("scoring", {})),
            examples=card_examples(data),
            **card_texts(data, ("name", "language", "description", "source")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the card as a JSON object; ``from_json`` reads it back to an equal prompt."""
        names = [prompt.name for prompt in self.prompts]
        card: dict[str, Any] = {
            "name": self.name,
            "task": TASK,
            "language": self.language,
            "description": self.description,
            "text": self.text,
            "prompts": [prompt.to_json() for prompt in self.prompts],
            "rules": {
                rule.label: dict(zip(names, rule.sub_labels, strict=True)) for rule in self.rules
            },
            "scoring": self.scoring.to_json(),
            "examples": list(self.examples),
            "source": self.source,
        }
        kept = ("name", "language")  # their defaults are not empty
        return {key: value for key, value in card.items() if value or key in kept}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the card; the file is replaced whole or not at all."""
        write_card(path, self.to_json())


AnyPrompt = Prompt | RulePrompt


def prompt_from_json(data: object) -> AnyPrompt:
    """Return the prompt of a card of either kind; PlaygroundError says what is wrong with it."""
    if isinstance(data, Mapping) and data.get("task") == TASK:
        return RulePrompt.from_json(data)
    return Prompt.from_json(data)


def load_prompt(source: str | os.PathLike[str]) -> AnyPrompt:
    """Read a card of either kind from a file, or a shipped one by its name."""
    return prompt_from_json(read_card(source, ("", TASK)))


# ---- checks ---------------------------------------------------------------------------------------


def _name(name: object, what: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise PlaygroundError(f"A {what} has no name; give it one.")
    short = " ".join(name.split())
    if len(short) > MAX_LABEL_CHARS:
        raise PlaygroundError(
            f"The {what} {shorten(short)} has {len(short)} characters; the most is {MAX_LABEL_CHARS}."
        )
    return short


def _sub_prompt(data: object) -> SubPrompt:
    if not isinstance(data, Mapping) or set(data) != set(_PROMPT_KEYS):
        raise PlaygroundError(
            f"The sub-prompt {shorten(data)} is not whole; it is an object with "
            f"{', '.join(_PROMPT_KEYS)}."
        )
    return SubPrompt(data["name"], data["template"], data["words"])


def _too_many(count: int) -> str:
    return f"The rule prompt has {count} sub-prompts; the most is {MAX_MASKS}."


def _check_prompts(text: object, prompts: Sequence[SubPrompt]) -> None:
    if not isinstance(text, str):
        raise PlaygroundError(f'"text" of the rule prompt is {shorten(text)}; it must be text.')
    if text.strip() and Template(text).masks:
        raise PlaygroundError(
            f"The text part {shorten(text)} has a mask; masks stand in sub-prompts."
        )
    if len(prompts) < 2:
        raise PlaygroundError(
            f"The rule prompt has {len(prompts)} sub-prompt{'s'[: len(prompts) != 1]}; give two or more, or take a prompt with "
            "one mask."
        )
    if len(prompts) > MAX_MASKS:
        raise PlaygroundError(_too_many(len(prompts)))
    names = [prompt.name for prompt in prompts]
    for name in names:
        if names.count(name) > 1:
            raise PlaygroundError(f"Two sub-prompts are called {shorten(name)}; rename one.")


def _rules(given: object, prompts: Sequence[SubPrompt]) -> tuple[Rule, ...]:
    """Return the rules, each checked against the sub-prompts and the other rules."""
    names = [prompt.name for prompt in prompts]
    found: list[Rule] = []
    if isinstance(given, Mapping):
        for label, chosen in given.items():
            if not isinstance(chosen, Mapping) or set(chosen) != set(names):
                raise PlaygroundError(
                    f"The rule of {shorten(label)} is {shorten(chosen)}; it must give a sub-label for "
                    f"each of {_listed(names)}."
                )
            found.append(Rule(_name(label, "class"), tuple(chosen[name] for name in names)))
    elif isinstance(given, Sequence) and not isinstance(given, str):
        found = [one for one in given if isinstance(one, Rule)]
        if len(found) < len(given) or any(len(one.sub_labels) != len(names) for one in found):
            raise PlaygroundError(
                f"The rules are {shorten(given)}; give each class a sub-label for each of "
                f"{_listed(names)}."
            )
    if len(found) < 2:
        raise PlaygroundError(f"There are {len(found)} rules; give at least two classes.")
    if len(found) > (most := settings().max_labels):
        raise PlaygroundError(f"There are {len(found)} rules; the most is {most}.")
    owner: dict[tuple[str, ...], str] = {}
    for rule in found:
        for prompt, chosen in zip(prompts, rule.sub_labels, strict=True):
            if not isinstance(chosen, str) or chosen not in prompt.verbalizer.labels:
                raise PlaygroundError(
                    f"The rule of {shorten(rule.label)} has {shorten(chosen)} for "
                    f"{shorten(prompt.name)}, whose sub-labels are "
                    f"{_listed(prompt.verbalizer.names)}."
                )
        if rule.label in owner.values():
            raise PlaygroundError(f"Two rules are of the class {shorten(rule.label)}; keep one.")
        if rule.sub_labels in owner:
            raise PlaygroundError(
                f"The classes {shorten(owner[rule.sub_labels])} and {shorten(rule.label)} have the "
                "same rule; let them differ in a sub-label."
            )
        owner[rule.sub_labels] = rule.label
    for place, prompt in enumerate(prompts):
        idle = set(prompt.verbalizer.names) - {rule.sub_labels[place] for rule in found}
        if idle:
            raise PlaygroundError(
                f"The sub-label {shorten(min(idle))} of {shorten(prompt.name)} stands in no rule; use it "
                "or take it out."
            )
    return tuple(found)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:8])
