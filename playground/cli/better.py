"""What ``playground eval --sensitivity`` and ``--probe`` run and print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from playground.cli.parts import open_model, progress_bar, write_json
from playground.errors import PlaygroundError
from playground.prompts import Prompt

if TYPE_CHECKING:
    from playground.tasks.evaluation import Candidate, LabelledRows, Result
    from playground.tasks.probe import Agreement, Probed
    from playground.tasks.sensitivity import Sensitivity

_SHOWN = 12  # lines of the best and of the worst


def varied(
    options: argparse.Namespace,
    prompts: Sequence[tuple[str, Prompt]],
    labelled: LabelledRows,
) -> None:
    """Run every way to write the first card, with the words of the other cards too."""
    from playground.tasks.sensitivity import sensitivity, variants

    (_, card), *others = prompts
    tried = variants(
        card,
        verbalizers={f"card {name}": other.verbalizer for name, other in others},
        calibrations=options.calibration,
    )
    with progress_bar() as (progress, _):
        found = sensitivity(open_model(options), tried, labelled, progress=progress)
    print(sensitivity_text(found))
    if options.json:
        write_json(options.json, sensitivity_json(found))


def sensitivity_text(found: Sensitivity) -> str:
    """Return the best and the worst lines, what each choice means on average, and the spread."""
    from playground.tasks.sensitivity import CHOICES

    ranked = sorted(range(len(found.results)), key=lambda k: found.accuracies[k])
    shown = ranked if len(ranked) <= 2 * _SHOWN else [*ranked[:_SHOWN], -1, *ranked[-_SHOWN:]]
    width = max(len(found.results[k].name) for k in shown if k >= 0)
    lines = [
        f"{found.rows:,} rows, {len(found.results)} ways to write the prompt",
        "",
        f"{'':{width}}  accuracy          95 %        p (Holm)",
    ]
    for k in shown:
        if k < 0:
            lines.append(f"{'…':{width}}  ({len(ranked) - 2 * _SHOWN} between)")
            continue
        metrics = found.results[k].metrics
        low, high = metrics.accuracy_interval
        test = "best" if k == found.best else f"{found.p_values[k]:.3f}"
        lines.append(
            f"{found.results[k].name:{width}}  {metrics.accuracy:8.1%}  {low:7.1%} to {high:6.1%}"
            f"  {test:>8}"
        )
    for choice in CHOICES:
        means = found.means(choice)
        wide = max(map(len, means))
        lines += ["", f"mean accuracy by {choice}"]
        lines += [f"  {name:{wide}}  {mean:6.1%}" for name, mean in means.items()]
    real, others = sum(found.real), len(found.results) - 1
    lines += [
        "",
        f"Spread: {found.spread * 100:.1f} points between the best and the worst. {real} of the other "
        f"{others} differ from the best by more than chance.",
    ]
    return "\n".join(lines)


def sensitivity_json(found: Sensitivity) -> dict[str, Any]:
    """Return all numbers of a run as plain values."""
    return {
        "rows": found.rows,
        "spread": found.spread,
        "real": sum(found.real),
        "best": found.results[found.best].name,
        "variants": [
            {
                "template": variant.template,
                "words": variant.words,
                "calibration": variant.calibration,
                "p_holm": p_value,
                **result.metrics.to_json(),
            }
            for variant, result, p_value in zip(
                found.variants, found.results, found.p_values, strict=True
            )
        ],
    }


def probed(
    options: argparse.Namespace,
    tried: Sequence[Candidate],
    labelled: LabelledRows,
) -> None:
    """Run the probe on the texts, and beside it the accuracy that the labels give."""
    from playground.tasks.evaluation import evaluate
    from playground.tasks.lexicon import SHIPPED, Lexicon
    from playground.tasks.probe import agreement, probe

    fields = tried[0].prompt.template.fields
    if len(fields) != 1:
        raise PlaygroundError(
            f"--probe swaps words of one text and the template takes {len(fields)}; choose a card "
            "with one."
        )
    lexicon = Lexicon.load(options.lexicon or SHIPPED)
    prompting = open_model(options)
    texts = [row[fields[0]] for row in labelled.rows]
    with progress_bar() as (progress, _):
        found = probe(prompting, tried, texts, lexicon=lexicon, progress=progress)
    with progress_bar() as (progress, _):
        results = evaluate(prompting, tried, labelled, progress=progress)
    by_calibration = {
        calibration: agreement(*zip(*members, strict=True))
        for calibration in dict.fromkeys(one.prompt.scoring.calibration for one in found)
        if (
            members := [
                (one, result)
                for one, result in zip(found, results, strict=True)
                if one.prompt.scoring.calibration == calibration
            ]
        )
    }
    print(probe_text(found, results, by_calibration, len(labelled)))
    if options.json:
        write_json(options.json, probe_json(found, results, by_calibration, len(labelled)))


def probe_text(
    found: Sequence[Probed],
    results: Sequence[Result],
    agreements: dict[str, Agreement],
    rows: int,
) -> str:
    """Return a line a prompt, best last, and how well the probe ranks as the labels do."""
    width = max(len(one.name) for one in found)
    lines = [
        f"{found[0].texts:,} of {rows:,} texts have a word to swap",
        "",
        f"{'':{width}}      mean          95 %        flip      hold   accuracy",
    ]
    pairs = sorted(zip(found, results, strict=True), key=lambda pair: pair[0].mean)
    for one, result in pairs:
        low, high = one.mean_interval
        lines.append(
            f"{one.name:{width}}  {one.mean:8.1%}  {low:7.1%} to {high:6.1%}  {one.flip:8.1%}  "
            f"{one.hold:8.1%}  {result.metrics.accuracy:9.1%}"
        )
    lines.append("")
    for calibration, test in agreements.items():
        if test.rho is None:
            told = "not defined for fewer than three prompts, or prompts that do not differ"
        else:
            told = f"{test.rho:.2f} over {test.count} prompts (p = {test.p_value:.3f})"
        lines.append(f"Rank correlation of mean and accuracy, {calibration}: {told}.")
    return "\n".join(lines)


def probe_json(
    found: Sequence[Probed],
    results: Sequence[Result],
    agreements: dict[str, Agreement],
    rows: int,
) -> dict[str, Any]:
    """Return all numbers of a run as plain values."""
    return {
        "rows": rows,
        "prompts": [
            {
                "name": one.name,
                "texts": one.texts,
                "flip": one.flip,
                "flip_interval": one.flip_interval,
                "hold": one.hold,
                "hold_interval": one.hold_interval,
                "mean": one.mean,
                "mean_interval": one.mean_interval,
                "accuracy": result.metrics.accuracy,
                "accuracy_interval": result.metrics.accuracy_interval,
            }
            for one, result in zip(found, results, strict=True)
        ],
        "agreement": {
            calibration: {"rho": test.rho, "p_value": test.p_value, "prompts": test.count}
            for calibration, test in agreements.items()
        },
    }
