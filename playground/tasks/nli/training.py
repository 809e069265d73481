"""Fine-tuning a BERT-like encoder on premise and hypothesis pairs (Devlin et al. 2019, § 4.1).

The classifier is the pretrained encoder, its [CLS] through a tanh layer, and three outputs. All encoder
weights are tuned; the masked-LM and next-sentence heads are left out. The loop is transformers'
``Trainer``, so ``torchrun`` and ``accelerate launch`` spread it over processes as they are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from torch import nn
from transformers import (
    DataCollatorWithPadding,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from playground.engine.classifier import PAIR, TEMPERATURE, head_columns
from playground.engine.encoding import CUTS, Encoded, Encoder
from playground.engine.loading import (
    CLASSIFIER,
    MASKED_LM,
    longest_input,
    quietly,
    read_model,
    resolve,
)
from playground.settings import Settings
from playground.tasks.nli.card import model_card
from playground.tasks.nli.evaluation import (
    HIDDEN,
    crossed_calibration_error,
    fit_temperature,
    summarize,
)
from playground.tasks.nli.pairs import LABELS, Pairs
from playground.tasks.training.curve import Curve
from playground.tasks.training.runs import (
    CHECKPOINTS,
    ShowSteps,
    Watch,
    check_recipe,
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
class Recipe:
    """How a classifier is trained.

    learning_rate: the peak; it warms up over ``warmup`` of the steps and falls to 0. padding:
    "dynamic" (to the longest of a batch of pairs of like length) or "fixed" (to max_tokens, as the
    textbook does). cut: "longest" or "ratio", how pairs over max_tokens are cut. dropout: the
    encoder's own if None. precision: "auto" takes bfloat16 where it is faster. balance: weigh labels by
    their rarity. evaluations: on the dev set, in each epoch. half: store weights in fp16.
    """

    epochs: float = 3.0
    learning_rate: float = 1e-4
    batch_size: int = 64
    max_tokens: int = 128
    padding: str = "dynamic"
    cut: str = "longest"
    warmup: float = 0.06
    weight_decay: float = 0.01
    dropout: float | None = None
    precision: str = "auto"
    balance: bool = False
    hypothesis_only: bool = False
    evaluations: float = 2
    seed: int = 0
    half: bool = False

    def __post_init__(self) -> None:
        check_recipe(self, {"padding": ("dynamic", "fixed"), "cut": tuple(CUTS)}, ("dropout",))


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the curve, and the dev set's numbers."""

    folder: Path
    curve: Curve
    report: dict[str, Any]


def train_classifier(
    model: str | None,
    train: Pairs,
    dev: Pairs,
    out: str | os.PathLike[str],
    *,
    recipe: Recipe,
    settings: Settings,
    device: str | None = None,
    fresh: bool = False,
    say: Say | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Fine-tune ``model`` on ``train`` and write the best checkpoint on ``dev`` to the folder ``out``.

    model: a masked LM or a classifier of an earlier stage; the shipped masked LM if None. A run that
    was stopped, even by a kill, goes on from its last checkpoint, unless ``fresh`` is asked for or the
    recipe, the model or the pairs are others. The folder gets the model, ``curve.json``,
    ``curve.svg``, ``training.json`` and a model card; the temperature that fits ``dev`` stands in
    config.json. ``say`` is told how it goes, a sentence at a time, and ``progress`` the steps done and
    in all. Raises PlaygroundError for what cannot be trained or written.
    """
    tell = say or (lambda sentence: None)
    folder = open_folder(out, fresh=fresh)
    run = prepare(model, train, dev, folder, recipe=recipe, settings=settings, device=device)
    trainer = run.trainer
    tell(
        f"{len(train):,} pairs to train on, {run.cut[0]:,} of them cut to {run.max_tokens} tokens."
    )
    watch = Watch(tell, len(train) / recipe.batch_size)
    done = train_on(
        trainer, folder, run.mark, precision=run.precision, fresh=fresh, say=tell,
        callbacks=(watch, ShowSteps(progress)),
    )  # fmt: skip
    with quietly():
        answers = trainer.predict(trainer.eval_dataset)  # in an order of its own
    logits = answers.predictions[:, run.columns]  # (N, 3), labels in our order
    gold = np.argsort(run.columns)[answers.label_ids]
    curve = watch.curve(trainer.state)
    if not trainer.is_world_process_zero():
        return Trained(folder, curve, {})
    temperature = round(fit_temperature(logits, gold), 4)
    report = {
        "model": run.name,
        "recipe": asdict(recipe) | {"max_tokens": run.max_tokens},
        "train": {"sources": names_of(train), "pairs": len(train), **train.counts()},
        "dev": {"sources": names_of(dev), "pairs": len(dev), **dev.counts()},
        **done.facts(trainer),
        "crossed_calibration_error": crossed_calibration_error(logits, gold),
        "result": summarize(logits, gold, temperature, run.cut[1]).to_json(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    trained = getattr(trainer.model, "module", trainer.model)
    setattr(trained.config, TEMPERATURE, temperature)
    save_trained(
        trained,
        trainer.processing_class,
        folder,
        curve=curve,
        report=report,
        card=model_card(report, curve),
        half=recipe.half,
    )
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Trained(folder, curve, report)


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start: its trainer, and what is known before the first step.

    columns: the head's column of each label. cut: pairs of the training and of the dev set that are
    longer than ``max_tokens``. mark: what must be the same for a stopped run to go on.
    """

    trainer: Trainer
    name: str
    columns: list[int]
    max_tokens: int
    cut: tuple[int, int]
    precision: str
    mark: str


def prepare(
    model: str | None,
    train: Pairs,
    dev: Pairs,
    folder: Path,
    *,
    recipe: Recipe,
    settings: Settings,
    device: str | None = None,
) -> Prepared:
    """Return the trainer of a run, its model read and its pairs encoded; nothing is written yet."""
    source = resolve(model, settings, MASKED_LM)
    set_seed(recipe.seed)  # a new head is drawn when the model is read
    network, tokenizer = read_model(source, CLASSIFIER, new_head=partial(_head, recipe))
    most = min(recipe.max_tokens, longest_input(network, tokenizer))
    columns = head_columns(network, LABELS, source.name)
    encoder = Encoder(tokenizer, most, cut=recipe.cut)
    sets = [_dataset(pairs, encoder, np.array(columns), recipe) for pairs in (train, dev)]
    place = training_device(device or settings.device)
    asked, recipe = recipe, with_precision(recipe, place, folder)
    arguments = trainer_arguments(
        folder,
        recipe,
        len(train),
        place,
        metric_for_best_model="accuracy",
        train_sampling_strategy="group_by_length" if recipe.padding == "dynamic" else "random",
    )
    trainer = _trainer(
        network, arguments, sets, tokenizer, recipe, most, _weights(train, columns, recipe)
    )
    cut = [int(np.count_nonzero(rows["dropped"])) for rows in sets]
    mark = run_mark(asked, network, (*train.columns(), *dev.columns()), arguments.world_size)
    return Prepared(trainer, source.name, columns, most, (cut[0], cut[1]), recipe.precision, mark)


def names_of(pairs: Pairs) -> list[str]:
    """Return the names of the sources without the folders that they lie in."""
    return [
        s if s.count("/") <= 1 and not Path(s).exists() else Path(s).name for s in pairs.sources
    ]


def _head(recipe: Recipe, config: PreTrainedConfig) -> dict[str, Any]:
    """Return what the config gets; a classifier with these labels keeps its own order of them."""
    own = [str(name).lower() for _, name in sorted((config.id2label or {}).items())]
    names = own if sorted(own) == sorted(LABELS) else list(LABELS)
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: k for k, name in enumerate(names)},
        **config_changes(config, recipe.dropout),
    }


