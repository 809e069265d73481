"""A small time-lapse made by hand: three checkpoints and two sentences."""

from __future__ import annotations

from playground.tasks.pretraining.timelapse import Checkpoint, CurvePoint, Probe, Timelapse

TEXTS = ("Paris is the capital of [MASK].", "The [MASK] is <b>hot</b> & ${x}.")


def small() -> Timelapse:
    """Return a time-lapse in which the first sentence's answer grows, and the second's changes."""
    return Timelapse(
        curve=(
            CurvePoint(100, 25_600, 7.5, 0.0002),
            CurvePoint(200, 51_200, 5.25, 0.0004),
            CurvePoint(400, 102_400, 3.5, 0.0),
        ),
        checkpoints=(
            Checkpoint(0, 0, 0.0, {"films": 9.0, "facts": 8.0}, 8.5),
            Checkpoint(200, 51_200, 60.5, {"films": 6.0, "facts": 5.0}, 5.5),
            Checkpoint(400, 102_400, 121.0, {"films": 3.0, "facts": 2.0}, 2.5),
        ),
        probes=(
            Probe(TEXTS[0], ((("the", 0.05), (".", 0.04)), (("the", 0.2), ("france", 0.125)), (("france", 0.75), ("paris", 0.2)))),
            Probe(TEXTS[1], ((("a", 0.01),), (("sun", 0.5), ("day", 0.25)), (("<i>", 0.6), ("##s", 0.00001)))),
        ),
    )  # fmt: skip
