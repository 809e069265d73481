"""The model card and the curve that a pretraining leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from playground.tasks.pretraining.timelapse import Timelapse

_SHOWN = 8  # probes in the card


def draw_curve(lapse: Timelapse, path: Path) -> None:
    """Draw training and held-out loss against the tokens read, as an SVG picture."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [point.tokens / 1e6 for point in lapse.curve],
        [point.loss for point in lapse.curve],
        color="#8a8f98", label="training",
    )  # fmt: skip
    looked = [look for look in lapse.checkpoints if look.mean_loss is not None]
    axes.plot(
        [look.tokens / 1e6 for look in looked],
        [look.mean_loss for look in looked],
        "o-", color="#D55E00", label="held out",
    )  # fmt: skip
    axes.set(xlabel="million tokens", ylabel="loss, nats a hidden token")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def model_card(report: dict[str, Any], lapse: Timelapse) -> str:
    """Return the card of a pretrained model: its size, texts, training, losses and what it says."""
    recipe = report["recipe"]
    rows = [
        f"| {corpus['name']} | {corpus['tokens']:,} | {corpus['share']:.0%} | {corpus['passes']:.2f} | "
        f"{_loss(corpus['held_out_loss'])} |"
        for corpus in report["corpora"]
    ]
    lengths = ", ".join(f"{length} tokens for {share:.0%}" for length, share in recipe["lengths"])
    kept = 1 - recipe["masked"] - recipe["randomised"]
    if report["start"]:
        start = report["start"]
    elif recipe["vectors"]:
        start = f"CBOW vectors of {recipe['vectors']:,} tokens and unigram log-frequencies"
    else:
        start = "random weights and unigram log-frequencies"
    words = "whole words" if recipe["whole_word"] else "WordPieces"
    said = "\n".join(
        f"- {probe.text} {', '.join(f'{token} {share:.2f}' for token, share in probe.top[-1][:3])}"
        for probe in lapse.probes[:_SHOWN]
    )
    return f"""---
library_name: transformers
pipeline_tag: fill-mask
tags:
  - bert
  - masked-language-model
---
# A masked language model

A BERT of {recipe["layers"]} layers, {recipe["hidden"]} hidden units and {recipe["heads"]} heads
({report["parameters"] / 1e6:.1f} M parameters, {report["vocabulary"]:,} WordPieces, inputs of up to
{recipe["positions"]} tokens), made with `playground pretrain`.

## Training
{report["tokens"]:,} tokens in {report["steps"]:,} steps, {report["seconds"] / 60:.0f} minutes
({report["processes"]} process{"es" if report["processes"] > 1 else ""}, {report["precision"]}). Masked
language modelling: {recipe["mask_rate"]:.0%} of the {words} are predicted, of these
{recipe["masked"]:.0%} masked, {recipe["randomised"]:.0%} random, {kept:.0%} kept. Blocks of {lengths} of
the steps. {recipe["optimizer"]}, peak learning rate {recipe["learning_rate"]:g}, weight decay
{recipe["weight_decay"]:g}, seed {recipe["seed"]}. It started from {start}. Curve: `curve.svg`;
predictions on the way: `pretraining.json`.

| texts | tokens | share of the training | passes | held-out loss, nats (perplexity) |
|---|---|---|---|---|
{chr(10).join(rows)}

The loss is that of hidden tokens in documents that were never trained on. Last training loss:
{report["training_loss"]:.2f} nats.

## What it says
{said or "No sentences were asked."}
"""


def _loss(loss: float | None) -> str:
    return "too few texts" if loss is None else f"{loss:.2f} ({math.exp(loss):.0f})"
