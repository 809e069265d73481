"""The columns of the Compare tab: their components, and what a listener gets of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from playground.app import compare_view
from playground.app.compare_view import Side
from playground.app.model_names import shown_name
from playground.app.registry import Registry
from playground.app.session import Inputs, explain, joined
from playground.app.share import ComparedPrompt
from playground.app.tabs.evaluate import with_card_templates
from playground.errors import PlaygroundError
from playground.prompts import Prompt, ScoringOptions

LETTERS = "ABCD"
FEWEST = 2


Shown = tuple[bool, ...]  # which columns are on the page
Options = tuple[ScoringOptions, ...]  # each column's choices that have no box of their own
SHOWN: Shown = (True, True, False, False)
OPTIONS: Options = (ScoringOptions(),) * len(LETTERS)


@dataclass(frozen=True)
class Column:
    """The components of one prompt."""

    letter: str
    whole: gr.Column
    head: gr.HTML
    boxes: list  # template, label words, model, calibration
    told: gr.HTML
    result: gr.HTML

    def filled(self, prompt: Prompt, model: str) -> dict:
        """Return the updates that show a prompt in this column."""
        source, words = prompt.template.source, prompt.verbalizer.to_text()
        values = (source, words, model, prompt.scoring.calibration)
        return dict(zip(self.boxes, values, strict=True))


@dataclass(frozen=True)
class CompareTab:
    """The components of the tab that other parts of the page read or set."""

    registry: Registry
    texts: list
    shown: gr.State
    options: gr.State
    untouched: gr.State  # nobody has opened the tab yet: it may still take the prompt of Classify
    columns: list[Column]
    rows_panel: gr.Column

    @property
    def inputs(self) -> list:
        """What :class:`Compare` is made of, in its order."""
        boxes = (box for column in self.columns for box in column.boxes)
        return [self.shown, self.options, *self.texts, *boxes]

    @property
    def outputs(self) -> list:
        """What :meth:`restored` sets."""
        heads = [part for column in self.columns for part in (column.whole, column.head)]
        return [*self.inputs, *heads, self.untouched]

    def restored(self, compared: Sequence[ComparedPrompt], texts: Sequence[str]) -> dict:
        """Return the updates that show the prompts of a link; none where it holds none."""
        if not compared:
            return {}
        updates: dict = dict(zip(self.texts, joined(texts), strict=True))
        filled = [*compared, *[compared[0]] * (len(LETTERS) - len(compared))]
        for column, one in zip(self.columns, filled, strict=True):
            updates |= column.filled(one.prompt, offered(self.registry, one.model))
        many = max(FEWEST, len(compared))
        updates |= self.with_columns(tuple(k < many for k in range(len(LETTERS))))
        updates |= self.with_options([one.prompt.scoring for one in filled])
        return {**updates, self.untouched: False}

    def with_columns(self, shown: Shown) -> dict:
        """Return the updates that show these columns and no other."""
        seen = zip(self.columns, shown, strict=True)
        return {self.shown: shown, **{c.whole: gr.update(visible=on) for c, on in seen}}

    def with_options(self, options: Sequence[ScoringOptions]) -> dict:
        """Return the updates that keep the columns' choices; the calibration has its own box."""
        kept = tuple(replace(one, calibration="none") for one in options)
        heads = {
            column.head: compare_view.head(column.letter, one)
            for column, one in zip(self.columns, kept, strict=True)
        }
        return {self.options: kept, **heads}


class Compare:
    """The values of the Compare inputs: each shown column's prompt and model, or why it has none."""

    def __init__(
        self, registry: Registry, shown: Shown | None, options: Options | None, *values: Any
    ) -> None:
        self.registry = registry
        self.shown, self.options = shown or SHOWN, options or OPTIONS
        self.texts = tuple(text or "" for text in values[:2])
        self._boxes = [values[k : k + 4] for k in range(2, len(values), 4)]

    def inputs(self, place: int) -> Inputs:
        """Return one column as the inputs of Classify."""
        template, words, model, calibration = self._boxes[place]
        options = self.options[place]
        if calibration == "corpus" and not options.prior_texts:
            raise PlaygroundError(
                "Corpus calibration needs unlabelled texts: set them in Classify, then take it from there."
            )
        return Inputs(
            model or "", *self.texts, template, words, options.aggregation, calibration,
            options.domain, "\n".join(options.prior_texts), options.fill_order, options.pieces,
        )  # fmt: skip

    def places(self) -> Iterator[tuple[int, str]]:
        """Yield the place and the letter of each shown column."""
        for place, (letter, on) in enumerate(zip(LETTERS, self.shown, strict=True)):
            if on:
                yield place, letter

    def prompts(self) -> list[tuple[str, Prompt, str]]:
        """Return each shown column's letter, prompt and model; PlaygroundError names a wrong one."""
        found = []
        for place, letter in self.places():
            try:
                chosen = self.inputs(place)
                found.append((letter, chosen.prompt(), chosen.model))
            except PlaygroundError as error:
                raise PlaygroundError(f"Prompt {letter}: {error}") from None
        return found

    def side(self, place: int) -> Side:
        """Return what one column's prompt says of the text."""
        chosen = self.inputs(place)
        found = explain(self.registry, chosen)
        name = shown_name(self.registry, chosen.model) if chosen.model else ""
        return Side(LETTERS[place], chosen.prompt(), name, found)

    def sides(self) -> list[Side]:
        """Return what all shown prompts say; PlaygroundError names the one that cannot be scored."""
        found = []
        for place, letter in self.places():
            try:
                found.append(self.side(place))
            except PlaygroundError as error:
                raise PlaygroundError(f"Prompt {letter}: {error}") from None
        return found

    def used_texts(self) -> tuple[str, ...]:
        """Return the texts that some template takes."""
        return self.texts[: max(len(p.template.fields) for _, p, _ in self.prompts())]


def offered(registry: Registry, model: str) -> str:
    """Return the model's name, or the default one where a stranger may not choose it."""
    settings = registry.settings
    if not model or (settings.hosted and model not in settings.model_names):
        return settings.model
    return model


def starting_prompts(prompt: Prompt) -> list[Prompt]:
    """Return a prompt for each column: the one given, then other templates of the card."""
    others = with_card_templates(prompt).templates[1 : len(LETTERS)]
    found = [replace(prompt, template=template) for template in (prompt.template, *others)]
    return [*found, *[prompt] * (len(LETTERS) - len(found))]
