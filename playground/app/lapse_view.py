"""The Pretrain tab's time-lapse as HTML: one checkpoint, all of them at a glance, and the loss curve.

All frames are on the page, so that a script moves between them and the server is not asked.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from playground.app.bars import SEQUENCE
from playground.app.markup import esc, percent, polyline, width
from playground.tasks.pretraining.timelapse import MASK, Checkpoint, Probe, Timelapse
from playground.tasks.writing import formula_safe

_WIDE, _HIGH = 480, 230  # of the curve's drawing
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 40
_UNITS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))
_MOST_NAMED = 8  # corpora in a sentence
_MOST_DRAWN = 400  # points of the training curve; more are finer than a pixel


def lapse_result(lapse: Timelapse, probe: Probe) -> str:
    """Return the sentence at the last checkpoint, with the controls that move through the others."""
    last = len(lapse.checkpoints) - 1
    best = probe.top[last][0]
    note = f'<p class="pp-legend">{esc(lapse.note)}</p>' if lapse.note else ""
    summary = f"at the last checkpoint: {best[0]} {percent(best[1])}"
    return (
        f'<div class="pp-result pp-lapse" data-seq="{next(SEQUENCE)}" data-summary="{esc(summary)}">'
        f'<p class="pp-prompt pp-big" tabindex="0">{sentence(probe.text)}</p>'
        '<div class="pp-player"><button type="button" class="pp-action pp-example" data-play '
        f'aria-label="Play the training">▶ Play</button><input type="range" min="0" max="{last}" '
        f'value="{last}" step="1" aria-label="Checkpoint" data-slide></div>'
        f'<p class="pp-when" data-when>{_when(lapse.checkpoints[last])}</p>'
        f'<ul class="pp-bars" data-bars>{_bars(probe.top[last])}</ul>'
        f"<h3>Loss while it reads</h3>{_curve(lapse)}{_explained(lapse)}{note}</div>"
    )


def sentence(text: str) -> str:
    """Return a sentence with its mask marked."""
    before, _, after = text.partition(MASK)
    return f'{esc(before)}<mark class="pp-mask">{MASK}</mark>{esc(after)}'


def _bars(top: Sequence[tuple[str, float]]) -> str:
    return "".join(
        f'<li class="pp-bar{" pp-win" if place == 0 else ""}">'
        f'<span class="pp-name" title="{esc(token)}">{esc(token)}</span>'
        f'<span class="pp-track" aria-hidden="true"><span class="pp-fill" style="{width(share)}"></span></span>'
        f'<span class="pp-number">{percent(share)}</span></li>'
        for place, (token, share) in enumerate(top)
    )


def _when(point: Checkpoint) -> str:
    said = f"<b>Step {point.step:,}</b> · {amount(point.tokens)} tokens read"
    if point.mean_loss is None or point.perplexity is None:
        return said
    return (
        f"{said} · held-out loss {point.mean_loss:.2f} nats · perplexity {_round(point.perplexity)}"
    )


def amount(count: int) -> str:
    """Return a count as people say it: 410 k, 13 M."""
    for unit, name in _UNITS:
        if count >= unit:
            share = count / unit
            return f"{share:.1f} {name}" if share < 9.95 else f"{share:,.0f} {name}"
    return str(count)


def _round(number: float) -> str:
    return (
        f"{number:.1f}" if number < 9.95 else f"{number:,.0f}" if number < 1e6 else "over a million"
    )


def lapse_table(lapse: Timelapse, probe: Probe) -> str:
    """Return the likeliest tokens at every checkpoint, a row each, the last one's best marked."""
    last = len(lapse.checkpoints) - 1
    final = probe.top[last][0][0]
    width_of = max(map(len, probe.top))
    places = _places(lapse)
    rows = []
    for k, (point, top) in enumerate(zip(lapse.checkpoints, probe.top, strict=True)):
        cells = "".join(
            f'<td data-token="{esc(token)}" data-share="{share:.5f}" data-said="{percent(share)}">'
            f'<span class="pp-guess{" pp-final" if token == final else ""}" style="--pp-share:{share:.3f}" '
            f'title="{esc(token)}: {percent(share)}">{esc(token)}</span></td>'
            for token, share in top
        )
        now = ' class="pp-now"' if k == last else ""
        x, y = places[k]
        rows.append(
            f'<tr{now} data-frame="{k}" data-x="{x:.1f}" data-y="{y:.1f}" data-told="{esc(_plain(point))}">'
            f'<th scope="row"><button type="button" class="pp-action pp-link" data-go="{k}" '
            f'title="Show this checkpoint">{amount(point.tokens)}</button></th>{cells}'
            f"{'<td></td>' * (width_of - len(top))}</tr>"
        )
    heads = "".join(f'<th scope="col">{_nth(k + 1)}</th>' for k in range(width_of))
    return (
        f'<div class="pp-result"><h3>All checkpoints at a glance</h3>'
        f'<div class="pp-scroll" tabindex="0"><table class="pp-table pp-steps" data-frames><thead><tr>'
        f'<th scope="col">Read</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f'<p class="pp-legend">Tokens read, and the likeliest words then: the stronger the colour, the likelier. <span class="pp-guess pp-final">Framed</span> is '
        "what the model says in the end. Choose a row to see it closely.</p></div>"
    )


