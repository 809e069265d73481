"""The breakage lab as HTML: what a mistake is, both ways' curves, what was measured, and why."""

from __future__ import annotations

import re

from playground.app.bars import SEQUENCE
from playground.app.markup import esc, percent, polyline
from playground.app.steps_plot import StepsPlot, loss_axis
from playground.engine.tuning.loop import Step
from playground.tasks.tuning.mistake_facts import Facts
from playground.tasks.tuning.mistakes import Mistake, Trial

_WIDE = 480


def about(mistake: Mistake) -> str:
    """Return what a mistake is and the line of code that makes it."""
    return (
        f'<div class="pp-result"><p class="pp-plain">{esc(mistake.what)}</p>'
        f'<pre class="pp-code" tabindex="0"><code>{esc(mistake.code)}</code></pre></div>'
    )


def waiting(ahead: int) -> str:
    """Return what is shown before one's turn."""
    who = "one training is" if ahead == 1 else f"{ahead:,} trainings are"
    return f'<p class="pp-legend" role="status">In line: {who} before you.</p>'


def trial_html(trial: Trial, *, stopped: bool = False) -> str:
    """Return how far both ways are, what was measured of the mistake, and at the end what came out."""
    done = trial.right[-1].step if trial.right else 0
    state = "Stopped after" if stopped else "Done:" if trial.after else "Running:"
    outcome = (
        f'<p class="pp-verdict">{_told(trial.outcome)}</p>' if trial.outcome
        else '<p class="pp-verdict"></p>'
    )  # fmt: skip
    summary = trial.outcome or f"{trial.mistake.title}: step {done} of {trial.total}"
    return (
        f'<div class="pp-result pp-run pp-lab" data-seq="{next(SEQUENCE)}" data-summary="{esc(summary)}">'
        f"<h2>{esc(trial.mistake.title)}</h2>"
        f'<progress max="{trial.total}" value="{done}" aria-label="steps done"></progress>'
        f'<p class="pp-legend" role="status">{state} step {done:,} of {trial.total:,}, both ways on the '
        f"same {trial.train_rows:,} rows.{_room(trial)}</p>"
        f"{_curves(trial)}{outcome}{_facts(trial.facts)}"
        f'<p class="pp-plain"><b>Why.</b> {esc(trial.mistake.why)}</p></div>'
    )


def _room(trial: Trial) -> str:
    if trial.room is None:
        return ""
    return f" Both may read {trial.room:,} tokens here, so that some rows are cut."


def _facts(facts: Facts) -> str:
    said = f'<p class="pp-plain">{_told(facts.said)}</p>' if facts.said else ""
    if not facts.rows:
        return said
    heads = "".join(f'<th scope="col">{esc(head)}</th>' for head in facts.heads)
    rows = "".join(
        f'<tr><th scope="row">{esc(row[0])}</th>{"".join(f"<td>{_told(cell)}</td>" for cell in row[1:])}</tr>'
        for row in facts.rows
    )
    return (
        '<h3>What else was measured</h3><div class="pp-scroll" tabindex="0">'
        f'<table class="pp-table pp-facts"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{said}'
    )


def _told(text: str) -> str:
    """Return a text escaped, its percentages as the page writes them."""
    return re.sub(r"(\d)%", r"\1&nbsp;%", esc(text))


# ---- the curves -----------------------------------------------------------------------------------


def _curves(trial: Trial) -> str:
    """Return loss and dev accuracy of both ways over the steps, as SVG: two lines in each picture."""
    ways = {"right": trial.right, "wrong": trial.wrong}
    losses = [s.loss for steps in ways.values() for s in steps if s.loss is not None]
    plot = StepsPlot(_WIDE, trial.total, loss_axis(losses, 1.0))
    parts = [plot.frame("loss of the step, nats", "accuracy on the dev rows")]
    for way, steps in ways.items():
        own = [(s.step, s.loss) for s in steps if s.loss is not None]
        looks = [(s.step, s.dev_accuracy) for s in steps if s.dev_accuracy is not None]
        parts.append(polyline(f"pp-{way}-way", plot.losses(own)))
        parts.append(polyline(f"pp-{way}-way", plot.shares(looks)))
    return (
        f'<svg class="pp-curve pp-ways" viewBox="{plot.view_box}" role="img" '
        f'aria-label="{esc(_said(ways))}">{"".join(parts)}</svg>'
        '<p class="pp-legend"><span class="pp-key pp-key-right"></span>the right way '
        '<span class="pp-key pp-key-wrong"></span>with the mistake</p>'
    )


def _said(ways: dict[str, tuple[Step, ...]]) -> str:
    told = []
    for way, steps in ways.items():
        losses = [s.loss for s in steps if s.loss is not None]
        looks = [s.dev_accuracy for s in steps if s.dev_accuracy is not None]
        if losses and looks:
            told.append(
                f"the {way} way's loss goes from {losses[0]:.2f} to {losses[-1]:.2f} nats and its accuracy "
                f"on the dev rows from {percent(looks[0])} to {percent(looks[-1])}"
            )
    return (
        f"Loss and dev accuracy of both ways: {'; '.join(told)}"
        if told
        else "Two curves, still empty"
    )
