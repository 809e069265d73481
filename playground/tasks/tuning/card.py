"""The card of a tuned prompt, for people."""

from __future__ import annotations

from playground.engine.tuning.delta import Delta
from playground.engine.tuning.recipe import METHODS
from playground.prompts import AnyPrompt, RulePrompt


def delta_card(delta: Delta) -> str:
    """Return what a delta is, how it was tuned, what it gave on its dev rows, and how it is opened."""
    report = delta.report
    recipe = report.get("recipe", {})
    labels = "\n".join(_lines(delta.prompt))
    template = delta.prompt.template.source.replace("`", "'")
    start, end = report.get("start_dev_accuracy"), report.get("dev_accuracy")
    dev = (
        f"On its {report.get('dev_rows')} dev rows accuracy went from {start:.1%} at step 0 to {end:.1%}; the "
        "step was chosen on them, so measure on other rows."
        if start is not None and end is not None
        else "There was no dev set; the last step was kept."
    )
    rate = recipe.get("learning_rate", METHODS[delta.method].learning_rate)
    return f"""---
base_model: {delta.base}
---
# A tuned prompt

A change of {delta.nbytes:,} bytes to {delta.base} (revision {delta.revision}), which it is opened with.

## Prompt
`{template}`

{labels}

## Tuning
Method `{delta.method}`: {METHODS[delta.method].summary}. {report.get("rows", "?")} labelled rows,
{report.get("steps", "?")} steps of {recipe.get("batch_size", "?")}, peak learning rate {rate:g}, seed
{recipe.get("seed", "?")}; step {report.get("best_step", "?")} was kept. {dev}

## Use
`playground score rows.csv --tuned FOLDER`, or `Prompting("{delta.base}").tuned("FOLDER")`. The file
delta.safetensors alone will do for FOLDER.
"""


def _lines(prompt: AnyPrompt) -> list[str]:
    """Return a line for each label with its words; of a rule prompt also for each class with its rule."""
    if isinstance(prompt, RulePrompt):
        masks = [
            f"- {one.name} {line.removeprefix('- ')}"
            for one, mask in zip(prompt.prompts, prompt.masks, strict=True)
            for line in _lines(mask)
        ]
        return [*(f"- {label}: {prompt.conjunction(label)}" for label in prompt.labels), "", *masks]
    return [
        f"- {label}: {', '.join(word.text for word in words)}"
        for label, words in prompt.verbalizer.labels.items()
    ]
