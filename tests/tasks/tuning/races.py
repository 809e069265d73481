"""A small race written by hand, for tests of what reads and shows one."""

from __future__ import annotations

from playground.tasks.tuning.race import Race, Run, Untuned

ACCURACIES = {("whole", 4): (0.5, 0.7), ("whole", 16): (0.8, 0.9), ("cls", 16): (0.4, 0.61)}


def small(**changes) -> Race:
    """Return two methods at up to two numbers of shots, two seeds each; zero-shot gets 0.6."""
    runs = tuple(
        Run(method, shots, seed, accuracy, accuracy - 0.1, 0.75, 10, 1_000, 4_096, 2.5)
        for (method, shots), own in ACCURACIES.items()
        for seed, accuracy in enumerate(own)
    )
    given = {
        "data": "reviews",
        "model": "tiny",
        "revision": "0" * 64,
        "template": "{text} It was {mask}.",
        "labels": ("positive", "negative"),
        "rows": 100,
        "majority": 0.55,
        "random": 0.5,
        "steps": 20,
        "untuned": (
            Untuned("zero-shot", 0.58, 0.5, 0.67, 0.57),
            Untuned("zero-shot, calibrated", 0.6, 0.52, 0.69, 0.59),
        ),
        "runs": runs,
    }
    return Race(**given | changes)
