"""The curve of a training as SVG: loss above, accuracy on the dev rows below, over the same steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from playground.app.markup import esc, percent
from playground.engine.tuning.loop import Step

_WIDE, _LEFT, _RIGHT = 560, 62, 12
_LOSS, _SHARE = (20, 140), (176, 296)  # top and bottom of the two pictures
_HIGH = 336
_MOST_DRAWN = 400  # points of a line; more are finer than a pixel


def curve(
    steps: Sequence[Step],
    total: int,
    labels: int,
    start: str,
    *,
    others: Sequence[Sequence[Step]] = (),
) -> str:
    """Return the steps of one seed in a frame for ``total`` steps, those of ``others`` faint behind.

    labels: how many there are, for the loss of a guess. start: what step 0 is.
    """
    top = _top([*steps, *(step for other in others for step in other)], labels)
    looks = [s for s in steps if s.dev_accuracy is not None]
    parts = [_frame(total, top)]
    for other in others:
        seen = [(s.step, s.dev_accuracy) for s in other if s.dev_accuracy is not None]
        parts.append(_line("pp-faint", [_place(x, y, total, 1, _SHARE) for x, y in seen]))
    batch = [(s.step, s.loss) for s in steps if s.loss is not None]
    thin = max(1, -(-len(batch) // _MOST_DRAWN))
    parts.append(_line("pp-train", [_place(x, y, total, top, _LOSS) for x, y in batch[::thin]]))
    for values, most, area in (
        ([(s.step, s.dev_loss or 0.0) for s in looks], top, _LOSS),
        ([(s.step, s.dev_accuracy or 0.0) for s in looks], 1.0, _SHARE),
    ):
        places = [_place(x, y, total, most, area) for x, y in values]
        parts.append(_line("pp-held", places))
        parts += [f'<circle class="pp-dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    if looks:
        parts.append(_marks(steps, looks, total))
    elif any(s.step for s in steps):
        parts.append(_note("no dev rows: the last step is kept"))
    return (
        f'<svg class="pp-curve pp-tuning" viewBox="0 0 {_WIDE} {_HIGH}" role="img" '
        f'aria-label="{esc(_said(steps, looks))}">{"".join(parts)}</svg>'
        f'<p class="pp-legend pp-keys"><span><span class="pp-key pp-key-train"></span>rows of the step</span>'
        f'<span><span class="pp-key pp-key-held"></span>dev rows</span>'
        f'<span><span class="pp-key pp-key-start"></span>step 0: {esc(start)}</span>'
        '<span><span class="pp-key pp-key-kept"></span>kept</span></p>'
    )


def kept_step(steps: Sequence[Step]) -> Step | None:
    """Return the step that is kept so far: the best on the dev rows, else the last."""
    return next((step for step in reversed(steps) if step.best), None)


def _top(steps: Sequence[Step], labels: int) -> float:
    """Return the highest loss of the axis: a guess fits, and the axis moves in halves only."""
    seen = [value for s in steps for value in (s.loss, s.dev_loss) if value is not None]
    return math.ceil(2 * max([1.2 * math.log(max(2, labels)), *seen])) / 2


def _frame(total: int, top: float) -> str:
    parts = []
    for area, levels, name in (
        (_LOSS, [(top * k / 4, f"{top * k / 4:.3g}") for k in range(5)], "loss, nats"),
        (_SHARE, [(k / 4, f"{25 * k} %") for k in range(5)], "dev accuracy"),
    ):
        most = top if area is _LOSS else 1.0
        for level, said in levels:
            _, y = _place(0, level, total, most, area)
            parts.append(
                f'<line class="pp-grid-line" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{_LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{said}</text>'
            )
        parts.append(
            f'<text class="pp-axis" x="{_WIDE - _RIGHT}" y="{area[0] - 5}" text-anchor="end">{name}</text>'
        )
    bottom = _SHARE[1]
    for k in range(5):
        step = round(total * k / 4)
        x, _ = _place(step, 0, total, 1, _SHARE)
        anchor = "end" if k == 4 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="{anchor}">{step}</text>')
    middle = (_LEFT + _WIDE - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HIGH - 4}" text-anchor="middle">step</text>')
    return "".join(parts)


def _marks(steps: Sequence[Step], looks: Sequence[Step], total: int) -> str:
    """Return the line of step 0, where there is one, and the ring of the step that is kept."""
    first, kept, marks = looks[0], kept_step(steps), ""
    if first.step == 0:
        _, y = _place(0, first.dev_accuracy or 0.0, total, 1, _SHARE)
        marks = (
            f'<line class="pp-start" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    if kept is not None and kept.dev_accuracy is not None:
        x, y = _place(kept.step, kept.dev_accuracy, total, 1, _SHARE)
        marks += f'<circle class="pp-here" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
    return marks


def _note(text: str) -> str:
    y = (_SHARE[0] + _SHARE[1]) / 2 + 5
    return f'<text x="{(_LEFT + _WIDE - _RIGHT) / 2}" y="{y}" text-anchor="middle">{text}</text>'


def _place(
    step: int, value: float, total: int, most: float, area: tuple[int, int]
) -> tuple[float, float]:
    x = _LEFT + step / max(1, total) * (_WIDE - _LEFT - _RIGHT)
    return x, area[1] - min(1.0, max(0.0, value / most)) * (area[1] - area[0])


def _line(kind: str, places: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline class="{kind}" points="{points}"/>'


def _said(steps: Sequence[Step], looks: Sequence[Step]) -> str:
    losses = [s.loss for s in steps if s.loss is not None]
    if not losses:
        return "Loss and dev accuracy over the steps of the training, empty before it starts"
    said = f"The loss goes from {losses[0]:.2f} to {losses[-1]:.2f} nats"
    if len(looks) > 1:
        said += (
            f", accuracy on the dev rows from {percent(looks[0].dev_accuracy or 0.0)} to "
            f"{percent(looks[-1].dev_accuracy or 0.0)}"
        )
    return f"{said} in {steps[-1].step} steps"