def _dataset(
    pairs: Pairs, encoder: Encoder, columns: np.ndarray, recipe: Recipe
) -> datasets.Dataset:
    """Return the pairs as token ids; the tokenizer works on all cores."""

    def encode(rows: dict[str, list]) -> dict[str, list]:
        premises = [HIDDEN] * len(rows["label"]) if recipe.hypothesis_only else rows["premise"]
        found = encoder.encode(
            [PAIR.render(pair) for pair in zip(premises, rows["hypothesis"], strict=True)]
        )
        fitting = [row for row in found if isinstance(row, Encoded)]
        made = {
            "input_ids": [row.ids for row in fitting],
            "length": [len(row) for row in fitting],
            "dropped": [row.dropped for row in fitting],
            "labels": rows["label"],
        }
        if encoder.uses_type_ids:
            made["token_type_ids"] = [row.type_ids for row in fitting]
        return made

    given = {
        "premise": pairs.premises,
        "hypothesis": pairs.hypotheses,
        "label": columns[pairs.labels].tolist(),
    }
    rows = datasets.Dataset.from_dict(given)
    return rows.map(
        encode,
        batched=True,
        batch_size=4096,
        remove_columns=rows.column_names,
        keep_in_memory=True,
        new_fingerprint=hashlib.sha256(repr((len(pairs), recipe)).encode()).hexdigest()[:16],
    )


def _weights(train: Pairs, columns: list[int], recipe: Recipe) -> torch.Tensor:
    """Return the weight of each column of the head in the loss, (3,)."""
    weights = torch.ones(len(LABELS))
    if recipe.balance:
        counts = torch.tensor([max(1, count) for count in train.counts().values()])
        weights[columns] = len(train) / len(LABELS) / counts
    return weights


def _trainer(
    network: PreTrainedModel,
    arguments: TrainingArguments,
    sets: list[datasets.Dataset],
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    max_tokens: int,
    weights: torch.Tensor,
) -> Trainer:
    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"].float()
        return nn.functional.cross_entropy(logits, labels, weight=weights.to(logits.device))

    def accuracy(found: Any) -> dict[str, float]:
        return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}

    padding: dict[str, Any] = {"padding": True}
    if recipe.padding == "fixed":
        padding = {"padding": "max_length", "max_length": max_tokens}
    trainer = Trainer(
        network,
        arguments,
        data_collator=DataCollatorWithPadding(tokenizer, **padding),
        train_dataset=sets[0],
        eval_dataset=sets[1],
        processing_class=tokenizer,
        compute_loss_func=loss,
        compute_metrics=accuracy,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
