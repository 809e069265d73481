"""Plotly figures, for what is looked at closely and not while typing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from playground.engine import Explanation
from playground.tasks.entities import TypedSpans, words

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from playground.tasks.training.curve import Curve

CLASS_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a8f98")


def word_chart(found: Explanation, title: str) -> go.Figure:
    """Return the probability of every label word on a logarithmic axis, a colour a label.

    Its paper is transparent and its text mid-grey, so that it reads in light and in dark.
    """
    import plotly.graph_objects as go  # a second of import that most visitors never need

    figure = go.Figure()
    for i, label in enumerate(found.labels):
        words = sorted((w for w in found.words if w.label == label), key=lambda w: w.log_prob)
        figure.add_bar(
            x=[math.exp(word.log_prob) for word in words],
            y=[_plain(word.text) for word in words],
            name=_plain(label),
            orientation="h",
            marker_color=CLASS_COLORS[i % len(CLASS_COLORS)],
            hovertemplate=f"%{{y}}: %{{x:.3%}}<extra>{_plain(label)}</extra>",
        )
    figure.update_layout(
        height=max(260, 24 * len(found.words) + 140),
        margin={"l": 10, "r": 10, "t": 70, "b": 40},
        title={"text": _plain(title), "font": {"size": 13}, "x": 0.02, "y": 0.98},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7a828e"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        bargap=0.25,
    )
    figure.update_xaxes(
        type="log",
        title="probability at the mask",
        tickvals=[10.0**-power for power in range(13)],
        ticktext=[f"{10.0 ** (2 - power):g} %" for power in range(13)],
        gridcolor="rgba(128,128,128,.3)",
    )
    figure.update_yaxes(automargin=True, type="category")  # the words "1" and "2" are no numbers
    return figure


def training_curve(curve: Curve) -> go.Figure:
    """Return training and dev loss on the left axis and dev accuracy on the right, by epoch."""
    import plotly.graph_objects as go

    seen = [point for point in curve.points if point.loss is not None]
    looked = [point for point in curve.points if point.dev_score is not None]
    figure = go.Figure()
    figure.add_scatter(
        x=[p.epoch for p in seen], y=[p.loss for p in seen], name="training loss",
        line={"color": "#8a8f98"},
    )  # fmt: skip
    figure.add_scatter(
        x=[p.epoch for p in looked], y=[p.dev_loss for p in looked], name="dev loss",
        mode="lines+markers", line={"color": "#D55E00"},
    )  # fmt: skip
    figure.add_scatter(
        x=[p.epoch for p in looked], y=[p.dev_score for p in looked], name="dev accuracy",
        mode="lines+markers", line={"color": "#0072B2"}, yaxis="y2",
    )  # fmt: skip
    figure.update_layout(
        height=300,
        margin={"l": 10, "r": 10, "t": 30, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7a828e"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        yaxis={"title": "loss, nats", "gridcolor": "rgba(128,128,128,.3)"},
        yaxis2={
            "title": "accuracy",
            "overlaying": "y",
            "side": "right",
            "tickformat": ".0%",
            "showgrid": False,
        },
    )
    figure.update_xaxes(title="epoch", gridcolor="rgba(128,128,128,.3)")
    return figure


def span_lattice(typed: TypedSpans) -> go.Figure:
    """Return every candidate span as a cell: its first word across, its number of words up.

    The colour is the margin of its best type over none, grey at none, and the cell names that type.
    """
    import plotly.graph_objects as go

    cut = words(typed.text)
    first = {word.start: k for k, word in enumerate(cut)}
    last = {word.end: k for k, word in enumerate(cut)}
    cells: dict[tuple[int, int], tuple[float, str, str]] = {}
    for place, span in enumerate(typed.spans):
        if span.start in first and span.end in last:
            label, margin = typed.best(place)
            length = last[span.end] - first[span.start] + 1
            cells[length, first[span.start]] = (margin, label, typed.words(place))
    longest = max((length for length, _ in cells), default=1)
    columns, rows = range(len(cut)), range(1, longest + 1)
    grid = [[cells.get((length, k)) for k in columns] for length in rows]
    figure = go.Figure(
        go.Heatmap(
            z=[[cell and cell[0] for cell in row] for row in grid],
            text=[[_plain(cell[1], 12) if cell else "" for cell in row] for row in grid],
            customdata=[[_plain(cell[2]) if cell else "" for cell in row] for row in grid],
            x=list(columns),
            y=list(rows),
            texttemplate="%{text}" if len(cut) <= 12 else None,
            hovertemplate="%{customdata}: %{text}, %{z:+.2f} over none<extra></extra>",
            colorscale=[[0, "#b35806"], [0.5, "#d8dce3"], [1, "#0072B2"]],
            zmid=0,
            xgap=1,
            ygap=1,
            colorbar={"title": "over none", "thickness": 12},
        )
    )
    figure.update_layout(
        height=150 + 42 * longest,
        margin={"l": 10, "r": 10, "t": 20, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7a828e"},
    )
    shown = [_plain(typed.text[word.start : word.end], 14) for word in cut]
    figure.update_xaxes(tickvals=list(columns), ticktext=shown, tickangle=-40, showgrid=False)
    figure.update_yaxes(title="words", dtick=1, showgrid=False, automargin=True)
    return figure


def _plain(text: str, limit: int = 80) -> str:
    """Return text that Plotly draws as it is: it would read tags and %{...} otherwise."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
