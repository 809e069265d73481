"""The Train tab's results as HTML: how far a training is, its curve, what it gave, and on which rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playground.app.bars import SEQUENCE, score_bars
from playground.app.eval_view import accuracy_cell, short
from playground.app.markup import esc, percent
from playground.app.tuning_curve import curve, kept_step
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.loop import Estimate
from playground.tasks.evaluation import LabelledRows, Result, versus
from playground.tasks.tuning.runs import spread, untuned
from playground.tasks.tuning.shots import Draw
from playground.tasks.tuning.watched import Outcome, Watched

_MOST_SHOWN = 100  # rows of a folded list
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True)
class Asked:
    """What a prompt says of one text: its name, the labels, and their probabilities."""

    name: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


def idle(method: str, steps: int, labels: int) -> str:
    """Return the frame before a training, so that nothing jumps when it starts."""
    return (
        f'<div class="pp-result pp-run">{_bar(0.0)}<p class="pp-legend pp-state">Nothing has been trained yet. '
        "Press Train: the loss, and the accuracy on dev rows that choose the best step, are drawn here "
        "while it learns.</p>"
        f"{curve((), steps, labels, untuned(method))}</div>"
    )


def waiting(ahead: int, method: str, steps: int, labels: int) -> str:
    """Return the frame of one who stands in the line behind ``ahead`` others."""
    place = _ORDINALS[ahead] if ahead < len(_ORDINALS) else f"number {ahead + 1}"
    return (
        f'<div class="pp-result pp-run" data-summary="You are {place} in line.">{_bar(0.0)}'
        f'<p class="pp-legend pp-state"><b>You are {place} in line.</b> One training runs at a time; yours '
        "starts by itself when those before it are done. Stop leaves the line.</p>"
        f"{curve((), steps, labels, untuned(method))}</div>"
    )


def report(found: Watched, asked: Sequence[Asked] = ()) -> str:
    """Return the whole right side of a training: how far it is, its curve, and what was measured."""
    plan = found.plan
    shown = found.best if found.doing == "done" and found.best is not None else None
    steps = shown.steps if shown is not None else found.steps
    labels = len(plan.prompt.verbalizer.names)
    others = [one.steps for one in found.outcomes if one.steps is not steps]
    drawn = curve(steps, plan.recipe.steps, labels, untuned(plan.recipe.method), others=others)
    summary = esc(_summary(found))
    return (
        f'<div class="pp-result pp-run" data-seq="{next(SEQUENCE)}" data-summary="{summary}">'
        f'{_bar(_share(found))}<p class="pp-legend pp-state">{_state(found)}</p>{drawn}'
        f"{_measured(found)}{before_and_after(asked)}</div>"
    )


def opened(delta: Delta, asked: Sequence[Asked] = ()) -> str:
    """Return what is known of a tuned prompt that came as a file."""
    told = delta.report
    start, end = told.get("start_dev_accuracy"), told.get("dev_accuracy")
    dev = (
        f" Its file says that accuracy on {told.get('dev_rows', 0):,} dev rows went from {percent(start)} to "
        f"{percent(end)}; that was not measured here."
        if start is not None and end is not None
        else ""
    )
    words = "".join(
        f"<li><b>{esc(label)}</b>: {esc(short(', '.join(word.text for word in words), 200))}</li>"
        for label, words in delta.prompt.verbalizer.labels.items()
    )
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="The tuned prompt is open.">'
        f'<h2>Opened: {esc(title(delta))}</h2><p class="pp-prompt" tabindex="0">'
        f'{esc(delta.prompt.template.source)}</p><ul class="pp-plain">{words}</ul>'
        f'<p class="pp-legend">A change of {size(delta.nbytes)} to {esc(short(delta.base, 80))}.{dev}</p>'
        f"{before_and_after(asked)}</div>"
    )


def title(delta: Delta) -> str:
    """Return what people call a tuned model: tuned: lora, 16 shots, seed 0."""
    told = delta.report
    rows, labels = int(told.get("rows", 0)), len(delta.prompt.verbalizer.names)
    shots = f"{rows // labels} shots" if rows and rows % labels == 0 else f"{rows:,} rows"
    seed = told.get("recipe", {}).get("seed", 0)
    return f"tuned: {delta.method}, {shots}, seed {seed}"


def estimate(found: Estimate, seeds: int, total: int) -> str:
    """Return what a training will take, for ``seeds`` runs on a model of ``total`` parameters."""
    share = found.parameters / max(1, total)
    of = f" ({percent(share)} of the model's)" if share < 1 else ""
    runs = f"{seeds} seeds take" if seeds > 1 else "It takes"
    return (
        f'<p class="pp-caption"><b>{found.parameters:,} parameters</b>{of} are tuned. {runs} '
        f"{about(found.seconds * seeds)} and <b>{size(found.nbytes)}</b> of memory here, and the "
        "time to measure.</p>"
    )


def drawn_rows(draws: Sequence[Draw]) -> str:
    """Return the rows that each seed tunes on and chooses by, as a table a seed."""
    parts = []
    for draw in draws:
        rows = [("tuned on", draw.train)] + ([("dev", draw.dev)] if draw.dev is not None else [])
        lines, left = [], 0
        for use, labelled in rows:
            shown = range(min(len(labelled), max(0, _MOST_SHOWN - len(lines))))
            left += len(labelled) - len(shown)
            lines += [_row(labelled, k, use) for k in shown]
        more = f'<p class="pp-legend">And {left:,} more.</p>' if left else ""
        parts.append(
            f'<h3>Seed {draw.seed}</h3><div class="pp-scroll" tabindex="0"><table class="pp-table pp-drawn">'
            f"<thead><tr><th>Text</th><th>Label</th><th>Use</th></tr></thead><tbody>{''.join(lines)}"
            f"</tbody></table></div>{more}"
        )
    return f'<div class="pp-result">{"".join(parts)}</div>'


def before_and_after(asked: Sequence[Asked]) -> str:
    """Return the bars of the text in Classify before and after tuning; nothing for none."""
    if not asked:
        return ""
    sides = "".join(
        f"<div><h3>{esc(one.name)}</h3>{score_bars(one.labels, one.probabilities)}</div>"
        for one in asked
    )
    return (
        f'<h2>The text of Classify, before and after</h2><div class="pp-before-after">{sides}</div>'
    )


def duration(seconds: float) -> str:
    """Return a time as people say it: 8 s, 3 min."""
    if seconds < 1:
        return "less than a second"
    return f"{seconds:,.0f} s" if seconds < 100 else f"{seconds / 60:,.0f} min"


def about(seconds: float) -> str:
    """Return an estimated time: about 8 s."""
    said = duration(seconds)
    return f"<b>{said}</b>" if seconds < 1 else f"about <b>{said}</b>"


def size(nbytes: int) -> str:
    """Return bytes as people say them: 800 bytes, 12 KiB, 6.4 MiB, 1.2 GiB."""
    if nbytes < 1 << 10:
        return f"{nbytes} bytes"
    if nbytes < 1 << 20:
        return f"{nbytes / 2**10:,.0f} KiB"
    if nbytes < 100 << 20:
        return f"{nbytes / 2**20:.3g} MiB"
    return f"{nbytes / 2**20:,.0f} MiB" if nbytes < 1 << 30 else f"{nbytes / 2**30:.1f} GiB"


# ---- parts ----------------------------------------------------------------------------------


def _bar(share: float) -> str:
    return f'<progress max="100" value="{share * 100:.0f}" aria-label="part done"></progress>'


def _share(found: Watched) -> float:
    """Return how much of the tuning is done: the steps of all seeds."""
    if found.doing == "done":
        return 1.0
    total = found.plan.recipe.steps * len(found.plan.draws)
    done = len(found.outcomes) * found.plan.recipe.steps
    in_hand = found.plan.recipe.steps if found.doing == "measuring" else 0
    if found.doing == "tuning" and found.steps:
        in_hand = found.steps[-1].step
    return min(1.0, (done + in_hand) / max(1, total))


def _state(found: Watched) -> str:
    plan = found.plan
    many = len(plan.draws) > 1
    which = f"Seed {found.seed} ({len(found.outcomes) + 1} of {len(plan.draws)}): " if many else ""
    done, total = found.rows
    if found.doing == "zero-shot":
        return f"Measuring the prompt before tuning: {done:,} of {total:,} held-out rows."
    if found.doing == "measuring" and not total:
        return f"{which}keeping the best step."
    if found.doing == "measuring":
        return f"{which}measuring what was kept: {done:,} of {total:,} held-out rows."
    if found.doing == "done":
        return _ended(found)
    if not found.steps:
        return f"{which}reading a private copy of the model."
    step = found.steps[-1]
    kept = kept_step(found.steps)
    loss = "" if step.loss is None else f" · loss <b>{step.loss:.3f}</b>"
    dev = ""
    if kept is not None and kept.dev_accuracy is not None:
        dev = f" · best on dev <b>{percent(kept.dev_accuracy)}</b> at step {kept.step}"
    left = "" if found.left is None else f" · {about(found.left)} left"
    return (
        f"{which}step <b>{step.step}</b> of {plan.recipe.steps}{loss}{dev} · learning rate "
        f"{step.learning_rate:.1e}{left}"
    )


def _ended(found: Watched) -> str:
    if found.best is None:
        return "Stopped before anything was tuned."
    best, steps = found.best, found.best.report.get("steps", 0)
    stopped = "Stopped" if found.stopped else "Done"
    if not found.stopped and steps < found.plan.recipe.steps:
        stopped = "Ended early, as the dev rows gained no more,"
    dev = best.dev_accuracy
    chosen = (
        f"best on its dev rows, {percent(dev)}"
        if dev is not None
        else "the last, as there are no dev rows"
    )
    seed = f"Seed {best.seed} is the one to use: " if len(found.outcomes) > 1 else ""
    return (
        f"{stopped} after step {steps}. {seed}{'step' if seed else 'Step'} <b>{best.report.get('best_step', 0)}</b> was kept "
        f"({chosen}), a change of <b>{size(best.nbytes)}</b>."
    )


def _summary(found: Watched) -> str:
    if found.doing == "tuning" and found.steps:
        return f"step {found.steps[-1].step} of {found.plan.recipe.steps}"
    if found.doing != "done" or found.best is None:
        return ""
    result = found.best.result
    told = f", {percent(result.metrics.accuracy)} right on held-out rows" if result else ""
    return f"The training is done{told}."


def _measured(found: Watched) -> str:
    """Return the held-out rows' numbers; those still to come keep their place."""
    plan = found.plan
    if plan.held_out is None:
        return (
            '<h2>Held-out accuracy</h2><p class="pp-legend">Nothing is measured: no rows were chosen for it. '
            "What a model was tuned on, or chosen by, says nothing of how good it is.</p>"
        )
    lines = [_result(one, found) for one in found.before]
    if plan.before is not None and not found.before and found.doing == "zero-shot":
        lines = [_pending("zero-shot"), _pending("zero-shot, calibrated")]
    for place, draw in enumerate(plan.draws):
        name = f"{plan.recipe.method}, seed {draw.seed}"
        own = found.outcomes[place] if place < len(found.outcomes) else None
        if own is not None and own.result is not None:
            lines.append(_result(own.result, found, own))
        elif own is not None or found.doing == "done":
            lines.append(_pending(name, "not measured" if own is not None else "not tuned"))
        else:
            lines.append(_pending(name))
    count = len(plan.held_out)
    first = next(iter(found.before), None)
    chance = (
        f" The majority label gets {percent(first.metrics.majority)}." if first is not None else ""
    )
    return (
        f"<h2>Accuracy on {count:,} rows held out</h2>"
        f'<p class="pp-legend">Rows of {esc(short(plan.held_out.name, 60))} that no seed has seen.{chance}</p>'
        '<div class="pp-scroll" tabindex="0"><table class="pp-table pp-measured"><thead><tr><th>Prompt</th>'
        "<th>Accuracy, 95 %</th><th>Macro-F1</th><th>Against zero-shot</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>{_over_seeds(found)}"
    )


