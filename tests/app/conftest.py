"""A result made by hand, and one of the shipped model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from playground.engine import Explanation, Fill, WordScore
from playground.prompts import Segment
from tests.app.driver import arrive, browser, desk, truth, visitor  # noqa: F401
from tests.app.serving import site  # noqa: F401

Made = Callable[..., Explanation]


@pytest.fixture
def made() -> Made:
    """Return a builder of a result: two labels, three words, one of them split."""

    def make(**changes: object) -> Explanation:
        values = {
            "labels": ("good", "bad"),
            "probabilities": np.array([0.25, 0.75]),
            "uncalibrated": np.array([0.6, 0.4]),
            "prior": np.array([0.9, 0.1]),
            "words": (
                WordScore("fine", "good", 1.0, ("fine",), np.log(0.08), 3),
                WordScore("uplifting", "good", 0.5, ("up", "##lifting"), np.log(0.02), None, ("nice", "warm")),
                WordScore("awful", "bad", 1.0, ("awful",), np.log(0.04), 12345),
            ),
            "mass": 0.14,
            "top": (Fill("so", 7.5, 0.5), Fill("fine", 5.0, 0.08)),
            "segments": (
                Segment("field", "A film", "text"),
                Segment("literal", " was "),
                Segment("mask", "[MASK]"),
                Segment("literal", "."),
            ),
            "tokens": 9,
            "max_tokens": 128,
            "dropped": 0,
        }  # fmt: skip
        return Explanation(**(values | changes))  # type: ignore[arg-type]

    return make
