"""The model card of a trained classifier of pairs."""

from __future__ import annotations

from typing import Any

from playground.tasks.nli.pairs import LABELS
from playground.tasks.training.curve import Curve


def model_card(report: dict[str, Any], curve: Curve) -> str:
    """Return the card of a trained classifier: what it is, its data, how it was trained, what it scores."""
    result, recipe = report["result"], report["recipe"]
    low, high = result["interval"]
    data = ", ".join(report["train"]["sources"])
    counts = ", ".join(f"{report['train'][name]:,} {name}" for name in LABELS)
    rows = [
        f"| {name} | {' | '.join(f'{n:,}' for n in line)} | {result['recall'][name]:.1%} |"
        for name, line in zip(LABELS, result["confusion"], strict=True)
    ]
    precision = " | ".join(f"{result['precision'][name]:.1%}" for name in LABELS)
    return f"""---
pipeline_tag: text-classification
base_model: {report["model"]}
---
# A natural language inference classifier

{report["model"]} fine-tuned with `playground nli train` on {report["train"]["pairs"]:,} premise and
hypothesis pairs ({counts}) from {data}.

## Training
{report["steps"]:,} steps of {recipe["batch_size"]} pairs ({recipe["epochs"]:g} epochs), peak learning rate
{recipe["learning_rate"]:g}, {report["precision"]}, pairs over {recipe["max_tokens"]} tokens cut
({recipe["cut"]}), seed {recipe["seed"]}; the best checkpoint on the dev set is kept (step
{curve.best_step:,}). {report["seconds"] / 60:.0f} minutes. Curve: `curve.svg`, `curve.json`.

## Results
On {report["dev"]["pairs"]:,} pairs of {", ".join(report["dev"]["sources"])}: accuracy
**{result["accuracy"]:.1%}** (95 %: {low:.1%} to {high:.1%}; majority label {result["majority"]:.1%}).
The checkpoint and the temperature were chosen on the same pairs.

| gold / predicted | {" | ".join(LABELS)} | recall |
|---|---|---|---|---|
{chr(10).join(rows)}
| precision | {precision} | |

Temperature {result["temperature"]:.2f}: expected calibration error {result["raw_calibration_error"]:.1%}
before, {result["calibration_error"]:.1%} after{_crossed(report["crossed_calibration_error"])}.
"""


def _crossed(error: float | None) -> str:
    if error is None:
        return ""
    return f"\n({error:.1%} when fitted on one half and measured on the other)"
