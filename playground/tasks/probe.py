"""A prompt tested without labels: does it change its mind with the text's sentiment, and only then?

Where the sentiment words of a text are swapped for their opposites, the prediction should flip; where
they are swapped for words that say the same, it should hold. These are the minimum functionality and
invariance tests of CheckList (Ribeiro et al. 2020), read as a score. A prompt that always gives one
label flips never and holds always: its mean is 50 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playground.engine import Prompting
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import Candidate, Progress, Result
from playground.tasks.lexicon import Lexicon, Swapped
from playground.tasks.metrics import Interval, mean_interval, predicted


@dataclass(frozen=True)
class Probed:
    """What one prompt did with the swapped texts; shares are from 0 to 1, intervals are at 95 %.

    flip: texts whose prediction changes with the opposite. hold: those whose prediction stays with the
    synonym. mean: of the two. texts: how many had a word to swap and could be scored.
    """

    name: str
    prompt: Prompt
    texts: int
    flip: float
    flip_interval: Interval
    hold: float
    hold_interval: Interval
    mean: float
    mean_interval: Interval


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation between the probe's means and accuracies of ``count`` prompts.

    rho and p_value are None where it is not defined: fewer than three prompts, or no difference.
    """

    count: int
    rho: float | None
    p_value: float | None


def swaps(texts: Sequence[str], lexicon: Lexicon | None = None) -> list[Swapped]:
    """Return the texts that have a sentiment word, with their twins; the shipped lexicon if None.

    Raises PlaygroundError where no text has one.
    """
    words = lexicon or Lexicon.load()
    found = [swapped for text in texts if (swapped := words.swap(text)) is not None]
    if not found:
        raise PlaygroundError(
            f"None of the {len(texts):,} texts has a word of the lexicon {shorten(words.name)}; "
            "give texts with opinions, or a lexicon with their words."
        )
    return found


def probe(
    prompting: Prompting,
    tried: Sequence[Candidate],
    texts: Sequence[str],
    *,
    lexicon: Lexicon | None = None,
    progress: Progress | None = None,
) -> list[Probed]:
    """Return what each prompt does with swapped sentiment words, in the order of ``tried``.

    Prompts of one template share their forward passes. ``progress`` is told the rows run, of all
    templates together, and the rows in all. Raises PlaygroundError for a prompt of several texts, or
    where no text has a word to swap.
    """
    for candidate in tried:
        if len(candidate.prompt.template.fields) != 1:
            raise PlaygroundError(
                f"The probe swaps words of one text and the template "
                f"{shorten(candidate.prompt.template.source)} takes "
                f"{len(candidate.prompt.template.fields)}; choose one with {{text}} alone."
            )
    found = swaps(texts, lexicon)
    rows = [text for twin in found for text in (twin.text, twin.opposite, twin.same)]
    groups: dict[str, list[int]] = {}
    for place, candidate in enumerate(tried):
        groups.setdefault(candidate.prompt.template.source, []).append(place)
    results: dict[int, Probed] = {}
    for number, places in enumerate(groups.values(), start=1):
        together = prompting.classify_together(rows, [tried[k].prompt for k in places])
        for place, scores in zip(places, together, strict=True):
            results[place] = _probed(tried[place], scores.probabilities)
        if progress is not None:
            progress(number * len(rows), len(groups) * len(rows))
    return [results[place] for place in range(len(tried))]


def agreement(probed: Sequence[Probed], results: Sequence[Result]) -> Agreement:
    """Return how alike the probe and the accuracy rank the same prompts, given in the same order."""
    from scipy.stats import spearmanr

    means = [one.mean for one in probed]
    accuracies = [result.metrics.accuracy for result in results]
    if len(means) != len(accuracies):
        raise PlaygroundError(
            f"There are {len(means)} probes and {len(accuracies)} accuracies; give one of each a prompt."
        )
    if len(means) < 3 or len(set(means)) < 2 or len(set(accuracies)) < 2:
        return Agreement(len(means), None, None)
    test = spearmanr(means, accuracies)
    return Agreement(len(means), float(test.statistic), float(test.pvalue))


def _probed(candidate: Candidate, probabilities: np.ndarray) -> Probed:
    """Return the shares of one prompt from the probabilities of text, opposite and same, (3 N, C)."""
    given = predicted(probabilities).reshape(-1, 3)  # (N, 3), -1 where a row failed
    scored = given[(given >= 0).all(1)]
    if not len(scored):
        raise PlaygroundError(
            f"No text could be scored with {shorten(candidate.name, 80)}; shorten the texts."
        )
    flips = (scored[:, 0] != scored[:, 1]).astype(float)
    holds = (scored[:, 0] == scored[:, 2]).astype(float)
    means = (flips + holds) / 2
    return Probed(
        candidate.name,
        candidate.prompt,
        len(scored),
        float(flips.mean()),
        mean_interval(flips),
        float(holds.mean()),
        mean_interval(holds),
        float(means.mean()),
        mean_interval(means),
    )
