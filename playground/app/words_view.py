"""Learned label words as chips, and what they change on rows that the search has not seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from playground.app.eval_view import accuracy_cell
from playground.app.markup import action, esc
from playground.prompts import Prompt
from playground.tasks.held_out import Change, Split
from playground.tasks.word_search import LearnedWord, LearnedWords


def learned_html(
    learned: LearnedWords, changes: Sequence[Change], split: Split, prompt: Prompt
) -> str:
    """Return the words by label as buttons, and accuracy before and after on the held-out rows."""
    owners = {w.text: label for label, own in prompt.verbalizer.labels.items() for w in own}
    groups = "".join(
        f'<div class="pp-group"><h3>{esc(label)}</h3><div class="pp-examples">'
        f"{''.join(_chip(label, word, owners) for word in words)}</div></div>"
        for label, words in learned.words.items()
    )
    return (
        f'<div class="pp-result"><h2>Learned label words</h2><p class="pp-legend">From {split.shots} rows '
        f"of each label, drawn with seed {split.seed}, among {learned.considered:,} words of the model; "
        'best first. A word is added to its label in Classify.</p><div class="pp-groups">'
        f"{groups}</div>"
        f'<div class="pp-examples pp-take">{action("all", "", "Take them all instead", title="Replace the label words of Classify", classes="pp-example")}</div>'
        f"{_changes(changes, split)}</div>"
    )


def _chip(label: str, word: LearnedWord, owners: Mapping[str, str]) -> str:
    owner = owners.get(word.text)
    if owner is not None:
        where = "" if owner == label else f" (under {esc(owner)})"
        return f'<span class="pp-example pp-known">{esc(word.text)} is there{where}</span>'
    return action(
        "word",
        json.dumps([label, word.text]),
        f"+ {esc(word.text)}",
        title=f"Add {word.text} to {label} in Classify (score {word.score:.2f})",
        classes="pp-example",
    )


def _changes(changes: Sequence[Change], split: Split) -> str:
    rows = []
    for change in changes:
        found = change.comparison
        low, high = found.interval
        if not found.real:
            verdict = "could be chance"
        else:
            verdict = "really better" if found.difference > 0 else "really worse"
        rows.append(
            f"<tr><td>{esc(change.calibration)}</td><td>{accuracy_cell(change.before.metrics)}</td>"
            f"<td>{accuracy_cell(change.after.metrics)}</td>"
            f"<td><b>{verdict}</b>: {found.difference * 100:+.1f} points "
            f'<span class="pp-small">{low * 100:+.1f} to {high * 100:+.1f}, p {found.p_value:.3f}</span>'
            "</td></tr>"
        )
    repeated = (
        f" ({split.repeated:,} rows that repeat a text are left out)" if split.repeated else ""
    )
    return (
        f"<h2>Before and after, on {len(split.held_out):,} rows that the search has not seen</h2>"
        f'<p class="pp-legend">All learned words instead of those of Classify{repeated}.</p>'
        '<div class="pp-scroll" tabindex="0"><table class="pp-table pp-measured"><thead><tr>'
        "<th>Calibration</th><th>Before, 95 %</th><th>After, 95 %</th><th>Difference</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
