"""The frame of a training as SVG: loss above, accuracy on the dev rows below, over the same steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from playground.app.markup import Place

LEFT, RIGHT = 62, 12  # margins
LOSS, SHARE = (20, 140), (176, 296)  # top and bottom of the two pictures
HIGH = 336


@dataclass(frozen=True)
class StepsPlot:
    """A frame of ``wide`` user units for ``total`` steps and losses of up to ``top`` nats."""

    wide: int
    total: int
    top: float

    @property
    def view_box(self) -> str:
        return f"0 0 {self.wide} {HIGH}"

    def losses(self, seen: Iterable[tuple[int, float]]) -> list[Place]:
        """Return where losses stand, in nats by step."""
        return [self._place(step, loss / self.top, LOSS) for step, loss in seen]

    def shares(self, seen: Iterable[tuple[int, float]]) -> list[Place]:
        """Return where accuracies stand, from 0 to 1 by step."""
        return [self._place(step, share, SHARE) for step, share in seen]

    def across(self, kind: str, y: float) -> str:
        """Return a level line from side to side."""
        return (
            f'<line class="{kind}" x1="{LEFT}" x2="{self.wide - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )

    def note(self, text: str) -> str:
        """Return a remark in the midst of the picture of the accuracy."""
        return self._under(text, (SHARE[0] + SHARE[1]) / 2 + 5)

    def frame(self, loss: str, share: str) -> str:
        """Return grid, axes and their names."""
        parts = []
        for area, name, most in ((LOSS, loss, self.top), (SHARE, share, None)):
            for k in range(5):
                _, y = self._place(0, k / 4, area)
                said = f"{25 * k} %" if most is None else f"{most * k / 4:.3g}"
                parts.append(
                    self.across("pp-grid-line", y)
                    + f'<text x="{LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{said}</text>'
                )
            parts.append(
                f'<text class="pp-axis" x="{self.wide - RIGHT}" y="{area[0] - 5}" '
                f'text-anchor="end">{name}</text>'
            )
        for k in range(5):
            step = round(self.total * k / 4)
            x, _ = self._place(step, 0, SHARE)
            anchor = "end" if k == 4 else "middle"
            parts.append(
                f'<text x="{x:.1f}" y="{SHARE[1] + 18}" text-anchor="{anchor}">{step}</text>'
            )
        return "".join([*parts, self._under("step", HIGH - 4)])

    def _place(self, step: int, share: float, area: tuple[int, int]) -> Place:
        x = LEFT + step / max(1, self.total) * (self.wide - LEFT - RIGHT)
        return x, area[1] - min(1.0, max(0.0, share)) * (area[1] - area[0])

    def _under(self, text: str, y: float) -> str:
        middle = (LEFT + self.wide - RIGHT) / 2
        return f'<text x="{middle}" y="{y}" text-anchor="middle">{text}</text>'


def loss_axis(losses: Iterable[float], guess: float) -> float:
    """Return the top of an axis that holds ``losses`` and ``guess``; it moves in halves only."""
    return math.ceil(2 * max([guess, *losses])) / 2
