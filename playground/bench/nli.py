"""``bench nli``: training and classifying sentence pairs, against the textbook's way and the pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, pipeline

from playground import resources
from playground.bench.report import Cell, Report, Table, circumstances
from playground.bench.timing import Contestant, in_turn, one_thread
from playground.engine.loading import quietly
from playground.settings import Settings
from playground.tasks.nli import NliClassifier, Pairs
from playground.tasks.nli.pairs import LABELS
from playground.tasks.nli.training import Recipe, prepare

PAIRS, BATCH, STEPS = 480, 64, 3
TRAIN_ROUNDS, ROUNDS = 5, 5
_CHAPTER = Recipe(padding="fixed", precision="float32", batch_size=BATCH)
_OURS = Recipe(batch_size=BATCH)
_NAMES = (
    "the chapter: fixed 128, fp32",
    "+ dynamic padding, pairs of like length",
    "playground: + bf16",
)
_PIPELINE = "text-classification pipeline"


def measure_nli(*, model: str | None, say: Callable[[str], None]) -> Report:
    """Measure training from the shipped masked LM, and ``model`` (or the shipped classifier) at work."""
    rows = _sample_rows()
    with one_thread():
        say("training steps, in three ways")
        tables = [_training(rows)]
        say(f"{PAIRS} pairs, classified")
        classifier = NliClassifier(model, device="cpu")
        tables.append(_inference(classifier, rows))
    facts = circumstances() | {"timing": "CPU time, one torch thread, medians of paired rounds"}
    return Report("nli", classifier.describe(), tuple(tables), facts)


def _sample_rows() -> list[tuple[str, str, int]]:
    """Return our sample pairs again and again, as many as are measured."""
    own = resources.load_examples("nli")
    rows = [(row["premise"], row["hypothesis"], LABELS.index(row["label"])) for row in own]
    return [rows[i % len(rows)] for i in range(PAIRS)]


def _training(rows: list[tuple[str, str, int]]) -> Table:
    premises, hypotheses, labels = (list(side) for side in zip(*rows, strict=True))
    pairs = Pairs(premises, hypotheses, np.array(labels))
    recipes = (_CHAPTER, replace(_OURS, precision="float32"), _OURS)
    settings = Settings.from_environment()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder, quietly():
        steps = {
            name: _Steps(
                prepare(
                    None, pairs, pairs, Path(folder), recipe=recipe, settings=settings, device="cpu"
                ).trainer
            )
            for name, recipe in zip(_NAMES, recipes, strict=True)
        }
        times = in_turn(
            {
                name: Contestant(lambda turn, take=take: take(STEPS), STEPS * BATCH)
                for name, take in steps.items()
            },
            rounds=TRAIN_ROUNDS,
        )
    lines: list[tuple[Cell, ...]] = [
        (name, times.median(name) * 1e3, 1 / times.median(name), times.ratio(_NAMES[0], name))
        for name in _NAMES
    ]
    ours = steps[_NAMES[2]].trainer
    ran = "bf16" if ours.args.bf16 else "fp32, since bf16 is no faster here"
    length = float(np.mean(ours.train_dataset["length"]))
    notes = (
        f"Steps of {BATCH} pairs of {length:.0f} tokens on average, all weights, AdamW; the last way "
        f"ran in {ran}.",
    )
    columns = {"": "", "ms a pair": ".2f", "pairs/s": ",.0f", "times as fast": ".1f"}
    return Table("Training, from the shipped masked LM", columns, tuple(lines), notes)


class _Steps:
    """Takes a trainer's steps a few at a time: forward, backward, clip, and the optimizer."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._model, self._optimizer = trainer.accelerator.prepare(  # as train() does
            trainer.model.train(), trainer.create_optimizer()
        )
        self._batches = iter(())

    def __call__(self, count: int) -> None:
        trainer = self.trainer
        for _ in range(count):
            batch = next(self._batches, None)
            if batch is None:
                self._batches = iter(trainer.get_train_dataloader())
                batch = next(self._batches)
            trainer.training_step(self._model, dict(batch))
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad()


def _inference(classifier: NliClassifier, rows: list[tuple[str, str, int]]) -> Table:
    location = classifier.source.location
    with quietly():
        plain = pipeline(
            "text-classification",
            model=AutoModelForSequenceClassification.from_pretrained(location, dtype=torch.float32),
            tokenizer=AutoTokenizer.from_pretrained(location),
            device=torch.device("cpu"),
            top_k=None,
        )
    asked = [{"text": premise, "text_pair": hypothesis} for premise, hypothesis, _ in rows]
    pairs = [(premise, hypothesis) for premise, hypothesis, _ in rows]
    found: dict[str, np.ndarray] = {}

    def many(turn: int) -> None:
        found["ours"] = classifier.classify(pairs).label_scores

    def pipe(size: int) -> Callable[[int], None]:
        def run(turn: int) -> None:
            answers = plain(asked[:120], batch_size=size, function_to_apply="none")
            shares = [{one["label"].lower(): one["score"] for one in answer} for answer in answers]
            found["pipeline"] = np.array([[row[label] for label in LABELS] for row in shares])

        return run

    names = ("playground, a table", f"{_PIPELINE}, batch_size 1", f"{_PIPELINE}, batch_size 32")
    one, other = "playground, one pair", f"{_PIPELINE}, one pair"
    times = in_turn(
        {
            names[0]: Contestant(many, len(pairs)),
            names[1]: Contestant(pipe(1), 120),
            names[2]: Contestant(pipe(32), 120),
            one: Contestant(lambda turn: [classifier.classify([pair]) for pair in pairs[:20]], 20),
            other: Contestant(lambda turn: [plain(ask) for ask in asked[:20]], 20),
        },
        rounds=ROUNDS,
    )
    best = min(names[1:], key=times.median)
    difference = float(np.abs(found["ours"][:120] - found["pipeline"]).max())
    lines: list[tuple[Cell, ...]] = []
    for name in (*names, one, other):
        against = best if name in names else other
        lines.append(
            (name, times.median(name) * 1e3, 1 / times.median(name), times.ratio(against, name),
             difference if name == names[0] else None)
        )  # fmt: skip
    columns = {
        "": "", "ms a pair": ".2f", "pairs/s": ",.0f", "times as fast": ".1f", "max |Δlogit|": ".0e",
    }  # fmt: skip
    notes = ("A table against the faster pipeline, one pair against the pipeline with one pair.",)
    return Table("Classifying", columns, tuple(lines), notes)
