"""A whole table of texts, each row with its entities: streamed, resumable, one bad row no other's problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playground.errors import PlaygroundError, shorten
from playground.settings import Settings
from playground.tasks.entities.decoding import THRESHOLD, Entity, decode
from playground.tasks.entities.export import entities_json, spacy_example
from playground.tasks.entities.spans import words
from playground.tasks.entities.typing import EntityTyper
from playground.tasks.reading import Table
from playground.tasks.text_rows import Record
from playground.tasks.windows import InTurn, Layout, Window


@dataclass(frozen=True)
class Tagger(InTurn):
    """Finds the entities of texts: a typer, and how its candidates and entities are chosen.

    spacy: whether a row of the output is a line of spaCy's training data and nothing else.
    """

    typer: EntityTyper
    candidates: str = "names"
    most_words: int = 4
    threshold: float = THRESHOLD
    decoding: str = "greedy"
    nested: bool = False
    spacy: bool = False

    rows_at_once = 64

    @property
    def settings(self) -> Settings:
        return self.typer.prompting.settings

    def fingerprint(self) -> dict[str, Any]:
        """Return what rows of one file have in common."""
        prompt, backbone = self.typer.prompt, self.typer.prompting.backbone
        choices = {k: v for k, v in vars(self).items() if k != "typer"}
        return {
            **choices,
            "templates": [template.source for template in prompt.templates],
            "labels": prompt.verbalizer.to_json(),
            "prior": [self.typer.prior, self.typer.context_words],
            "scoring": prompt.scoring.to_json(),
            "model": backbone.mark,
        }

    def layout(self, table: Table, column: str, format: str, say: Callable[[str], None]) -> Layout:
        """Return the output's columns: the input's, then entities and error."""
        if column not in table.columns:
            raise PlaygroundError(
                f"There is no column {shorten(column)}; the columns are "
                f"{', '.join(map(shorten, table.columns[:20]))}. Name the text's with --text-column."
            )
        if self.spacy:
            return Layout((), {}, "jsonl", {"text": column})
        return Layout.of(table, ("entities", "error"), format, {"text": column}, say)

    def find(self, texts: list[str]) -> list[list[Entity] | str]:
        """Return the entities of each text, or the sentence that says why it has none to offer."""
        found: dict[int, list[Entity] | str] = {}
        usable: list[int] = []
        for i, text in enumerate(texts):
            if not words(text):
                found[i] = []  # nothing is said, so nothing is named
            else:
                usable.append(i)
        try:
            typed = self._typed([texts[i] for i in usable])
        except PlaygroundError:  # one of them is at fault; it is told and the others are typed
            for i in usable:
                try:
                    found[i] = self._decoded(self._typed([texts[i]])[0])
                except PlaygroundError as error:
                    found[i] = str(error)
        else:
            found |= {i: self._decoded(one) for i, one in zip(usable, typed, strict=True)}
        return [found[i] for i in range(len(texts))]

    def window(self, layout: Layout, records: list[Record]) -> Window:
        """Return some rows with their entities."""
        column = layout.mapping["text"]
        problems: dict[int, str] = {}
        texts: dict[int, str] = {}
        for i, record in enumerate(records):
            text = record.values.get(column)
            if record.error is not None:
                problems[i] = record.error
            elif column not in record.values:
                problems[i] = f"This row has no {shorten(column)}."
            elif not isinstance(text, str):
                problems[i] = (
                    f"{column} is {shorten(text)} ({type(text).__name__}); it must be text."
                )
            else:
                texts[i] = text
        found = dict(zip(texts, self.find(list(texts.values())), strict=True))
        problems |= {i: one for i, one in found.items() if isinstance(one, str)}
        rows: list[Mapping[str, Any]] = []
        for i, record in enumerate(records):
            one = found.get(i)
            entities = one if isinstance(one, list) else []
            if self.spacy:
                if i not in problems:
                    rows.append(spacy_example(texts[i], entities, nested=self.nested))
                continue
            ours = {"entities": entities_json(entities), "error": problems.get(i, "")}
            rows.append(record.values | {layout.added[name]: ours[name] for name in ours})
        return Window.of(layout, records, rows, failed=len(problems))

    def _typed(self, texts: list[str]):
        kinds = [self.candidates] * len(texts)
        return self.typer.type_texts(texts, candidates=kinds, most_words=self.most_words)

    def _decoded(self, typed) -> list[Entity]:
        return decode(typed, threshold=self.threshold, decoding=self.decoding, nested=self.nested)
