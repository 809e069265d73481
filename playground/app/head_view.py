"""What Classify shows of a tuned model with a head of its own, which reads no label words."""

from __future__ import annotations

from playground.app.bars import SEQUENCE, rendered_prompt, score_bars
from playground.app.markup import esc, percent
from playground.engine import Scores
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.network import bare_template
from playground.prompts import Prompt


def head_result(scores: Scores) -> str:
    """Return the score bars of one text."""
    shares = scores.probabilities[0].tolist()
    ranked = sorted(zip(scores.labels, shares, strict=True), key=lambda pair: -pair[1])
    told = ", ".join(f"{label} {percent(share)}" for label, share in ranked[:5])
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(told)}"><h2>Scores</h2>'
        f'{score_bars(scores.labels, shares)}<p class="pp-legend"><span class="pp-key pp-key-fill"></span>'
        "score of the head that was tuned</p></div>"
    )


def head_details(
    scores: Scores, delta: Delta, prompt: Prompt, row: dict[str, str], most: int
) -> str:
    """Return what stands under the bars: why there are no label words, and what the model reads.

    most: the tokens that the model reads.
    """
    bare = delta.method == "cls"
    template = bare_template(prompt.template) if bare else prompt.template
    place = "at [CLS], its first token" if bare else "at the mask"
    dropped = int(scores.dropped[0])
    cut = f' · <b class="pp-warn">{dropped} tokens of the text were cut off</b>' if dropped else ""
    return (
        '<div class="pp-result"><h2>Label words at the mask</h2><p class="pp-legend">None: this model was '
        f"tuned with the method {esc(delta.method)}, which has a head of its own {place}. Label words, "
        "aggregation and calibration play no part in its scores.</p><h2>The text that the model reads</h2>"
        f'{rendered_prompt(template.render(row))}<p class="pp-legend">{int(scores.tokens[0])} of {most} '
        f"tokens{cut}</p></div>"
    )
