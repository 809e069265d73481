"""Tables and commands that leave the Classify tab."""

from __future__ import annotations

import csv
import io
import math

from playground.engine import Explanation
from playground.prompts import Prompt
from playground.tasks.writing import formula_safe


def scores_csv(found: Explanation, row: dict[str, str], prompt: Prompt) -> str:
    """Return a table of labels and label words with their numbers, and the text they belong to."""
    stream = io.StringIO()
    writer = csv.writer(stream)  # rows end in CR LF, so that a CR or LF within a text is quoted
    writer.writerow(
        ["kind", "label", "word", "probability", "uncalibrated", "prior", "weight", "pieces", "rank",
         "template", *prompt.template.fields]
    )  # fmt: skip
    context = [formula_safe(prompt.template.source), *(formula_safe(v) for v in row.values())]
    for i, label in enumerate(found.labels):
        numbers = (found.probabilities[i], found.uncalibrated[i], found.prior[i])
        writer.writerow(
            ["label", formula_safe(label), "", *(f"{n:.6g}" for n in numbers), "", "", "", *context]
        )
    for word in found.words:
        writer.writerow(
            ["word", formula_safe(word.label), formula_safe(word.text), f"{math.exp(word.log_prob):.6g}",
             "", "", f"{word.weight:g}", len(word.pieces), word.rank or "", *context]
        )  # fmt: skip
    return stream.getvalue()


def command_line(prompt: Prompt, tuned: str | None = None) -> str:
    """Return the command that scores a file with this prompt, once its card is saved.

    tuned: the file of a delta, which holds its prompt itself.
    """
    fields = prompt.template.fields or ("text",)
    columns = (
        f"--text-column {fields[0]}"
        if len(fields) == 1
        else "--columns " + " ".join(f"{name}={name}" for name in fields)
    )
    what = f"--tuned {tuned}" if tuned else "--prompt prompt.json"
    return f"playground score rows.csv {what} {columns} -o scored.csv"