def _nth(place: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(place, f"{place}th")


def _plain(point: Checkpoint) -> str:
    return _when(point).replace("<b>", "").replace("</b>", "")


def _explained(lapse: Timelapse) -> str:
    last = lapse.checkpoints[-1]
    if last.perplexity is None:
        return ""
    listed = [f"{esc(name)} {loss:.2f}" for name, loss in last.loss.items()]
    more = f", and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    corpora = ", ".join(listed[:_MOST_NAMED]) + more
    by_corpus = f" By corpus: {corpora}." if len(last.loss) > 1 else ""
    return (
        '<p class="pp-legend">Loss is the surprise at a hidden word. <b>Perplexity</b>, e to its power, is '
        "the number of equally likely words among which it would be as hard to choose: "
        f"{_round(last.perplexity)} in the end.{by_corpus}</p>"
    )


# ---- the curve ----------------------------------------------------------------------------------


def _axes(lapse: Timelapse) -> tuple[float, float, float, float]:
    """Return the first and last power of ten of the tokens, and the lowest and highest loss shown."""
    tokens = [p.tokens for p in (*lapse.curve, *lapse.checkpoints) if p.tokens > 0] or [1]
    losses = [p.loss for p in lapse.curve]
    losses += [p.mean_loss for p in lapse.checkpoints if p.mean_loss is not None]
    low, high = math.log10(min(tokens)), math.log10(max(tokens))
    floor, top = (math.floor(min(losses)), math.ceil(max(losses))) if losses else (0, 1)
    # a token count of 0 has no logarithm: it stands half a decade before the first that has one
    return low - 0.4, max(high, low + 0.1), floor, max(top, floor + 1)


def _place(tokens: int, loss: float | None, axes: tuple[float, float, float, float]):
    left, right, floor, top = axes
    at = left if tokens < 1 else math.log10(tokens)
    share = (at - left) / (right - left)
    x = _LEFT + share * (_WIDE - _LEFT - _RIGHT)
    y = _TOP + (top - (floor if loss is None else loss)) / (top - floor) * (_HIGH - _TOP - _BOTTOM)
    return x, y


def _places(lapse: Timelapse) -> list[tuple[float, float]]:
    axes = _axes(lapse)
    return [_place(point.tokens, point.mean_loss, axes) for point in lapse.checkpoints]


def _curve(lapse: Timelapse) -> str:
    """Return training and held-out loss over the tokens read, on a logarithmic axis, as SVG."""
    axes = _axes(lapse)
    left, right, floor, top = axes
    step = 1 if top - floor <= 6 else 2 if top - floor <= 12 else 20
    parts = []
    for level in range(int(floor), int(top) + 1, step):
        _, y = _place(0, level, axes)
        parts.append(
            f'<line class="pp-grid-line" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{level}</text>'
        )
    bottom = _HIGH - _BOTTOM
    ticks = [(0, "0")] if any(p.tokens == 0 for p in lapse.checkpoints) else []
    ticks += [
        (10**power, amount(10**power).replace(".0", ""))
        for power in range(math.ceil(left + 0.25), math.floor(right) + 1)
    ]
    for tokens, said in ticks:
        x, _ = _place(tokens, None, axes)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{said}</text>'
            f'<line class="pp-grid-line" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDE - _RIGHT) / 2}" y="{_HIGH - 4}" text-anchor="middle">tokens read</text>'
    )
    thin = max(1, -(-len(lapse.curve) // _MOST_DRAWN))
    train = [_place(p.tokens, p.loss, axes) for p in lapse.curve[::thin]]
    seen = [k for k, point in enumerate(lapse.checkpoints) if point.mean_loss is not None]
    places = _places(lapse)
    dots = "".join(
        f'<circle class="pp-dot" cx="{places[k][0]:.1f}" cy="{places[k][1]:.1f}" r="3"/>'
        for k in seen
    )
    x, y = places[-1]
    return (
        f'<svg class="pp-curve" viewBox="0 0 {_WIDE} {_HIGH}" role="img" '
        f'aria-label="{esc(_curve_said(lapse))}">{"".join(parts)}'
        f"{polyline('pp-train', train)}{polyline('pp-held', [places[k] for k in seen])}{dots}"
        f'<line class="pp-here" data-here x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>'
        f'<circle class="pp-here" data-dot cx="{x:.1f}" cy="{y:.1f}" r="6"/></svg>'
        '<p class="pp-legend"><span class="pp-key pp-key-train"></span>training loss, nats '
        '<span class="pp-key pp-key-held"></span>held-out loss '
        '<span class="pp-key pp-key-here"></span>the checkpoint shown</p>'
    )


def _curve_said(lapse: Timelapse) -> str:
    seen = [p.mean_loss for p in lapse.checkpoints if p.mean_loss is not None]
    if not seen:
        return "The training loss over the tokens read"
    return f"The held-out loss falls from {seen[0]:.2f} to {seen[-1]:.2f} nats over the tokens read"


# ---- what leaves the page -----------------------------------------------------------------------


def lapse_csv(lapse: Timelapse, probe: Probe) -> str:
    """Return a sentence's predictions at all checkpoints as CSV, a row a token."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(
        ["text", "step", "tokens_read", "held_out_loss", "rank", "token", "probability"]
    )
    for point, top in zip(lapse.checkpoints, probe.top, strict=True):
        loss = "" if point.mean_loss is None else f"{point.mean_loss:.6g}"
        for rank, (token, share) in enumerate(top, 1):
            own = [formula_safe(probe.text), point.step, point.tokens, loss, rank]
            writer.writerow([*own, formula_safe(token), f"{share:.6g}"])
    return stream.getvalue()
