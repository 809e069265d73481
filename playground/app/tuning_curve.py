"""The curve of a training: what its steps and its looks at the dev rows gave, and which step is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

from playground.app.markup import esc, percent, polyline
from playground.app.steps_plot import StepsPlot, loss_axis
from playground.engine.tuning.loop import Step

_WIDE = 560
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
    known = [*steps, *(step for other in others for step in other)]
    seen = [value for s in known for value in (s.loss, s.dev_loss) if value is not None]
    plot = StepsPlot(_WIDE, total, loss_axis(seen, 1.2 * math.log(max(2, labels))))
    looks = [s for s in steps if s.dev_accuracy is not None]
    parts = [plot.frame("loss, nats", "dev accuracy")]
    for other in others:
        parts.append(polyline("pp-faint", plot.shares(_accuracies(other))))
    batch = [(s.step, s.loss) for s in steps if s.loss is not None]
    thin = max(1, -(-len(batch) // _MOST_DRAWN))
    parts.append(polyline("pp-train", plot.losses(batch[::thin])))
    for places in (
        plot.losses((s.step, s.dev_loss or 0.0) for s in looks),
        plot.shares(_accuracies(looks)),
    ):
        parts.append(polyline("pp-held", places))
        parts += [f'<circle class="pp-dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    if looks:
        parts.append(_marks(plot, steps, looks))
    elif any(s.step for s in steps):
        parts.append(plot.note("no dev rows: the last step is kept"))
    return (
        f'<svg class="pp-curve pp-tuning" viewBox="{plot.view_box}" role="img" '
        f'aria-label="{esc(_said(steps, looks))}">{"".join(parts)}</svg>'
        f'<p class="pp-legend pp-keys"><span><span class="pp-key pp-key-train"></span>rows of the step</span>'
        f'<span><span class="pp-key pp-key-held"></span>dev rows</span>'
        f'<span><span class="pp-key pp-key-start"></span>step 0: {esc(start)}</span>'
        '<span><span class="pp-key pp-key-kept"></span>kept</span></p>'
    )


def kept_step(steps: Sequence[Step]) -> Step | None:
    """Return the step that is kept so far: the best on the dev rows, else the last."""
    return next((step for step in reversed(steps) if step.best), None)


def _accuracies(steps: Sequence[Step]) -> list[tuple[int, float]]:
    return [(s.step, s.dev_accuracy) for s in steps if s.dev_accuracy is not None]


def _marks(plot: StepsPlot, steps: Sequence[Step], looks: Sequence[Step]) -> str:
    """Return the line of step 0, where there is one, and the ring of the step that is kept."""
    kept, marks = kept_step(steps), ""
    if looks[0].step == 0:
        [(_, y)] = plot.shares(_accuracies(looks[:1]))
        marks = plot.across("pp-start", y)
    for x, y in plot.shares(_accuracies([kept] if kept is not None else [])):
        marks += f'<circle class="pp-here" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
    return marks


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
