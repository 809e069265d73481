"""A finished folder in use: its answers for rows, and for a table of any length."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from playground.engine.device import choose_device
from playground.engine.encoding import batches
from playground.engine.loading import longest_input, read_model, resolve, revision_of
from playground.engine.packing import pack_linears
from playground.errors import PlaygroundError, shorten
from playground.settings import Settings
from playground.settings import settings as current_settings
from playground.tasks.heads.answering import AnswerHead
from playground.tasks.heads.head import FAMILIES, Head, Piece, Spec, output_of
from playground.tasks.heads.measures import Result
from playground.tasks.heads.rows import Examples, column_map, row_inputs
from playground.tasks.heads.sequence import ClassifyHead, RegressHead
from playground.tasks.heads.tagging import TagHead, split_words
from playground.tasks.reading import Table
from playground.tasks.text_rows import Record
from playground.tasks.windows import InTurn, Layout, Window

HEADS: dict[str, type[Head]] = {
    "classify": ClassifyHead,
    "regress": RegressHead,
    "tag": TagHead,
    "answer": AnswerHead,
}
_GPU_BATCH_FACTOR = 32  # a GPU takes this many times the CPU's batch_tokens
Progress = Callable[[int, int], None]


def run_pieces(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pieces: Sequence[Piece],
    budget: int,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Return the network's output for each piece, without padding: (C,), (T, C), or (T, 2) of spans."""
    outputs: list[Any] = [None] * len(pieces)
    done = 0
    for batch in batches(
        [piece.encoded for piece in pieces],
        budget=budget,
        pad_id=tokenizer.pad_token_id or 0,
        type_ids="token_type_ids" in tokenizer.model_input_names,
        device=network.device,
    ):
        with torch.inference_mode():
            found = output_of(network(**batch.inputs)).cpu().numpy()
        for place, output in zip(batch.rows, found, strict=True):
            outputs[place] = unpadded(output, pieces[place])
        done += len(batch.rows)
        if progress is not None:
            progress(done, len(pieces))
    return outputs


def unpadded(output: np.ndarray, piece: Piece) -> np.ndarray:
    """Return the output of one piece without what stands at its padding."""
    return output[: len(piece.encoded)] if output.ndim > 1 else output


