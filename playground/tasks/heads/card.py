"""The model card of an encoder with a trained head."""

from __future__ import annotations

from typing import Any

from playground.tasks.heads.head import Spec
from playground.tasks.heads.measures import Result
from playground.tasks.training.curve import Curve

_TITLES = {
    "classify": ("text-classification", "A text classifier", "AutoModelForSequenceClassification"),
    "regress": ("text-classification", "A number for a text", "AutoModelForSequenceClassification"),
    "tag": ("token-classification", "A tagger", "AutoModelForTokenClassification"),
    "answer": ("question-answering", "Answers from a context", "AutoModelForQuestionAnswering"),
}


def model_card(report: dict[str, Any], curve: Curve, result: Result, spec: Spec) -> str:
    """Return the card: what it is, its data, how it was trained, what it scores, how it is used."""
    pipeline, title, auto = _TITLES[spec.kind]
    if spec.kind == "regress" and spec.sides == 2:
        title = "A number for a pair of texts"
    recipe, train, dev = report["recipe"], report["train"], report["dev"]
    rows = [
        f"| {m.name} | {m.show(m.value)} | {m.range} | {m.show(m.baseline)} |"
        for m in result.measures
    ]
    share = (
        ""
        if not spec.unanswerable
        else f"""
It gives no answer where the best span is not more than {spec.threshold:.2f} above none; that threshold was
chosen on the dev rows."""
    )
    return f"""---
pipeline_tag: {pipeline}
base_model: {report["model"]}
---
# {title}

{report["model"]} fine-tuned with `playground finetune {spec.kind}` on {train["rows"]:,} rows of
{", ".join(train["sources"])}.

## Training
{report["steps"]:,} steps of {recipe["batch_size"]} ({recipe["epochs"]:g} epochs), peak learning rate
{recipe["learning_rate"]:g}, {report["precision"]}, up to {recipe["max_tokens"]} tokens, seed {recipe["seed"]};
the best checkpoint on the dev rows is kept (step {curve.best_step:,}). {report["seconds"] / 60:.0f} minutes. Curve:
`curve.svg`, `curve.json`.

## Results
On {dev["rows"]:,} {result.unit} of {", ".join(dev["sources"])}; the checkpoint was chosen on the same rows.
Baseline: {result.baseline}.{share}

| | value | 95 % | baseline |
|---|---|---|---|
{chr(10).join(rows)}

## Use
`playground finetune predict --model DIR table.csv -o out.csv`, or transformers' `{auto}`.
"""
