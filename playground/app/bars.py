"""The live charts: score bars, label-word chips and prompts, drawn as HTML and as SVG."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Sequence

from playground.app.markup import action, esc, percent, width
from playground.engine import Explanation, Fill, WordScore
from playground.prompts import Segment

SEQUENCE = itertools.count(1)  # tells the page that a result is new, even if it looks the same
_WORD = re.compile(r"\{mask\}|\[MASK\]|<mask>|\w+(?:['’\-]\w+)*")
_PRIOR_NAMES = {
    "none": "prior, not used",
    "contextual": "prior from content-free texts, divided out",
    "domain": "content-free prior; the domain prompt is divided out",
    "corpus": "content-free prior; the unlabelled texts are divided out",
}


def classify_result(found: Explanation, calibration: str) -> str:
    """Return the score bars of one text, each with its prior behind it."""
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(summary(found))}">'
        f"{_label_bars(found, calibration)}</div>"
    )


def classify_details(found: Explanation) -> str:
    """Return what stands under the bars: label words, the prompt, and the model's own guesses."""
    return f'<div class="pp-result">{_word_chips(found)}{_prompt(found)}</div>'


def summary(found: Explanation) -> str:
    """Return the result in one sentence, for screen readers."""
    ranked = sorted(zip(found.labels, found.probabilities, strict=True), key=lambda pair: -pair[1])
    return ", ".join(f"{label} {percent(share)}" for label, share in ranked[:5])


def _label_bars(found: Explanation, calibration: str) -> str:
    return (
        f"<h2>Scores</h2>{score_bars(found.labels, found.probabilities, found.prior)}"
        f'<p class="pp-legend"><span class="pp-key pp-key-fill"></span>score '
        f'<span class="pp-key pp-key-prior"></span>{_PRIOR_NAMES[calibration]}</p>'
    )


def score_bars(
    labels: Sequence[str], shares: Sequence[float], prior: Sequence[float] | None = None
) -> str:
    """Return a bar a label, the winner marked, with the prior behind it if there is one."""
    ranked = list(shares)
    best = ranked.index(max(ranked))
    rows = []
    for i, (label, share) in enumerate(zip(labels, ranked, strict=True)):
        ghost = spoken = ""
        if prior is not None:
            ghost = f'<span class="pp-prior" style="{width(prior[i])}"></span>'
            spoken = f'<span class="pp-sr">, prior {percent(prior[i])}</span>'
        rows.append(
            f'<li class="pp-bar{" pp-win" if i == best else ""}">'
            f'<span class="pp-name" title="{esc(label)}">{esc(label)}</span>'
            f'<span class="pp-track" aria-hidden="true">'
            f'<span class="pp-fill" style="{width(share)}"></span>{ghost}</span>'
            f'<span class="pp-number">{percent(share)}</span>{spoken}</li>'
        )
    return f'<ul class="pp-bars">{"".join(rows)}</ul>'


def _word_chips(found: Explanation) -> str:
    scale = max((math.exp(word.log_prob) for word in found.words), default=1.0) or 1.0
    groups = []
    for label in found.labels:
        chips = "".join(_chip(word, scale) for word in found.words if word.label == label)
        groups.append(
            f'<div class="pp-group"><h3>{esc(label)}</h3><div class="pp-chips">{chips}</div></div>'
        )
    return (
        '<h2>Label words at the mask</h2><div class="pp-groups">'
        f"{''.join(groups)}</div>"
        f'<p class="pp-legend">Together they hold <b>{percent(found.mass)}</b> of the probability at '
        "the mask; # is a word's rank in the whole vocabulary.</p>"
    )


def _chip(word: WordScore, scale: float) -> str:
    share = math.exp(word.log_prob)
    weight = f'<span class="pp-weight">×{word.weight:g}</span>' if word.weight != 1 else ""
    head = f'<span class="pp-word">{esc(word.text)}{weight}</span>'
    numbers = f'<span class="pp-small">{percent(share)}'
    if word.rank is not None:
        numbers += f" · #{word.rank:,}"
    numbers += "</span>"
    meter = f'<span class="pp-meter" aria-hidden="true"><span style="{width(share / scale)}"></span></span>'
    if word.rank is not None:
        return f'<span class="pp-chip">{head}{numbers}{meter}</span>'
    pieces = " + ".join(esc(piece) for piece in word.pieces)
    offers = "".join(
        action(
            "swap",
            f"{word.text}|{other}",
            esc(other),
            title=f"Take {other} instead of {word.text}",
            classes="pp-link",
        )
        for other in word.suggestions
    )
    advice = f'<span class="pp-small">or {offers}</span>' if offers else ""
    return (
        f'<span class="pp-chip pp-split" title="This word is {len(word.pieces)} pieces to the model">'
        f'{head}{numbers}<span class="pp-small">⚠ {len(word.pieces)} pieces: {pieces}</span>'
        f"{advice}{meter}</span>"
    )


def rendered_prompt(segments: Sequence[Segment]) -> str:
    """Return a prompt with the user's text and the mask marked."""
    parts = []
    for segment in segments:
        text = esc(segment.text)
        if segment.kind == "mask":
            parts.append('<mark class="pp-mask">[MASK]</mark>')
        elif segment.kind == "field":
            parts.append(f'<span class="pp-field" title="{esc(segment.field)}">{text}</span>')
        elif segment.kind == "sep":
            parts.append(' <span class="pp-sep" title="border of the sentence pair">┃</span> ')
        else:
            parts.append(f"<span>{text}</span>")
    # a long prompt scrolls, so the keyboard must reach it
    return f'<p class="pp-prompt" tabindex="0">{"".join(parts)}</p>'


