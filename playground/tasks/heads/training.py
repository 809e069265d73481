"""Fine-tuning an encoder with a new head (Devlin et al. 2019, § 4): all weights move, best on dev is kept.

The heads are transformers' own classes and the loop is its ``Trainer``, so ``torchrun`` and
``accelerate launch`` spread it over processes as they are.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from torch.utils.data import DataLoader
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    set_seed,
)

from playground.engine.loading import MASKED_LM, longest_input, read_model, resolve
from playground.errors import PlaygroundError, shorten
from playground.settings import Settings
from playground.tasks.heads.answering import AnswerHead
from playground.tasks.heads.card import model_card
from playground.tasks.heads.head import FAMILIES, Head, Piece, Spec
from playground.tasks.heads.measures import Result
from playground.tasks.heads.predicting import HEADS, check_labels, run_pieces, unpadded
from playground.tasks.heads.recipes import Recipe
from playground.tasks.heads.rows import Examples
from playground.tasks.heads.sequence import RegressHead
from playground.tasks.training.curve import Curve
from playground.tasks.training.runs import (
    CHECKPOINTS,
    ShowSteps,
    Watch,
    config_changes,
    open_folder,
    run_mark,
    train_on,
    trainer_arguments,
    training_device,
    with_precision,
)
from playground.tasks.training.saving import save_trained

Say = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder, the curve, the dev set's result, and the report that was saved.

    The result is None, and the report empty, in all processes of a run but the first.
    """

    folder: Path
    curve: Curve
    result: Result | None
    report: dict[str, Any]


