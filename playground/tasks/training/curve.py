"""Loss and score while a model is trained, as data and as a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Metric:
    """What is measured on the dev set; the higher, the better.

    name: as in files, such as "macro_f1". share: from 0 to 1 and shown in percent, else a number.
    loss: what the loss is, with its unit.
    """

    name: str = "accuracy"
    share: bool = True
    loss: str = "loss, nats"

    @property
    def title(self) -> str:
        """The name as a sentence has it."""
        return self.name.replace("_", " ")

    def show(self, value: float) -> str:
        """Return a value as a sentence has it."""
        return f"{value:.1%}" if self.share else f"{value:.3f}"


ACCURACY = Metric()


@dataclass(frozen=True)
class Point:
    """One moment: its step and epoch, and what was measured then (None for what was not).

    loss: mean training loss since the point before. dev_loss and dev_score: on the whole dev set, the
    score in the curve's metric.
    """

    step: int
    epoch: float
    loss: float | None = None
    learning_rate: float | None = None
    dev_loss: float | None = None
    dev_score: float | None = None


@dataclass(frozen=True)
class Curve:
    """The points of a run in order, the step whose weights were kept, and what the score is."""

    points: tuple[Point, ...]
    best_step: int
    metric: Metric = ACCURACY

    def save(self, path: Path) -> None:
        """Write the curve as JSON; the score's key is "dev_" and the name of the metric."""
        data: dict[str, Any] = {"best_step": self.best_step}
        if self.metric != ACCURACY:
            data["metric"] = asdict(self.metric)
        names = {"dev_score": f"dev_{self.metric.name}"}
        data["points"] = [
            {
                names.get(key, key): value
                for key, value in asdict(point).items()
                if value is not None
            }
            for point in self.points
        ]
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Curve:
        """Return a curve that :meth:`save` wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        rows, metric = data["points"], Metric(**data.get("metric", {}))
        names = {f"dev_{metric.name}": "dev_score"}
        points = [{names.get(key, key): row[key] for key in row} for row in rows]
        return cls(tuple(Point(**point) for point in points), data["best_step"], metric)

    def draw(self, path: Path) -> None:
        """Draw training and dev loss, and the dev score beside them, as an SVG picture."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.2), layout="constrained")
        losses, scores = figure.subplots(1, 2)
        seen = [point for point in self.points if point.loss is not None]
        looked = [point for point in self.points if point.dev_score is not None]
        times = 100 if self.metric.share else 1
        losses.plot([p.epoch for p in seen], [p.loss for p in seen], color="#8a8f98", label="train")
        losses.plot(
            [p.epoch for p in looked],
            [p.dev_loss for p in looked],
            "o-",
            color="#D55E00",
            label="dev",
        )
        losses.set(xlabel="epoch", ylabel=self.metric.loss)
        losses.legend(frameon=False)
        scores.plot(
            [p.epoch for p in looked],
            [times * (p.dev_score or 0) for p in looked],
            "o-",
            color="#0072B2",
        )
        for point in looked:
            if point.step == self.best_step:
                scores.annotate(
                    self.metric.show(point.dev_score or 0),
                    (point.epoch, times * (point.dev_score or 0)),
                    xytext=(0, -14),
                    textcoords="offset points",
                    ha="center",
                )
        scores.set(xlabel="epoch", ylabel=f"dev {self.metric.title}{', %' * self.metric.share}")
        for axes in (losses, scores):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#8a8f98", alpha=0.25)
        FigureCanvasSVG(figure).print_svg(path)
