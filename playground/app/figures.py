"""Plotly figures, for what is looked at closely and not while typing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from playground.engine import Explanation

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from playground.tasks.nli.curve import Curve

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
    looked = [point for point in curve.points if point.dev_accuracy is not None]
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
        x=[p.epoch for p in looked], y=[p.dev_accuracy for p in looked], name="dev accuracy",
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


def _plain(text: str, limit: int = 80) -> str:
    """Return text that Plotly draws as it is: it would read tags and %{...} otherwise."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
