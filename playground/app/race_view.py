"""A race from zero to few shots as HTML: a small picture a method, with seed bands, and the table."""

from __future__ import annotations

import math

from playground.app.markup import esc, percent, points, polyline
from playground.engine.tuning.recipe import METHODS
from playground.tasks.tuning.race import Cell, Race

_WIDE, _HIGH = 250, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 30
_COLOURS = 7  # of the classes pp-k0 to pp-k6


def race_html(race: Race) -> str:
    """Return what raced, a picture of each method over its shots, and all numbers."""
    axis = _axis(race)
    panels = "".join(
        f'<figure class="pp-racer pp-k{place % _COLOURS}"><figcaption>{esc(method)}</figcaption>'
        f"{_panel(race, method, axis)}</figure>"
        for place, method in enumerate(race.methods)
    )
    return (
        f'<div class="pp-result pp-race"><p class="pp-plain">{esc(_about(race))}</p>'
        f'<div class="pp-racers">{panels}</div>'
        '<p class="pp-legend"><span class="pp-key pp-key-mean"></span>mean over seeds '
        '<span class="pp-key pp-key-band"></span>from the worst to the best seed, a dot each '
        '<span class="pp-key pp-key-zero"></span>zero-shot, the better of raw and calibrated. Across: rows of '
        f"each label to tune on; up: accuracy on {race.rows:,} other rows.</p>{_table(race)}</div>"
    )


def no_race() -> str:
    """Return what stands there where no race is stored."""
    return (
        '<p class="pp-legend">No race is stored with this copy; playground tune race makes one of your '
        "own rows.</p>"
    )


def _about(race: Race) -> str:
    draws = max((cell.seeds for cell in race.cells), default=0)
    times = "one draw" if draws == 1 else f"{draws} draws"
    return (
        f"{race.data}, {race.model}: every method tunes {race.steps:,} steps on the same rows of each label, "
        f"{times} of them, and chooses its step by as many others. The majority label gets "
        f"{percent(race.majority)}."
    )


# ---- a picture --------------------------------------------------------------------------------


def _axis(race: Race) -> tuple[float, float]:
    """Return the lowest and the highest accuracy that all pictures show, steps of 5 points."""
    values = [race.start, *(run.accuracy for run in race.runs)]
    low, high = math.floor(min(values) * 20) / 20, math.ceil(max(values) * 20) / 20
    return low, max(high, low + 0.05)


def _panel(race: Race, method: str, axis: tuple[float, float]) -> str:
    cells = [(k, cell) for k, n in enumerate(race.shots) if (cell := race.cell(method, n))]
    parts = [_frame(race, axis)]

    def at(k: int, share: float) -> tuple[float, float]:
        return _x(k, len(race.shots)), _y(share, axis)

    zero = _y(race.start, axis)
    parts.append(
        f'<line class="pp-zero" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
    )
    ends = [at(k, cell.most) for k, cell in cells] + [at(k, c.least) for k, c in reversed(cells)]
    parts.append(f'<polygon class="pp-band" points="{points(ends)}"/>')
    for k, cell in cells:
        (x, low), (_, high) = at(k, cell.least), at(k, cell.most)
        parts.append(
            f'<line class="pp-ends" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        )
        for run in race.of(method, cell.shots):
            parts.append(
                f'<circle class="pp-seed" cx="{x:.1f}" cy="{at(k, run.accuracy)[1]:.1f}" r="2"/>'
            )
    means = [at(k, cell.mean) for k, cell in cells]
    parts.append(polyline("pp-mean", means))
    parts += [f'<circle class="pp-mean-dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in means]
    return (
        f'<svg class="pp-curve" viewBox="0 0 {_WIDE} {_HIGH}" role="img" '
        f'aria-label="{esc(_said(race, method))}">{"".join(parts)}</svg>'
    )


def _frame(race: Race, axis: tuple[float, float]) -> str:
    low, high = axis
    count = round((high - low) * 20)
    step = max(1, math.ceil(count / 4))
    parts = []
    for k in range(0, count + 1, step):
        share = low + k / 20
        y = _y(share, axis)
        parts.append(
            f'<line class="pp-grid-line" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4.5:.1f}" text-anchor="end">{100 * share:.0f} %</text>'
        )
    for k, n in enumerate(race.shots):
        parts.append(
            f'<text x="{_x(k, len(race.shots)):.1f}" y="{_HIGH - _BOTTOM + 20}" '
            f'text-anchor="middle">{n:,}</text>'
        )
    return "".join(parts)


def _x(place: int, count: int) -> float:
    return _LEFT + (place + 0.5) / count * (_WIDE - _LEFT - _RIGHT)


def _y(share: float, axis: tuple[float, float]) -> float:
    low, high = axis
    return _TOP + (high - share) / (high - low) * (_HIGH - _TOP - _BOTTOM)


def _said(race: Race, method: str) -> str:
    told = [
        f"{percent(cell.mean)} with {cell.shots:,} rows a label, from {percent(cell.least)} to "
        f"{percent(cell.most)}"
        for cell in race.cells
        if cell.method == method
    ]
    return f"{method}: {'; '.join(told)}. Zero-shot: {percent(race.start)}"


# ---- the table --------------------------------------------------------------------------------


def _table(race: Race) -> str:
    heads = "".join(f'<th scope="col">{n:,} rows a label</th>' for n in race.shots)
    rows = [
        f'<tr><th scope="row">{esc(one.name)}<span class="pp-small"> 95 %: {percent(one.low)} to '
        f"{percent(one.high)}</span></th><td>{percent(one.accuracy)}</td>{'<td></td>' * len(race.shots)}</tr>"
        for one in race.untuned
    ]
    for method in race.methods:
        about = METHODS[method].summary if method in METHODS else ""
        cells = "".join(_cell(race.cell(method, n)) for n in race.shots)
        rows.append(
            f'<tr><th scope="row">{esc(method)}<span class="pp-small"> {esc(about)}</span></th>'
            f"<td></td>{cells}</tr>"
        )
    return (
        '<div class="pp-scroll" tabindex="0"><table class="pp-table pp-racetable"><thead><tr>'
        f'<th scope="col">Method</th><th scope="col">no rows</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    around = "" if cell.deviation is None else f" ± {100 * cell.deviation:.1f}"
    return (
        f'<td><b>{100 * cell.mean:.1f}{around} %</b><span class="pp-small"> {cell.above} of {cell.seeds} above '
        "zero-shot</span></td>"
    )
