"""The same pair as a cloze prompt: what a masked LM says of it without any training."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from playground.engine import Explanation, Prompting
from playground.prompts import Prompt
from playground.prompts.template import Row


@cache  # asked at every key
def cloze_prompt() -> Prompt:
    """Return the shipped NLI card, "{premise}? {mask}, {hypothesis}", with contextual calibration."""
    prompt = Prompt.load("nli")
    return replace(prompt, scoring=replace(prompt.scoring, calibration="contextual"))


def cloze_row(premise: str, hypothesis: str) -> Row:
    """Return the pair as the card's template takes it: its ? follows the premise, not a full stop."""
    return {"premise": premise.strip().rstrip(".!?"), "hypothesis": hypothesis}


def ask_cloze(prompting: Prompting, premise: str, hypothesis: str) -> Explanation:
    """Return the zero-shot view of a pair; its labels are those of the classifier."""
    return prompting.explain(cloze_row(premise, hypothesis), cloze_prompt())
