"""Entities as they leave: JSON, CSV, spaCy's training data, and the program that finds them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from playground.prompts import Prompt
from playground.prompts.prompt import model_line
from playground.tasks.entities.decoding import Entity
from playground.tasks.entities.typing import TypedSpans
from playground.tasks.writing import formula_safe


def entities_json(entities: Sequence[Entity]) -> list[dict[str, Any]]:
    """Return entities as objects; offsets are code points, margins nats over none."""
    return [
        {
            "start": entity.start,
            "end": entity.end,
            "label": entity.label,
            "text": entity.text,
            "margin": float(f"{entity.margin:.6g}"),
            "probability": float(f"{entity.probability:.6g}"),
        }
        for entity in entities
    ]


def spacy_example(text: str, entities: Sequence[Entity], *, nested: bool = False) -> dict[str, Any]:
    """Return one line of spaCy training data: text and entities, or the span group "sc" if nested.

    ``Example.from_dict(nlp.make_doc(line["text"]), {"entities": line["entities"]})`` reads it.
    """
    offsets = [[entity.start, entity.end, entity.label.upper()] for entity in entities]
    return (
        {"text": text, "spans": {"sc": offsets}} if nested else {"text": text, "entities": offsets}
    )


def spans_csv(typed: TypedSpans, entities: Sequence[Entity]) -> str:
    """Return every candidate span with its offsets, best type, margin, whether it is an entity, and P(type)."""
    chosen = {entity.span for entity in entities}
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(
        ["start", "end", "span", "type", "margin", "entity"]
        + [formula_safe(f"p_{label}") for label in typed.labels]
    )
    for place, span in enumerate(typed.spans):
        label, margin = typed.best(place)
        shares = [f"{share:.6g}" for share in np.exp(typed.log_probs[place])]
        row = [span.start, span.end, formula_safe(typed.words(place)), formula_safe(label)]
        writer.writerow([*row, f"{margin:.6g}", "yes" if span in chosen else "no", *shares])
    return stream.getvalue()


def to_python(
    prompt: Prompt,
    text: str,
    *,
    model: str | None,
    prior: str,
    candidates: str,
    most_words: int,
    threshold: float,
    decoding: str,
    nested: bool,
    tuned: str | None = None,
) -> str:
    """Return a program that finds the same entities, ready to paste and run.

    tuned: the folder or file of the delta that the model is opened with.
    """
    words = ",\n".join(
        f"    {label!r}: {[w.text if w.weight == 1 else (w.text, w.weight) for w in entries]!r}"
        for label, entries in prompt.verbalizer.labels.items()
    )
    others = "".join(f"Template({t.source!r}), " for t in prompt.alternatives)
    options = f"candidates={candidates!r}" + (
        f", most_words={most_words}" if candidates == "all" else ""
    )
    return "\n".join(
        [
            "from playground import Prompt, Prompting, Template, Verbalizer",
            "from playground.tasks.entities import EntityTyper, decode",
            "",
            model_line(model, tuned),
            f"types = Verbalizer({{\n{words},\n}})",
            f"prompt = Prompt(Template({prompt.template.source!r}), types, alternatives=({others}))",
            f"typer = EntityTyper(prompting, prompt, prior={prior!r})",
            f"typed = typer.type_text({text!r}, {options})",
            f"for entity in decode(typed, threshold={threshold:g}, decoding={decoding!r}, nested={nested}):",
            "    print(entity.text, entity.label, round(entity.margin, 2))",
            "",
        ]
    )
