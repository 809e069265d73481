"""The NLI tab's results as HTML, CSV and a program."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Sequence

from playground import resources
from playground.app.bars import SEQUENCE, rendered_prompt, score_bars
from playground.app.markup import action, esc, percent
from playground.engine import Explanation, Scores
from playground.tasks.writing import formula_safe

KINDS = {
    "plain": "plain",
    "negation": "negation",
    "overlap": "shared words",
    "numbers": "numbers",
    "quantifier": "all, some, none",
    "order": "who did what",
}
EXAMPLES = (
    ("A woman in a red coat is riding a horse.", "A woman is riding an animal.", "entailment"),
    ("A man is playing a guitar on stage.", "The man is famous.", "neutral"),
    ("Two children are sleeping in a tent.", "The children are playing football.", "contradiction"),
)
TRAPS = (
    ("Nobody is sitting on the bench.", "The bench is empty.", "negation"),
    ("The dog that chased the cat is brown.", "The cat is brown.", "shared words"),
    ("Three men are carrying two boxes.", "Two men are carrying three boxes.", "numbers"),
    ("The boy kicked the girl.", "The girl kicked the boy.", "who did what"),
    ("Some of the dogs are asleep.", "All of the dogs are asleep.", "all or some"),
)


def verdict(scores: Scores) -> str:
    """Return the classifier's bars for one pair."""
    shares = scores.probabilities[0].tolist()
    ranked = sorted(zip(scores.labels, shares, strict=True), key=lambda pair: -pair[1])
    said = ", ".join(f"{label} {percent(share)}" for label, share in ranked)
    cut = (
        f' · <b class="pp-warn">{scores.dropped[0]} tokens of the pair were cut off</b>'
        if scores.dropped[0]
        else ""
    )
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(said)}">'
        f"<h2>The trained classifier says</h2>{score_bars(scores.labels, shares)}"
        f'<p class="pp-legend">{scores.tokens[0]} tokens read{cut}</p></div>'
    )


def cloze(found: Explanation, model: str) -> str:
    """Return what the cloze prompt says of the same pair, with its prompt."""
    words = " · ".join(
        f"<b>{esc(label)}</b>: {esc(', '.join(w.text for w in found.words if w.label == label))}"
        for label in found.labels
    )
    return (
        f'<div class="pp-result"><h2>The cloze prompt says, with no training</h2>'
        f"{score_bars(found.labels, found.probabilities.tolist(), found.prior.tolist())}"
        f'<p class="pp-legend">{words}</p><h2>What {esc(model)} reads</h2>'
        f"{rendered_prompt(found.segments)}</div>"
    )


def example_buttons() -> str:
    """Return the pairs to try: one of each label, traps, and a draw from our sample set."""

    def pairs(rows: Sequence[tuple[str, str, str]]) -> str:
        return "".join(
            action(
                "pair",
                json.dumps([premise, hypothesis]),
                f'<span class="pp-small">{esc(kind)}</span> {esc(premise)} · {esc(hypothesis)}',
                title="Take this pair",
                classes="pp-example",
            )
            for premise, hypothesis, kind in rows
        )

    kinds = dict.fromkeys(row["kind"] for row in resources.load_examples("nli"))
    draws = "".join(
        action(
            "draw",
            kind,
            esc(KINDS.get(kind, kind)),
            title="Draw a pair at random",
            classes="pp-example",
        )
        for kind in kinds
    )
    return (
        f'<p class="pp-caption">One of each</p><div class="pp-examples">{pairs(EXAMPLES)}</div>'
        '<p class="pp-caption">Traps: pairs that share words and not their meaning</p>'
        f'<div class="pp-examples">{pairs(TRAPS)}</div>'
        '<p class="pp-caption">Draw a pair from our sample set</p>'
        f'<div class="pp-examples">{draws}</div>'
    )


def pair_csv(scores: Scores, premise: str, hypothesis: str) -> str:
    """Return one pair and its probabilities as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["premise", "hypothesis", "prediction", *(f"p_{n}" for n in scores.labels)])
    writer.writerow(
        [formula_safe(premise), formula_safe(hypothesis), scores.predictions[0]]
        + [f"{share:.6g}" for share in scores.probabilities[0]]
    )
    return stream.getvalue()


def program(premise: str, hypothesis: str, model: str) -> str:
    """Return the Python that gives the same scores; ``model`` is empty for the shipped classifier."""
    chosen = f" --model {shlex.quote(' '.join(model.split()))}" if model else ""
    return (
        "from playground import NliClassifier\n\n"
        f"nli = NliClassifier({repr(model) if model else ''})\n"
        f"scores = nli.classify([({premise!r}, {hypothesis!r})])\n"
        "print(scores.to_frame())\n\n"
        f"# on a file: playground nli predict pairs.csv -o answers.csv{chosen}\n"
    )
