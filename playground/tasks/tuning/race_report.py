"""A race as tables and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from playground.tasks.tuning.race import Cell, Race, Run

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def to_csv(race: Race) -> str:
    """Return a line a run, as CSV."""
    out = io.StringIO()
    names = [field.name for field in fields(Run)]
    writer = csv.DictWriter(out, ["data", *names], lineterminator="\n")
    writer.writeheader()
    for run in race.runs:
        writer.writerow({"data": race.data, **asdict(run)})
    return out.getvalue()


def to_text(race: Race) -> str:
    """Return a table for the terminal: a line for each method and number of shots."""
    lines = [
        f"{race.rows:,} rows held out; majority label {race.majority:.1%}, at random "
        f"{race.random:.1%}",
        "",
        "method                 shots  accuracy           from       to  above zero-shot  "
        "macro-F1  s a run",
    ]
    for one in race.untuned:
        lines.append(
            f"{one.name:22} {0:5}  {one.accuracy:8.1%}  95 %  {one.low:7.1%}  {one.high:7.1%}"
            f"{'':17}  {one.macro_f1:8.1%}"
        )
    for cell in race.cells:
        around = "" if cell.deviation is None else f"± {cell.deviation:.1%}"
        lines.append(
            f"{cell.method:22} {cell.shots:5}  {cell.mean:8.1%} {around:>7} {cell.least:7.1%}  "
            f"{cell.most:7.1%}  {f'{cell.above} of {cell.seeds}':>15}  {cell.macro_f1:8.1%}  "
            f"{cell.seconds:7.1f}"
        )
    return "\n".join(lines)


def to_markdown(race: Race) -> str:
    """Return a table for a document: a row a method, a column a number of shots, mean ± deviation."""
    heads = ["", "0", *(f"{n:,}" for n in race.shots)]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for one in race.untuned:
        lines.append(_row([one.name, f"{100 * one.accuracy:.1f}", *([""] * len(race.shots))]))
    for method in race.methods:
        cells = [race.cell(method, n) for n in race.shots]
        lines.append(_row([method, "", *(show(cell) for cell in cells)]))
    seeds = sorted({cell.seeds for cell in race.cells})
    shown = " or ".join(f"{n:,}" for n in seeds) or "no"
    return "\n".join(lines) + (
        f"\n\nColumns: rows of each label to tune on. Accuracy on {race.rows:,} other rows, in percent: mean "
        f"± deviation over {shown} seeds, and how many of them beat the better zero-shot line. The "
        f"majority label gets {100 * race.majority:.1f}."
    )


def draw(race: Race, path: Path) -> None:
    """Draw a panel a method as an SVG picture: mean, band from worst to best seed, zero-shot."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    wide = min(3, len(race.methods)) or 1
    high = -(-len(race.methods) // wide) or 1
    figure = Figure(figsize=(3 * wide, 2.6 * high), layout="constrained")
    panels = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False).flat
    places = range(len(race.shots))
    for number, axes in enumerate(panels):
        axes.set_visible(number < len(race.methods))
        if number >= len(race.methods):
            continue
        method, colour = race.methods[number], _COLOURS[number % len(_COLOURS)]
        axes.axhline(100 * race.start, color="#8a8f98", linestyle="--", linewidth=1)
        cells = [race.cell(method, n) for n in race.shots]
        known = [(x, cell) for x, cell in zip(places, cells, strict=True) if cell]
        axes.fill_between(
            [x for x, _ in known],
            [100 * cell.least for _, cell in known],
            [100 * cell.most for _, cell in known],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        axes.plot([x for x, _ in known], [100 * c.mean for _, c in known], "o-", color=colour)
        for x, n in enumerate(race.shots):
            own, cell = race.of(method, n), cells[x]
            if cell:
                ends = (100 * cell.least, 100 * cell.most)
                axes.vlines(x, *ends, color=colour, alpha=0.5, linewidth=2)
            axes.plot([x] * len(own), [100 * run.accuracy for run in own], "_", color=colour)
        axes.set_title(method, fontsize=10)
        axes.set_xticks(list(places), [f"{n:,}" for n in race.shots])
        axes.set_xlim(-0.5, len(race.shots) - 0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#8a8f98", alpha=0.25)
    figure.supxlabel(f"{race.data}: rows of each label; dashed: zero-shot", fontsize=9)
    figure.supylabel(f"accuracy on {race.rows:,} other rows, %", fontsize=9)
    FigureCanvasSVG(figure).print_svg(path)


def show(cell: Cell | None) -> str:
    """Return a cell of the table: mean, deviation, and how many seeds beat zero-shot."""
    if cell is None:
        return ""
    around = "" if cell.deviation is None else f" ± {100 * cell.deviation:.1f}"
    return f"{100 * cell.mean:.1f}{around} ({cell.above}/{cell.seeds})"


def _row(cells: Sequence[str]) -> str:
    shown = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"