def finetune(
    model: str | None,
    train: Examples,
    dev: Examples,
    out: str | os.PathLike[str],
    *,
    recipe: Recipe,
    settings: Settings,
    device: str | None = None,
    fresh: bool = False,
    say: Say | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Finished:
    """Fine-tune ``model`` on ``train`` and write the best checkpoint on ``dev`` to the folder ``out``.

    The kind of the rows tells the head. model: a masked LM or a model with a head; the shipped masked
    LM if None. A run that was stopped, even by a kill, goes on from its last checkpoint, unless
    ``fresh`` is asked for or the recipe, the model or the rows are others. The folder gets the model,
    ``curve.json``, ``curve.svg``, ``training.json`` and a model card. ``say`` is told how it goes, a
    sentence at a time, and ``progress`` the steps done and in all. Raises PlaygroundError for what
    cannot be trained or written.
    """
    tell = say or (lambda sentence: None)
    spec = first_spec(train, dev, recipe)
    folder = open_folder(out, fresh=fresh)
    run = _prepare(model, train, dev, folder, spec, recipe, settings, device)
    trainer, head = run.trainer, run.head
    tell(run.describe(train))
    watch = Watch(tell, run.pieces[0] / recipe.batch_size, head.metric)
    done = train_on(
        trainer, folder, run.mark, precision=run.precision, fresh=fresh, say=tell,
        callbacks=(watch, ShowSteps(progress)),
    )  # fmt: skip
    curve = watch.curve(trainer.state)
    if not trainer.is_world_process_zero():
        return Finished(folder, curve, None, {})
    network = getattr(trainer.model, "module", trainer.model).eval()
    head.finish(network)
    pieces = head.pieces(dev.inputs)
    outputs = run_pieces(network, run.tokenizer, pieces, settings.batch_tokens)
    predictions = head.decode(dev.inputs, pieces, outputs)
    if isinstance(head, AnswerHead) and head.spec.unanswerable:
        head.spec = replace(head.spec, threshold=head.fit_threshold(predictions, dev))
    result = head.evaluate(predictions, dev, train)
    for name, value in head.spec.to_config().items():
        setattr(network.config, name, value)
    report = {
        "kind": spec.kind,
        "model": run.name,
        "recipe": asdict(recipe) | {"max_tokens": head.spec.max_tokens},
        "train": _describe(train),
        "dev": _describe(dev),
        **done.facts(trainer),
        "result": result.to_json(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    save_trained(
        network,
        run.tokenizer,
        folder,
        curve=curve,
        report=report,
        card=model_card(report, curve, result, head.spec),
        half=recipe.half,
    )
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Finished(folder, curve, result, report)


def first_spec(train: Examples, dev: Examples, recipe: Recipe) -> Spec:
    """Return what is known of the head before the model is read; checks that the rows can be learned."""
    kind = train.kind
    if dev.kind != kind:
        raise PlaygroundError(f"The training rows are for {kind} and the dev rows for {dev.kind}.")
    if not len(train) or not len(dev):
        raise PlaygroundError("Training needs at least one row to train on and one to choose on.")
    sides = len(train.inputs[0]) if kind in ("classify", "regress") else 1
    if kind in ("classify", "regress") and {len(given) for given in dev.inputs} != {sides}:
        raise PlaygroundError(
            "The training rows and the dev rows do not have the same number of texts; name both with "
            "--columns."
        )
    labels = _labels(train)
    check_labels(labels, dev, "The dev rows have")
    return Spec(
        kind,
        labels,
        sides,
        recipe.max_tokens,
        min(recipe.doc_stride, recipe.max_tokens // 4) if kind == "answer" else 0,
        recipe.longest_answer,
        kind == "answer" and not all([*train.golds, *dev.golds]),
    )


def _labels(train: Examples) -> tuple[str, ...]:
    if train.kind == "answer":
        if not any(train.golds):
            raise PlaygroundError("No training row has an answer; give some that have.")
        return ("start", "end")
    if train.kind == "regress":
        if len(set(train.golds)) < 2:
            raise PlaygroundError(
                f"All training rows have the score {train.golds[0]:g}; there is nothing to learn."
            )
        return ("score",)
    golds = set(train.golds) if train.kind == "classify" else {t for g in train.golds for t in g}
    if len(golds) < 2:
        raise PlaygroundError(
            f"All training rows have the label {shorten(next(iter(golds)))}; there must be two or more."
        )
    return tuple(sorted(golds))


@dataclass(frozen=True)
class _Prepared:
    """A run that is ready to start. pieces: of the training and of the dev set."""

    trainer: Trainer
    head: Head
    tokenizer: PreTrainedTokenizerBase
    name: str
    pieces: tuple[int, int]
    cut: int
    precision: str
    mark: str

    def describe(self, train: Examples) -> str:
        most = self.head.spec.max_tokens
        if train.kind in ("tag", "answer"):
            return f"{len(train):,} rows to train on, in {self.pieces[0]:,} pieces of up to {most} tokens."
        return f"{len(train):,} rows to train on, {self.cut:,} of them cut to {most} tokens."


def _prepare(
    model: str | None,
    train: Examples,
    dev: Examples,
    folder: Path,
    spec: Spec,
    recipe: Recipe,
    settings: Settings,
    device: str | None,
) -> _Prepared:
    source = resolve(model, settings, MASKED_LM)
    set_seed(recipe.seed)  # a new head is drawn when the model is read
    network, tokenizer = read_model(
        source, FAMILIES[spec.kind], new_head=partial(_config, spec, recipe)
    )
    spec = replace(spec, max_tokens=min(spec.max_tokens, longest_input(network, tokenizer)))
    if spec.kind == "regress":
        head: Head = RegressHead(spec, tokenizer, train.golds)
    else:
        head = HEADS[spec.kind](spec, tokenizer)
    learned, looked = head.pieces(train.inputs), head.pieces(dev.inputs)
    looked.sort(key=lambda piece: len(piece.encoded))
    place = training_device(device or settings.device)
    asked, recipe = recipe, with_precision(recipe, place, folder)
    arguments = trainer_arguments(
        folder,
        recipe,
        len(learned),
        place,
        metric_for_best_model=head.metric.name,
        train_sampling_strategy="group_by_length",
    )

    def measured(found: Any) -> dict[str, float]:
        whole = found.predictions
        if isinstance(whole, tuple):
            whole = np.stack(whole, -1)
        outputs = [unpadded(whole[i], piece) for i, piece in enumerate(looked)]
        predictions = head.decode(dev.inputs, looked, outputs)
        return {head.metric.name: head.score(predictions, dev)}

    collator = DataCollatorForTokenClassification if spec.kind == "tag" else DataCollatorWithPadding
    types = "token_type_ids" in tokenizer.model_input_names
    trainer = _InOrder(
        network,
        arguments,
        data_collator=collator(tokenizer),
        train_dataset=_rows(head, learned, train, types, length=True),
        eval_dataset=_rows(head, looked, dev, types, length=False),
        processing_class=tokenizer,
        compute_metrics=measured,
    )
    trainer.remove_callback(PrinterCallback)
    mark = run_mark(asked, network, (*train.columns(), *dev.columns()), arguments.world_size)
    return _Prepared(
        trainer,
        head,
        tokenizer,
        source.name,
        (len(learned), len(looked)),
        sum(piece.encoded.dropped > 0 for piece in learned),
        recipe.precision,
        mark,
    )


class _InOrder(Trainer):
    """Looks at the dev set in its own order, so that each output can be led back to its row."""

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        return self.accelerator.prepare(
            DataLoader(
                self.eval_dataset if eval_dataset is None else eval_dataset,
                batch_size=self.args.eval_batch_size,
                collate_fn=self.data_collator,
            )
        )


def _rows(
    head: Head, pieces: Sequence[Piece], rows: Examples, types: bool, *, length: bool
) -> datasets.Dataset:
    columns: dict[str, list] = {"input_ids": [list(piece.encoded.ids) for piece in pieces]}
    if types:
        columns["token_type_ids"] = [list(piece.encoded.type_ids) for piece in pieces]
    if length:  # what batches of like length are drawn by
        columns["length"] = [len(piece.encoded) for piece in pieces]
    targets = [head.targets(piece, rows.golds[piece.row]) for piece in pieces]
    return datasets.Dataset.from_dict(columns | {k: [t[k] for t in targets] for k in targets[0]})


def _config(spec: Spec, recipe: Recipe, config: PreTrainedConfig) -> dict[str, Any]:
    return spec.to_config() | config_changes(config, recipe.dropout)


def _describe(rows: Examples) -> dict[str, Any]:
    told: dict[str, Any] = {
        "sources": [Path(s).name if Path(s).exists() else s for s in rows.sources],
        "rows": len(rows),
    }
    if rows.kind == "classify":
        told["labels"] = dict(sorted(Counter(rows.golds).items()))
    elif rows.kind == "tag":
        told["words"] = sum(map(len, rows.golds))
    elif rows.kind == "answer":
        told["unanswerable"] = sum(not gold for gold in rows.golds)
    return told
