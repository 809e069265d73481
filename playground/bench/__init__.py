"""Measurements as commands: speed against what people use, quality on labelled data, NLI, the app, a class in it.

They print tables and test nothing: times depend on the machine, ratios within one run much less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from playground.errors import PlaygroundError, shorten

if TYPE_CHECKING:
    from playground.bench.report import Report

KINDS = ("speed", "quality", "nli", "pretrain", "app", "load")


def measure(
    what: str = "speed",
    *,
    model: str | None = None,
    data: str | None = None,
    rows: int | None = None,
    texts: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> Report:
    """Run one kind of measurement and return its tables; ``say`` is told what is going on.

    data: the folder of labelled sets, rows: the most rows of each set, and texts: files of plain texts,
    all for "quality".
    """
    tell = say or (lambda sentence: None)
    if what not in KINDS:
        raise PlaygroundError(
            f"There is no measurement {shorten(what)}; choose {', '.join(KINDS[:-1])} or {KINDS[-1]}."
        )
    if what != "quality" and (data or rows or texts):
        raise PlaygroundError(
            f"--data, --rows and --texts belong to bench quality, not to bench {what}."
        )
    if what == "quality":
        from playground.bench.quality import measure_quality

        return measure_quality(model=model, data=data, rows=rows, texts=texts, say=tell)
    if what == "nli":
        from playground.bench.nli import measure_nli

        return measure_nli(model=model, say=tell)
    if what == "pretrain":
        from playground.bench.pretraining import measure_pretraining

        return measure_pretraining(model=model, say=tell)
    if what == "app":
        from playground.bench.app import measure_app

        return measure_app(model=model, say=tell)
    if what == "load":
        from playground.bench.load import measure_load

        return measure_load(model=model, say=tell)
    from playground.bench.speed import measure_speed

    return measure_speed(model=model, say=tell)