def _result(result: Result, found: Watched, own: Outcome | None = None) -> str:
    metrics = result.metrics
    test = ""
    if own is not None and found.before and metrics.rows == found.before[0].metrics.rows:
        base = max(found.before, key=lambda one: one.metrics.accuracy)
        against = versus(result, base, _gold(found, metrics.rows))
        verdict = "could be chance"
        if against.real:
            verdict = "really better" if against.difference > 0 else "really worse"
        test = (
            f"<b>{verdict}</b><br>{against.difference * 100:+.1f} points "
            f'<span class="pp-small">p {against.p_value:.3f}</span>'
        )
    best = own is not None and own is found.best and len(found.outcomes) > 1
    return (
        f"<tr{' class=pp-chosen' if best else ''}><td>{esc(result.name)}</td><td>{accuracy_cell(metrics)}</td>"
        f"<td>{percent(metrics.macro_f1)}</td><td>{test}</td></tr>"
    )


def _gold(found: Watched, rows: int):
    held_out = found.plan.held_out
    return held_out.gold[:rows] if held_out is not None else ()


def _pending(name: str, told: str = "…") -> str:
    return (
        f'<tr><td>{esc(name)}</td><td><span class="pp-track pp-slim"></span>'
        f'<span class="pp-small">{told}</span></td><td></td><td></td></tr>'
    )


def _over_seeds(found: Watched) -> str:
    seeds = [one for one in found.outcomes if one.result is not None]
    if len(seeds) < 2:
        return ""
    over = spread(seeds)
    first, *others = (draw.train.rows for draw in found.plan.draws)
    why = "Each seed drew other rows: a few rows more or less lucky move the number as much."
    if all(rows == first for rows in others):
        why = "All seeds have the same rows: their order and chance alone move the number as much."
    return (
        f'<p class="pp-verdict">Mean of {len(seeds)} seeds: {percent(over.mean)}, ± '
        f"{(over.deviation or 0.0) * 100:.1f} points (from {percent(over.least)} to {percent(over.most)}).</p>"
        f'<p class="pp-legend">{why}</p>'
    )


def _row(labelled: LabelledRows, place: int, use: str) -> str:
    text = " · ".join(labelled.rows[place].values())
    return (
        f"<tr><td>{esc(short(text, 200))}</td><td>{esc(labelled.labels[labelled.gold[place]])}</td>"
        f"<td>{use}</td></tr>"
    )


def remark(text: str) -> str:
    """Return a plain remark beside the estimate."""
    return f'<p class="pp-caption pp-remark">{esc(text)}</p>'
