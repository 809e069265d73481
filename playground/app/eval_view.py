"""The Eval tab's results as HTML and CSV: candidates, confusion, errors, reliability."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from playground.app.markup import action, esc, percent, width
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows, Result, versus
from playground.tasks.metrics import Metrics
from playground.tasks.reading import Table
from playground.tasks.writing import formula_safe

_SHOWN, _PREVIEW, _FEW = 12, 4, 20
_PAGE_STYLE = (
    ":root{color-scheme:light}body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1f2937;background:#fff}"
    "main{max-width:60rem;margin:auto;padding:1rem}button{all:unset}pre{white-space:pre-wrap}"
)


@dataclass(frozen=True)
class Measured:
    """What a run has so far: results on the first ``done`` of the rows, and which one is looked at.

    prompt, model: what was measured, for the report; the boxes may say something else by then.
    """

    labelled: LabelledRows
    results: list[Result]
    done: int
    chosen: int = 0
    cell: tuple[int, int] | None = None
    prompt: Prompt | None = None
    model: str = ""

    @property
    def finished(self) -> bool:
        return self.done >= len(self.labelled)

    @property
    def gold(self) -> np.ndarray:
        return self.labelled.gold[: self.done]


def preview(table: Table, rows: Sequence[dict[str, Any]], count: int, remark: str = "") -> str:
    """Return the first rows of a table, so that its columns can be told apart, under a remark."""
    told = f". {esc(remark)}" if remark else ""
    head = "".join(f"<th>{esc(short(name, 30))}</th>" for name in table.columns[:8])
    body = "".join(
        "<tr>"
        + "".join(f"<td>{esc(short(row.get(c), 60))}</td>" for c in table.columns[:8])
        + "</tr>"
        for row in rows[:_PREVIEW]
    )
    return (
        f'<p class="pp-caption"><b>{esc(table.name)}</b>: {count:,} rows{told}</p><div class="pp-scroll" '
        f'tabindex="0"><table class="pp-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def report(found: Measured, *, stopped: bool = False) -> str:
    """Return the whole right side: how far it is, all candidates, and one of them closely."""
    chosen = found.results[found.chosen]
    return (
        f'<div class="pp-result pp-run">{state_line(found, stopped)}{_candidates(found)}'
        f"{_closely(found, chosen)}</div>"
    )


def state_line(found: Measured, stopped: bool) -> str:
    """Return how far a run is, and what two ways of guessing would get."""
    share = found.done / max(1, len(found.labelled))
    state = "Done:" if found.finished else ("Stopped after" if stopped else "Running:")
    left = f", {found.labelled.faulty:,} left out" if found.labelled.faulty else ""
    metrics = found.results[0].metrics
    told = f"<br>{esc('; '.join(found.labelled.problems[:2]))}" if found.labelled.problems else ""
    return (
        f'<progress max="100" value="{share * 100:.0f}" aria-label="rows done"></progress>'
        f'<p class="pp-legend" role="status">{state} {found.done:,} of {len(found.labelled):,} rows{left} of '
        f"<b>{esc(short(found.labelled.name, 60))}</b>. "
        f"The majority label gets {percent(metrics.majority)}, a fair draw {percent(metrics.random)}.{told}</p>"
    )


def _candidates(found: Measured) -> str:
    order = sorted(range(len(found.results)), key=lambda k: -found.results[k].metrics.accuracy)
    best = found.results[order[0]]
    rows = []
    for k in order:
        result = found.results[k]
        metrics = result.metrics
        test = versus(best, result, found.gold)
        verdict = "<b>best</b>" if result is best else ("worse" if test.real else "could be chance")
        p_value = "" if result is best else f' <span class="pp-small">p {test.p_value:.3f}</span>'
        name = action(
            "choose", k, esc(result.name), title="Look at this one closely", classes="pp-link"
        )
        rows.append(
            f"<tr{' class=pp-chosen' if k == found.chosen else ''}><td>{name}</td>"
            f"<td>{accuracy_cell(metrics)}</td>"
            f"<td>{percent(metrics.macro_f1)}</td><td>{percent(metrics.calibration_error)}</td>"
            f"<td>{verdict}{p_value}</td></tr>"
        )
    return (
        '<h2>Accuracy</h2><div class="pp-scroll" tabindex="0"><table class="pp-table pp-measured">'
        "<thead><tr><th>Prompt</th><th>Accuracy, 95 %</th><th>Macro-F1</th><th>Calibration error</th>"
        f"<th>Against the best</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def accuracy_cell(metrics: Metrics) -> str:
    """Return an accuracy as a slim bar with its 95 % interval on it, and both as numbers.

    The bootstrap of a handful of rows says nothing, least of all where all are right.
    """
    low, high = metrics.accuracy_interval
    if metrics.rows < _FEW:
        return (
            f'<span class="pp-track pp-slim"><span class="pp-fill" style="{width(metrics.accuracy)}">'
            f'</span></span><b>{percent(metrics.accuracy)}</b> <span class="pp-small">too few rows for an '
            "interval</span>"
        )
    return (
        f'<span class="pp-track pp-slim"><span class="pp-fill" style="{width(metrics.accuracy)}"></span>'
        f'<span class="pp-range" style="left:{low * 100:.1f}%;{width(high - low)}"></span></span>'
        f'<b>{percent(metrics.accuracy)}</b> <span class="pp-small">{percent(low)} to {percent(high)}</span>'
    )


def _closely(found: Measured, chosen: Result) -> str:
    return (
        f"<h2>Closely: {esc(chosen.name)}</h2>{_confusion(found, chosen)}{_errors(found, chosen)}"
        f"{_reliability(chosen)}"
    )


def _confusion(found: Measured, chosen: Result) -> str:
    names = found.labelled.labels
    metrics = chosen.metrics
    most = max((max(row) for row in metrics.confusion), default=1) or 1
    head = "".join(f"<th>{esc(name)}</th>" for name in names)
    rows = []
    for gold, row in enumerate(metrics.confusion):
        cells = []
        for k, count in enumerate(row[: len(names)]):
            shade = f"--pp-share:{count / most:.2f}"
            marked = " pp-picked" if found.cell == (gold, k) else ""
            button = action(
                "cell", f"{gold}|{k}", f"{count:,}", classes="pp-cell",
                title=f"Rows that are {names[gold]} and are taken for {names[k]}",
            )  # fmt: skip
            cells.append(
                f'<td class="{"pp-right" if k == gold else "pp-wrong"}{marked}" style="{shade}">{button}</td>'
            )
        rows.append(
            f"<tr><th>{esc(names[gold])}</th>{''.join(cells)}<td>{percent(metrics.recall[gold])}</td></tr>"
        )
    precision = "".join(f"<td>{percent(share)}</td>" for share in metrics.precision)
    return (
        '<p class="pp-legend">Rows are what they are, columns what they are taken for; click a number '
        'to see its rows.</p><div class="pp-scroll" tabindex="0"><table class="pp-table pp-confusion">'
        f"<thead><tr><th>is / taken for</th>{head}<th>recall</th></tr></thead><tbody>{''.join(rows)}"
        f"<tr><th>precision</th>{precision}<td></td></tr></tbody></table></div>"
    )


def shown_rows(found: Measured) -> list[int]:
    """Return the rows of the table below: of the clicked cell, or all that are wrong, surest first."""
    result = found.results[found.chosen]
    places = result.found
    if found.cell is None:
        wanted = np.flatnonzero(places != found.gold)
    else:
        gold, taken = found.cell
        wanted = np.flatnonzero((found.gold == gold) & (places == taken))
    sure = np.nan_to_num(result.probabilities, nan=0.0).max(1)
    return sorted(wanted.tolist(), key=lambda i: -sure[i])


def _errors(found: Measured, chosen: Result) -> str:
    names, rows = found.labelled.labels, shown_rows(found)
    lines = []
    for i in rows[:_SHOWN]:
        place = int(chosen.found[i])
        text = " · ".join(found.labelled.rows[i].values())
        said = (
            f"{esc(names[place])} {percent(float(chosen.probabilities[i, place]))}"
            if place >= 0
            else '<span class="pp-warn">could not be scored</span>'
        )
        opened = action(
            "row", i, esc(short(text, 160)), title="Open it in Classify", classes="pp-link"
        )
        lines.append(
            f"<tr><td>{opened}</td><td>{esc(names[found.gold[i]])}</td><td>{said}</td></tr>"
        )
    kind = (
        "Rows that it gets wrong"
        if found.cell is None
        else f"Rows that are {names[found.cell[0]]} and are taken for {names[found.cell[1]]}"
    )
    more = f", the surest {_SHOWN} shown" if len(rows) > _SHOWN else ""
    return (
        f'<h2>{esc(kind)}: {len(rows):,}{more}</h2><div class="pp-scroll" tabindex="0">'
        '<table class="pp-table"><thead><tr><th>Text</th><th>Is</th><th>Taken for</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _reliability(chosen: Result) -> str:
    bars = "".join(
        f'<li class="pp-bar"><span class="pp-name">{percent(b.confidence)} sure</span>'
        f'<span class="pp-track" aria-hidden="true"><span class="pp-fill" style="{width(b.accuracy)}"></span>'
        f'<span class="pp-prior" style="{width(b.confidence)}"></span></span>'
        f'<span class="pp-number">{percent(b.accuracy)}</span>'
        f'<span class="pp-small">{b.rows:,} rows</span></li>'
        for b in chosen.metrics.bins
    )
    return (
        f'<h2>How sure, and how often right</h2><ul class="pp-bars pp-reliable">{bars}</ul>'
        '<p class="pp-legend">Bar: share that is right; line: mean confidence. Apart, the prompt is too '
        "sure of itself, or not sure enough.</p>"
    )


def rows_csv(found: Measured) -> str:
    """Return every row with its gold label, and each candidate's label and probabilities."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    names = found.labelled.labels
    slots = list(found.labelled.rows[0])
    head = [*slots, "gold"]
    for result in found.results:
        head += [result.name, *(f"{result.name} · p_{name}" for name in names)]
    writer.writerow([formula_safe(name) for name in head])
    for i in range(found.done):
        line: list[Any] = [formula_safe(found.labelled.rows[i][slot]) for slot in slots]
        line.append(formula_safe(names[found.gold[i]]))
        for result in found.results:
            place = int(result.found[i])
            line.append(formula_safe(names[place]) if place >= 0 else "")
            line += [f"{share:.6g}" for share in result.probabilities[i]]
        writer.writerow(line)
    return stream.getvalue()


def report_page(found: Measured, style: str) -> str:
    """Return the report as one HTML file that opens anywhere, offline, in light and in dark."""
    card = json.dumps(found.prompt and found.prompt.to_json(), ensure_ascii=False, indent=2)
    best = max(found.results, key=lambda result: result.metrics.accuracy)
    closely = replace(found, chosen=found.results.index(best), cell=None)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Prompt Playground: an evaluation</title>'
        f"<style>{style}{_PAGE_STYLE}</style></head><body><main><h1>{esc(found.labelled.name)}</h1>"
        f"<p>Measured with {esc(found.model)} on {found.done:,} rows.</p>{report(closely, stopped=not found.finished)}"
        f"<h2>The prompt</h2><pre>{esc(card)}</pre></main></body></html>\n"
    )


def short(value: Any, most: int) -> str:
    """Return a value as text of at most ``most`` characters."""
    text = "" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
