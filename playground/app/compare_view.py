"""The Compare tab as HTML, JSON and Python: columns of scores, who wins on rows, where they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.app.bars import SEQUENCE, rendered_prompt, score_bars
from playground.app.eval_view import Measured, accuracy_cell, short, state_line
from playground.app.markup import action, esc, percent
from playground.engine import Explanation
from playground.prompts import Prompt, ScoringOptions
from playground.tasks.comparison import Ranking, disagreements, rank

LEGEND = (
    '<p class="pp-legend"><span class="pp-key pp-key-fill"></span>the winning label of a prompt '
    '<span class="pp-key pp-key-prior"></span>its prior: what the prompt says of content-free texts, '
    "divided out by contextual calibration</p>"
)
_SHOWN = 12


@dataclass(frozen=True)
class Side:
    """One column that scored: its letter, its prompt, the model's name, and what the model said."""

    letter: str
    prompt: Prompt
    model: str
    found: Explanation


@dataclass(frozen=True)
class Compared:
    """What a run over rows has so far, and the prompts that it measures, by letter with their models."""

    measured: Measured
    prompts: tuple[tuple[str, Prompt, str], ...]


def head(letter: str, options: ScoringOptions) -> str:
    """Return the top of a column: its letter, its buttons, and the choices that have no box here."""
    choices = (
        ("take", "Take from Classify", f"Make {letter} the prompt of Classify"),
        ("open", "Open in Classify", f"Edit {letter} in Classify"),
        ("remove", "Remove", f"Remove {letter}"),
    )
    buttons = "".join(
        action(name, letter, shown, title=tip, classes="pp-example") for name, shown, tip in choices
    )
    return (
        f'<div class="pp-result pp-side-head"><h2>Prompt {letter}</h2>'
        f'<div class="pp-examples">{buttons}</div>{_other_choices(options)}</div>'
    )


def _other_choices(options: ScoringOptions) -> str:
    """Say what a column takes from Classify beside what it shows: nothing, at the defaults."""
    chosen = {
        name.replace("_", " "): value
        for name, value in options.to_json().items()
        if name not in ("calibration", "content_free")
    }
    if not chosen:
        return ""
    said = ", ".join(
        f"{name} {value}"
        if isinstance(value, str)
        else f"{len(value)} {name}"  # the unlabelled texts
        for name, value in chosen.items()
    )
    return f'<p class="pp-caption">From Classify: {esc(short(said, 120))}</p>'


def column(found: Explanation) -> str:
    """Return the score bars of one prompt, each with its prior behind it, and what the model reads."""
    return (
        f'<div class="pp-result">{score_bars(found.labels, found.probabilities, found.prior)}'
        f"<h3>The model reads</h3>{rendered_prompt(found.segments)}</div>"
    )


def column_note(found: Explanation) -> str:
    """Return the line over a column's bars: the mass that its label words hold, and its tokens."""
    cut = f", {found.dropped} cut off" if found.dropped else ""
    return (
        f"Label words hold {percent(found.mass)} of the mask · "
        f"{found.tokens} of {found.max_tokens} tokens{cut}"
    )


def agreement(sides: Sequence[Side]) -> str:
    """Return one sentence: whether the prompts agree on this text."""
    said = [
        (side.letter, side.found.prediction, float(side.found.probabilities.max()))
        for side in sides
    ]
    labels = {label for _, label, _ in said}
    sets = {frozenset(side.found.labels) for side in sides}
    each = ", ".join(f"{letter} {label} {percent(share)}" for letter, label, share in said)
    if not said:
        text = "No prompt can be scored yet."
    elif len(said) == 1:
        text = f"One prompt is scored: {each}."
    elif len(sets) > 1:
        text = f"Their labels differ, so they cannot be compared: {each}."
    elif len(labels) == 1:
        text = f"They agree: {each}."
    else:
        text = f"They disagree: {each}."
    mark = " pp-apart" if len(labels) > 1 else ""
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(text)}">'
        f'<p class="pp-agreement{mark}">{esc(text)}</p></div>'
    )


