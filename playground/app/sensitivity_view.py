"""The sensitivity grid: templates down, label words and calibration across, accuracy in each cell."""

from __future__ import annotations

import csv
import io

from playground.app.eval_view import short
from playground.app.markup import action, esc, percent
from playground.tasks.sensitivity import CHOICES, Sensitivity
from playground.tasks.writing import formula_safe


def grid(found: Sensitivity, *, stopped: bool = False) -> str:
    """Return how far it is, how much is at stake, and every variant in its cell."""
    share = found.rows / max(1, found.total)
    finished = found.rows >= found.total
    state = "Done:" if finished else ("Stopped after" if stopped else "Running:")
    return (
        '<div class="pp-result pp-run">'
        f'<progress max="100" value="{share * 100:.0f}" aria-label="rows done"></progress>'
        f'<p class="pp-legend" role="status">{state} {found.rows:,} of {found.total:,} rows, '
        f"{len(found.variants)} prompts.</p>"
        f'<p class="pp-verdict">{esc(summary(found))}</p>{_table(found)}{_legend()}</div>'
    )


def summary(found: Sensitivity) -> str:
    """Return in two sentences how much the choices of a prompt are worth on these rows."""
    lowest, highest = float(found.accuracies.min()), float(found.accuracies.max())
    worse = sum(found.real)
    many = len(found.variants) - 1
    moved = []
    for choice in CHOICES:
        means = list(found.means(choice).values())
        moved.append(f"{choice} {(means[0] - means[-1]) * 100:.1f}")
    return (
        f"The same task gets from {percent(lowest)} to {percent(highest)}, as one writes the prompt: "
        f"{found.spread * 100:.1f} points. Of the other {many:,} prompts, {worse:,} are really worse "
        f"than the best; the rest could be chance. Between the means of the best and the worst choice "
        f"lie, in points: {', '.join(moved)}."
    )


def _table(found: Sensitivity) -> str:
    templates = list(dict.fromkeys(v.template for v in found.variants))
    words = list(dict.fromkeys(v.words for v in found.variants))
    calibrations = list(dict.fromkeys(v.calibration for v in found.variants))
    place = {(v.template, v.words, v.calibration): k for k, v in enumerate(found.variants)}
    head = "".join(
        f'<th colspan="{len(calibrations)}" scope="colgroup">{esc(short(name, 40))}</th>'
        for name in words
    )
    second = "".join(
        f'<th scope="col">{esc(calibration)}</th>' for _ in words for calibration in calibrations
    )
    rows = []
    for template in templates:
        cells = [
            _cell(found, place[template, name, calibration])
            for name in words
            for calibration in calibrations
        ]
        rows.append(f'<tr><th scope="row">{esc(template)}</th>{"".join(cells)}</tr>')
    return (
        '<div class="pp-scroll" tabindex="0" role="region" aria-label="accuracy of each prompt">'
        '<table class="pp-table pp-grid"><thead>'
        f'<tr><th rowspan="2" scope="col">Template</th>{head}</tr><tr>{second}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(found: Sensitivity, k: int) -> str:
    metrics = found.results[k].metrics
    low, high = metrics.accuracy_interval
    lowest = float(found.accuracies.min())
    shade = (metrics.accuracy - lowest) / found.spread if found.spread else 1.0
    if k == found.best:
        kind, sign, said = " pp-best", "★", "the best"
    elif found.real[k]:
        kind, sign, said = " pp-less", "▼", f"really worse than the best, p {found.p_values[k]:.3f}"
    else:
        kind, sign, said = "", "≈", f"could be chance, p {found.p_values[k]:.3f}"
    button = action(
        "variant",
        k,
        f"<b>{sign} {percent(metrics.accuracy)}</b>"
        f'<span class="pp-small">{low * 100:.0f} to {high * 100:.0f}</span>',
        title=f"{found.variants[k].name}: {said}. Open it in Classify",
        classes="pp-cell",
    )
    return f'<td class="pp-right{kind}" style="--pp-share:{shade:.2f}">{button}</td>'


def _legend() -> str:
    return (
        '<p class="pp-legend">★ the best · ▼ really worse (McNemar, Holm’s correction, p &lt; 0.05) · '
        "≈ the difference could be chance. The second line is the 95 % interval; the stronger the colour, the better. A "
        "cell opens that prompt in Classify.</p>"
    )


def grid_csv(found: Sensitivity) -> str:
    """Return a row a variant: its choices, accuracy with interval, macro-F1, and the test."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(
        ["template", "words", "calibration", "rows", "accuracy", "low", "high", "macro_f1",
         "p_value", "really_worse"]
    )  # fmt: skip
    for variant, result, p_value, real in zip(
        found.variants, found.results, found.p_values, found.real, strict=True
    ):
        metrics = result.metrics
        shares = (metrics.accuracy, *metrics.accuracy_interval, metrics.macro_f1, p_value)
        writer.writerow(
            [formula_safe(variant.template), formula_safe(variant.words), variant.calibration,
             found.rows, *(f"{share:.6g}" for share in shares), int(real)]
        )  # fmt: skip
    return stream.getvalue()
