"""How much of a prompt's accuracy is luck: every template x verbalizer x calibration on the same rows.

Prompts that mean the same to a person can differ by tens of points (Perez, Kiela and Cho 2021, "True
Few-Shot Learning with Language Models"; Sclar et al. 2024), so one figure of one prompt says little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from playground import resources
from playground.engine import Prompting
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, Verbalizer
from playground.tasks.evaluation import CALIBRATED, LabelledRows, Progress, Result, scored_together
from playground.tasks.metrics import holm, mcnemar, measure

OWN = "all words"
CHOICES = ("template", "words", "calibration")
_ALPHA = 0.05


@dataclass(frozen=True)
class Variant:
    """One way to write a prompt; ``words`` is the verbalizer's short name, such as "all words"."""

    template: str
    words: str
    calibration: str
    prompt: Prompt

    @property
    def name(self) -> str:
        """The three choices in one line."""
        return f"{self.template} · {self.words} · {self.calibration}"


@dataclass(frozen=True)
class Sensitivity:
    """What M variants gave on the same rows: ``results`` in the order of ``variants``.

    rows: how many have been scored, of ``total``. best: the place of the highest accuracy. spread: the
    highest accuracy minus the lowest, from 0 to 1. p_values (M,): McNemar's exact test against the
    best, with Holm's correction over the M - 1 comparisons; 1 for the best itself. The best was chosen
    on these rows, which flatters it a little: a difference that is just real deserves new rows.
    """

    variants: tuple[Variant, ...]
    results: list[Result]
    best: int
    spread: float
    p_values: tuple[float, ...]
    rows: int
    total: int

    @property
    def real(self) -> tuple[bool, ...]:
        """Whether each variant differs from the best by more than chance (corrected p < 0.05), (M,)."""
        return tuple(p < _ALPHA for p in self.p_values)

    @property
    def accuracies(self) -> np.ndarray:
        """The accuracy of each variant, (M,)."""
        return np.array([result.metrics.accuracy for result in self.results])

    def means(self, choice: str) -> dict[str, float]:
        """Return the mean accuracy over all variants with each value of one of CHOICES, best first."""
        if choice not in CHOICES:
            raise PlaygroundError(
                f"There is no choice {shorten(choice)}; it is one of {', '.join(CHOICES)}."
            )
        groups: dict[str, list[float]] = {}
        for variant, accuracy in zip(self.variants, self.accuracies.tolist(), strict=True):
            groups.setdefault(getattr(variant, choice), []).append(accuracy)
        means = {name: float(np.mean(found)) for name, found in groups.items()}
        return dict(sorted(means.items(), key=lambda entry: -entry[1]))


def variants(
    prompt: Prompt,
    *,
    verbalizers: Mapping[str, Verbalizer] | None = None,
    calibrations: Sequence[str] = CALIBRATED,
) -> list[Variant]:
    """Return every template of the card x every verbalizer x every calibration.

    The verbalizers are the card's own words; the k-th word of each label alone, for every k that all
    labels have; other shipped cards with the same labels; and ``verbalizers`` by name. Equal ones are
    taken once. Raises PlaygroundError for one with other labels, or without any calibration.
    """
    if not calibrations:
        raise PlaygroundError("There is no calibration; give at least one, such as none.")
    found: list[Variant] = []
    for template in prompt.templates:
        for name, words in _verbalizers(prompt, verbalizers or {}).items():
            for calibration in dict.fromkeys(calibrations):
                scoring = replace(prompt.scoring, calibration=calibration)
                made = replace(prompt.with_template(template), verbalizer=words, scoring=scoring)
                found.append(Variant(template.source, name, calibration, made))
    return found


def _verbalizers(prompt: Prompt, more: Mapping[str, Verbalizer]) -> dict[str, Verbalizer]:
    own = prompt.verbalizer
    tried: dict[str, Verbalizer] = {OWN: own}
    for k in range(min(len(words) for words in own.labels.values())):
        single = {label: [words[k].text] for label, words in own.labels.items()}
        shown = " / ".join(words[0] for words in single.values())
        tried[f"word {k + 1}: {shown}"] = Verbalizer(single)
    for card in resources.card_names():
        other = Prompt.load(card).verbalizer
        if set(other.names) == set(own.names):
            tried[f"card {card}"] = other
    for name, other in more.items():
        if set(other.names) != set(own.names):
            raise PlaygroundError(
                f"The verbalizer {shorten(name)} has the labels {', '.join(other.names)} and the "
                f"prompt has {', '.join(own.names)}; they must be the same."
            )
        tried[name] = other
    kept: dict[str, Verbalizer] = {}
    for name, words in tried.items():
        ordered = Verbalizer({label: words.labels[label] for label in own.names})
        if ordered not in kept.values():
            kept[name] = ordered
    return kept


def sensitivity_parts(
    prompting: Prompting,
    variants: Sequence[Variant],
    labelled: LabelledRows,
    *,
    rows_at_once: int = 64,
) -> Iterator[Sensitivity]:
    """Yield what all variants gave on the rows so far, part by part; the last one is on all rows.

    A row runs once through each template, whatever the number of verbalizers and calibrations. A
    caller may stop at any part: what it has is a fair comparison on the same rows. Raises
    PlaygroundError for fewer than two variants, or labels that are not those of the rows.
    """
    _check(variants, labelled)
    prompts = [variant.prompt for variant in variants]
    for found in scored_together(prompting, prompts, labelled.rows, rows_at_once=rows_at_once):
        yield _summary(variants, found, labelled)


def sensitivity(
    prompting: Prompting,
    variants: Sequence[Variant],
    labelled: LabelledRows,
    *,
    progress: Progress | None = None,
) -> Sensitivity:
    """Return what all variants gave on all rows; ``progress`` is told the rows done and in all."""
    _check(variants, labelled)
    prompts = [variant.prompt for variant in variants]
    found = np.empty((len(variants), 0, len(labelled.labels)))
    for found in scored_together(prompting, prompts, labelled.rows):
        if progress is not None:
            progress(found.shape[1], len(labelled))
    return _summary(variants, found, labelled)


def _check(tried: Sequence[Variant], labelled: LabelledRows) -> None:
    if not len(labelled):
        raise PlaygroundError("There are no labelled rows; give at least one.")
    if len(tried) < 2:
        raise PlaygroundError(
            "There is one way to write this prompt and no other to compare it with; give the card "
            "another template, or a second word for each label."
        )
    for variant in tried:
        if variant.prompt.verbalizer.names != labelled.labels:
            raise PlaygroundError(
                f"The prompt {shorten(variant.name, 80)} has the labels "
                f"{', '.join(variant.prompt.verbalizer.names)} and the rows have "
                f"{', '.join(labelled.labels)}; compare prompts with the same labels."
            )


def _summary(tried: Sequence[Variant], found: np.ndarray, labelled: LabelledRows) -> Sensitivity:
    gold = labelled.gold[: found.shape[1]]
    results = [
        Result(variant.name, own.copy(), measure(own, gold))
        for variant, own in zip(tried, found, strict=True)
    ]
    accuracies = np.array([result.metrics.accuracy for result in results])
    best = int(accuracies.argmax())
    others = [k for k in range(len(results)) if k != best]
    p_values = np.ones(len(results))
    p_values[others] = holm([mcnemar(results[best].found, results[k].found, gold) for k in others])
    return Sensitivity(
        tuple(tried),
        results,
        best,
        float(accuracies.max() - accuracies.min()),
        tuple(p_values.tolist()),
        len(gold),
        len(labelled),
    )