class Finetuned:
    """A folder that :func:`~playground.tasks.heads.training.finetune` wrote, opened to be used.

    ``Finetuned("tagger").predict([("A", "dog", "barks")])`` gives one prediction a row: the labels'
    log-probabilities (classify), a number (regress), those of each word (tag), or a span (answer).
    Raises PlaygroundError for a folder that is not there, is damaged, or was made by something else.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        settings: Settings | None = None,
        device: str | None = None,
    ) -> None:
        self.settings = settings or current_settings()
        source = resolve(model, self.settings)
        self.spec = _spec(source.location if source.local else None, source.name)
        network, self.tokenizer = read_model(source, FAMILIES[self.spec.kind])
        if self.spec.max_tokens > longest_input(network, self.tokenizer):
            raise PlaygroundError(
                f"The model {shorten(source.name, 80)} notes inputs of {self.spec.max_tokens} tokens and "
                "reads fewer; its config.json is damaged."
            )
        self.name, self.revision = source.name, revision_of(source, network)
        place = choose_device(device or self.settings.device)
        self.model: PreTrainedModel = network.to(place).eval().requires_grad_(False)  # type: ignore[arg-type]
        if place.type == "cpu":
            pack_linears(self.model)
        self.head = HEADS[self.spec.kind](self.spec, self.tokenizer)

    def predict(
        self, inputs: Sequence[tuple[str, ...]], *, progress: Progress | None = None
    ) -> list[Any]:
        """Return the prediction of each row; ``progress`` is told (pieces done, pieces in all)."""
        if not inputs:
            return []
        if self.spec.kind != "tag" and {len(given) for given in inputs} != {self.sides}:
            raise PlaygroundError(
                f"The model {shorten(self.name, 80)} reads {_SIDES[self.sides]} a row; give as many."
            )
        factor = 1 if self.model.device.type == "cpu" else _GPU_BATCH_FACTOR
        pieces = self.head.pieces(inputs)
        budget = self.settings.batch_tokens * factor
        outputs = run_pieces(self.model, self.tokenizer, pieces, budget, progress)
        return self.head.decode(inputs, pieces, outputs)

    def describe(self, given: Mapping[str, str]) -> list[str]:
        """Return what the model says of one row, as lines that people read.

        given: text (and text_b), or question and context; a tagger reads the words and signs of text.
        """
        kind = self.spec.kind
        row = row_inputs("classify" if kind == "tag" else kind, given)
        row = split_words(row[0]) if kind == "tag" else row
        return self.head.lines(row, self.predict([row])[0])

    def evaluate(self, rows: Examples, *, progress: Progress | None = None) -> Result:
        """Return how good the model is on labelled rows of its kind."""
        if rows.kind != self.spec.kind:
            raise PlaygroundError(f"The model is for {self.spec.kind}, the rows for {rows.kind}.")
        check_labels(self.spec.labels, rows, "The data has")
        return self.head.evaluate(self.predict(rows.inputs, progress=progress), rows)

    @property
    def sides(self) -> int:
        """How many texts a row has."""
        return 2 if self.spec.kind == "answer" else self.spec.sides


_SIDES = {1: "one text", 2: "two texts"}


def check_labels(labels: Sequence[str], rows: Examples, whose: str) -> None:
    """Raise PlaygroundError for a label or tag of ``rows`` that is none of ``labels``."""
    if rows.kind not in ("classify", "tag"):
        return
    golds = {g for gold in rows.golds for g in ((gold,) if rows.kind == "classify" else gold)}
    if strange := sorted(golds - set(labels)):
        raise PlaygroundError(
            f"{whose} the label {shorten(strange[0])}, which the training rows lack; they have "
            f"{', '.join(shorten(label) for label in labels[:12])}."
        )


@dataclass(frozen=True)
class TablePredictor(InTurn):
    """Answers for each row of a table; see :func:`playground.tasks.score.run_windows`."""

    model: Finetuned

    rows_at_once = 256

    @property
    def settings(self) -> Settings:
        return self.model.settings

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be the same for rows of two runs to stand in one file."""
        return {"finetuned": [self.model.name, self.model.revision, self.model.model.device.type]}

    def layout(
        self, table: Table, columns: Mapping[str, str], format: str, say: Callable[[str], None]
    ) -> Layout:
        """Return the output's columns: the input's, the prediction's, and error."""
        kind = self.model.spec.kind
        if kind == "tag" and "tokens" not in columns and "tokens" not in table.columns:
            mapping = column_map("classify", table, columns, golds=False)
            mapping = {"text": mapping["text"]}
        else:
            mapping = column_map(kind, table, columns, golds=False)
        if kind in ("classify", "regress"):
            if self.model.sides == 2 and "text_b" not in mapping:
                raise PlaygroundError(
                    "The model reads two texts a row; name the second with --columns text_b=COLUMN."
                )
            mapping = {k: v for k, v in mapping.items() if k == "text" or self.model.sides == 2}
        return Layout.of(table, (*self.model.head.columns, "error"), format, mapping, say)

    def window(self, layout: Layout, records: list[Record]) -> Window:
        """Return some rows with their predictions."""
        problems: dict[int, str] = {}
        given: dict[int, tuple[str, ...]] = {}
        for i, record in enumerate(records):
            try:
                if record.error is not None:
                    raise PlaygroundError(record.error)
                values = {
                    name: record.values.get(column) for name, column in layout.mapping.items()
                }
                given[i] = self._inputs(values)
            except PlaygroundError as error:
                problems[i] = str(error)
        shown: dict[int, dict[str, Any]] = {}
        head = self.model.head
        for i, found in self._found(given, problems).items():
            shown[i] = head.show(given[i], found)
        rows: list[Mapping[str, Any]] = []
        for i, record in enumerate(records):
            ours = dict.fromkeys(layout.added) | shown.get(i, {}) | {"error": problems.get(i, "")}
            rows.append(record.values | {layout.added[name]: ours[name] for name in layout.added})
        return Window.of(layout, records, rows, failed=len(problems))

    def _inputs(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        kind = self.model.spec.kind
        if kind != "tag" or "tokens" in values:
            return row_inputs(kind, values)
        (text,) = row_inputs("classify", values)
        return split_words(text)

    def _found(
        self, given: Mapping[int, tuple[str, ...]], problems: dict[int, str]
    ) -> dict[int, Any]:
        """Return the prediction of each row; if one is at fault, it is told and the others are done."""
        try:
            return dict(zip(given, self.model.predict(list(given.values())), strict=True))
        except PlaygroundError:
            found: dict[int, Any] = {}
            for i, one in given.items():
                try:
                    found[i] = self.model.predict([one])[0]
                except PlaygroundError as error:
                    problems[i] = str(error)
            return found


def _spec(folder: str | None, name: str) -> Spec:
    if folder is None:
        raise PlaygroundError(
            f"{shorten(name, 80)} is no folder here; give one of playground finetune."
        )
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    return Spec.of_config(config if isinstance(config, dict) else {}, name)