# ---- on rows ------------------------------------------------------------------------------------


def report(compared: Compared, *, stopped: bool = False) -> str:
    """Return what the prompts got on the rows: how far it is, a table, a verdict, disagreements."""
    found = compared.measured
    ranking = rank(found.results, found.gold)
    letters = [letter for letter, _, _ in compared.prompts]
    so_far = "" if found.finished or stopped else "So far: "
    return (
        f'<div class="pp-result pp-run">{state_line(found, stopped)}'
        f'<p class="pp-verdict">{so_far}{esc(verdict(ranking, letters, found.done))}</p>'
        f"{_table(compared, ranking)}{_apart(compared, letters)}</div>"
    )


def verdict(ranking: Ranking, letters: Sequence[str], rows: int) -> str:
    """Return who wins in words, only where the corrected test says so; else what chance could do."""
    best = letters[ranking.best]
    if ranking.won:
        return (
            f"{best} is the winner: better than every other prompt on these {rows:,} rows, and not "
            "by chance (McNemar's test, Holm's correction, p < 0.05)."
        )
    open_ones = [
        (letters[k], standing.rows_needed)
        for k, standing in enumerate(ranking.standings)
        if k != ranking.best and not standing.real
    ]
    level = " and ".join(letter for letter, needed in open_ones if needed is None)
    told = ", ".join(
        f"{_rounded(needed):,} would tell it from {letter}"
        for letter, needed in open_ones
        if needed
    )
    return (
        f"No winner on these {rows:,} rows: {best} is ahead, but that could be chance."
        + (f" If the lead is as large as it looks, about {told}." if told else "")
        + (f" {level} is right as often as {best}." if level else "")
    )