def _prompt(found: Explanation) -> str:
    cut = (
        f' · <b class="pp-warn">{found.dropped} tokens of the text were cut off</b>'
        if found.dropped
        else ""
    )
    said = " ".join(
        f'<span class="pp-said">{esc(fill.token)} <span class="pp-small">{percent(fill.probability)}</span></span>'
        for fill in found.top
    )
    warned = "".join(f'<p class="pp-warn">{esc(text)}</p>' for text in found.warnings)
    return (
        f"<h2>The prompt that the model reads</h2>{rendered_prompt(found.segments)}"
        f'<p class="pp-legend">{found.tokens} of {found.max_tokens} tokens{cut}</p>'
        f'<h2>What the model would say</h2><p class="pp-saying">{said}</p>{warned}'
    )


def fill_result(text: str, masks: Sequence[Sequence[Fill]], verb: str) -> str:
    """Return one side of the Fill panel: the words to mask, and the predictions of each mask."""
    panels = []
    for number, fills in enumerate(masks):
        best = max((fill.probability for fill in fills), default=1.0) or 1.0
        rows = "".join(
            f'<li class="pp-bar pp-pick{" pp-win" if i == 0 else ""}">'
            + action(
                "pick",
                f"{number}|{fill.token}",
                f'<span class="pp-name">{esc(fill.token)}</span>'
                f'<span class="pp-track" aria-hidden="true">'
                f'<span class="pp-fill" style="{width(fill.probability / best)}"></span></span>'
                f'<span class="pp-number">{percent(fill.probability)}</span>',
                title=f"{verb} {fill.token} (logit {fill.logit:.2f})",
            )
            + "</li>"
            for i, fill in enumerate(fills)
        )
        title = "Predictions" if len(masks) == 1 else f"Predictions for mask {number + 1}"
        panels.append(f'<h2>{title}</h2><ul class="pp-bars">{rows}</ul>')
    if panels:
        panels.append('<p class="pp-legend">Bars are drawn relative to the best prediction.</p>')
    best_words = ", ".join(
        f"{f.token} {percent(f.probability)}" for f in (masks[0][:3] if masks else ())
    )
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(best_words)}">'
        f"{word_buttons(text)}{''.join(panels)}</div>"
    )


def word_buttons(text: str) -> str:
    """Return a text whose words are buttons that turn them into the mask."""
    parts, position = [], 0
    for match in _WORD.finditer(_marks_as_letters(text)):
        parts.append(esc(text[position : match.start()]))
        word = text[match.start() : match.end()]
        if word in ("{mask}", "[MASK]", "<mask>"):
            parts.append('<mark class="pp-mask">[MASK]</mark>')
        else:
            parts.append(
                action(
                    "mask",
                    f"{match.start()}|{match.end()}",
                    esc(word),
                    title=f"Mask {word}",
                    classes="pp-token",
                )
            )
        position = match.end()
    parts.append(esc(text[position:]))
    return f'<p class="pp-prompt pp-words">{"".join(parts)}</p>'


def _marks_as_letters(text: str) -> str:
    """Return text of the same length in which a combining mark counts to the letter before it."""
    letters: list[str] = []
    for sign in text:
        joins = unicodedata.category(sign)[0] == "M" and letters and letters[-1].isalnum()
        letters.append("a" if joins else sign)
    return "".join(letters)


def svg(
    labels: Sequence[str],
    shares: Sequence[float],
    title: str,
    prior: Sequence[float] | None = None,
) -> str:
    """Return score bars as a self-contained SVG picture, 640 units wide."""
    line, left, right = 34, 170, 80
    height = 56 + line * len(labels) + 30
    track = 640 - left - right
    best = list(shares).index(max(shares))
    rows = []
    for i, (label, share) in enumerate(zip(labels, shares, strict=True)):
        y = 52 + i * line
        color = "#0072B2" if i == best else "#8a8f98"
        rows.append(
            f'<text x="{left - 12}" y="{y + 17}" text-anchor="end">{_xml(label[:24])}</text>'
            f'<rect x="{left}" y="{y}" width="{track}" height="24" rx="4" fill="#eceef1"/>'
            f'<rect x="{left}" y="{y}" width="{track * share:.1f}" height="24" rx="4" fill="{color}"/>'
        )
        if prior is not None:
            x = left + track * prior[i] - 1.5
            rows.append(f'<rect x="{x:.1f}" y="{y - 3}" width="3" height="30" fill="#222"/>')
        rows.append(f'<text x="{640 - right + 10}" y="{y + 17}">{percent(share)}</text>')
    line_of_words = " ".join(title.split())
    words = line_of_words if len(line_of_words) <= 80 else line_of_words[:79] + "…"
    legend = "bar: score" if prior is None else "bar: score · dark line: content-free prior"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" width="640" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="14" fill="#222">'
        f'<rect width="640" height="{height}" fill="#fff"/>'
        f'<text x="16" y="30" font-weight="600">{_xml(words)}</text>{"".join(rows)}'
        f'<text x="16" y="{height - 12}" font-size="12" fill="#555">{legend} · Prompt Playground'
        "</text></svg>"
    )


def _xml(text: str) -> str:
    legal = "".join(
        c
        if c == "\t" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
        else "\ufffd"
        for c in text
    )
    return legal.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
