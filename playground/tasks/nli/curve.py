"""Loss and accuracy while a classifier is trained, as data and as a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Point:
    """One moment: its step and epoch, and what was measured then (None for what was not).

    loss: mean training loss since the point before, in nats. dev_loss and dev_accuracy: on the whole
    dev set.
    """

    step: int
    epoch: float
    loss: float | None = None
    learning_rate: float | None = None
    dev_loss: float | None = None
    dev_accuracy: float | None = None


@dataclass(frozen=True)
class Curve:
    """The points of a run in order, and the step whose weights were kept."""

    points: tuple[Point, ...]
    best_step: int

    def save(self, path: Path) -> None:
        """Write the curve as JSON."""
        data = {
            "best_step": self.best_step,
            "points": [
                {key: value for key, value in asdict(point).items() if value is not None}
                for point in self.points
            ],
        }
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Curve:
        """Return a curve that :meth:`save` wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(Point(**point) for point in data["points"]), data["best_step"])

    def draw(self, path: Path) -> None:
        """Draw training and dev loss, and dev accuracy beside them, as an SVG picture."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.2), layout="constrained")
        losses, shares = figure.subplots(1, 2)
        seen = [point for point in self.points if point.loss is not None]
        looked = [point for point in self.points if point.dev_accuracy is not None]
        losses.plot([p.epoch for p in seen], [p.loss for p in seen], color="#8a8f98", label="train")
        losses.plot(
            [p.epoch for p in looked],
            [p.dev_loss for p in looked],
            "o-",
            color="#D55E00",
            label="dev",
        )
        losses.set(xlabel="epoch", ylabel="loss, nats")
        losses.legend(frameon=False)
        shares.plot(
            [p.epoch for p in looked],
            [100 * (p.dev_accuracy or 0) for p in looked],
            "o-",
            color="#0072B2",
        )
        for point in looked:
            if point.step == self.best_step:
                shares.annotate(
                    f"{point.dev_accuracy:.1%}",
                    (point.epoch, 100 * (point.dev_accuracy or 0)),
                    xytext=(0, -14),
                    textcoords="offset points",
                    ha="center",
                )
        shares.set(xlabel="epoch", ylabel="dev accuracy, %")
        for axes in (losses, shares):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#8a8f98", alpha=0.25)
        FigureCanvasSVG(figure).print_svg(path)