def _rounded(count: int) -> int:
    """Return a number of rows with two digits that count, since it is no better known than that."""
    step = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def _table(compared: Compared, ranking: Ranking) -> str:
    results = compared.measured.results
    order = sorted(range(len(results)), key=lambda k: (k != ranking.best, -results[k].metrics.accuracy))  # fmt: skip
    rows = []
    for k in order:
        metrics, standing = results[k].metrics, ranking.standings[k]
        if k == ranking.best:
            said = "<b>★ winner</b>" if ranking.won else "highest so far, no winner"
        else:
            kind = "<b>really worse</b>" if standing.real else "could be chance"
            test = standing.test
            counts = "" if test is None else (
                f"{test.only_first:,} rows only {compared.prompts[ranking.best][0]} has right, "
                f"{test.only_second:,} only this one"
            )  # fmt: skip
            said = f'{kind} <span class="pp-small">p {standing.p_value:.3f}<br>{counts}</span>'
        rows.append(
            f"<tr{' class=pp-chosen' if k == ranking.best and ranking.won else ''}>"
            f"<td>{esc(results[k].name)}</td><td>{accuracy_cell(metrics)}</td>"
            f"<td>{percent(metrics.macro_f1)}</td><td>{percent(metrics.calibration_error)}</td>"
            f"<td>{said}</td></tr>"
        )
    return (
        '<div class="pp-scroll" tabindex="0"><table class="pp-table pp-measured"><thead><tr>'
        "<th>Prompt</th><th>Accuracy, 95 %</th><th>Macro-F1</th><th>Calibration error</th>"
        f"<th>Against the best</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _apart(compared: Compared, letters: Sequence[str]) -> str:
    found = compared.measured
    if len(found.results) < 2:
        return ""
    names, rows = found.labelled.labels, disagreements(found.results)
    lines = []
    for i in rows[:_SHOWN]:
        text = " · ".join(found.labelled.rows[i].values())
        opened = action(
            "row", i, esc(short(text, 160)), title="Look at it in all columns", classes="pp-link"
        )
        said = "".join(
            f"<td>{'✓' if result.found[i] == found.gold[i] else '✗'} {esc(names[result.found[i]])} "
            f'<span class="pp-small">{percent(float(result.probabilities[i].max()))}</span></td>'
            for result in found.results
        )
        lines.append(f"<tr><td>{opened}</td><td>{esc(names[found.gold[i]])}</td>{said}</tr>")
    more = f", the surest {_SHOWN} shown" if len(rows) > _SHOWN else ""
    title = f"<h2>Rows on which they disagree: {len(rows):,}{more}</h2>"
    if not rows:
        return title
    heads = "".join(f"<th>{letter}</th>" for letter in letters)
    return (
        f'{title}<div class="pp-scroll" tabindex="0"><table class="pp-table pp-apart-rows"><thead><tr>'
        f"<th>Text</th><th>Is</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        '<p class="pp-legend">✓ right, ✗ wrong; a text opens in the box above.</p>'
    )


# ---- what leaves the page -----------------------------------------------------------------------


def scores_json(sides: Sequence[Side], texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return what each prompt says of the texts, which fill its slots in order, as plain values."""
    return [
        {
            "name": side.letter,
            "label": side.found.prediction,
            "scores": dict(zip(side.found.labels, side.found.probabilities.tolist(), strict=True)),
            "prior": dict(zip(side.found.labels, side.found.prior.tolist(), strict=True)),
            "mass": side.found.mass,
            "prompt": side.prompt.template.fill(
                dict(zip(side.prompt.template.fields, texts, strict=False))
            ),
            "model": side.model,
            "tokens": side.found.tokens,
            "dropped": side.found.dropped,
        }
        for side in sides
    ]


def measured_json(compared: Compared) -> dict[str, Any]:
    """Return the prompts, their numbers on the rows, and the tests, as plain values."""
    found = compared.measured
    ranking = rank(found.results, found.gold)
    return {
        "data": found.labelled.name,
        "rows": found.done,
        "of": len(found.labelled),
        "labels": list(found.labelled.labels),
        "winner": compared.prompts[ranking.best][0] if ranking.won else None,
        "prompts": [
            {
                "name": letter,
                "model": model,
                "card": prompt.to_json(),
                **result.metrics.to_json(),
                "against_the_best": None
                if standing.test is None
                else {
                    "p_value": standing.p_value,
                    "real": standing.real,
                    "difference": standing.test.difference,
                    "interval": list(standing.test.interval),
                    "rows_needed": standing.rows_needed,
                },
            }
            for (letter, prompt, model), result, standing in zip(
                compared.prompts, found.results, ranking.standings, strict=True
            )
        ],
    }


def program(
    prompts: Sequence[tuple[str, Prompt, str]],
    texts: Sequence[str],
    tuned: Mapping[str, str] | None = None,
) -> str:
    """Return a Python program that scores the texts with each prompt, as the columns do.

    tuned: the file of the delta that a letter's model is opened with, for those that were tuned.
    """
    files = tuned or {}
    lines = [
        "from playground import Prompt, Prompting",
        "",
        f"texts = {list(texts)!r}",
        "cards = {",
    ]
    for letter, prompt, model in prompts:
        card = json.loads(json.dumps(prompt.to_json()))
        lines.append(f"    {letter!r}: ({model or None!r}, {card!r}),")
    model = "Prompting(model)"
    if files:
        lines.insert(-len(prompts) - 1, f"tuned = {dict(files)!r}")
        model += ".tuned(tuned[name]) if name in tuned else Prompting(model)"
    lines += [
        "}",
        "for name, (model, card) in cards.items():",
        "    prompt = Prompt.from_json(card)",
        "    row = dict(zip(prompt.template.fields, texts))",
        f"    prompting = {model}",
        "    print(name, prompting.classify([row], prompt).to_frame(), sep='\\n')",
        "",
        "# on labelled rows, with each card in a file: playground eval rows.csv --prompt a.json b.json",
        "",
    ]
    return "\n".join(lines)
