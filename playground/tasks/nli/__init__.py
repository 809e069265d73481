"""Natural language inference: pairs, a classifier that is trained on them, and how good it is."""

from playground.tasks.nli.classifier import NliClassifier, NliScorer
from playground.tasks.nli.pairs import LABELS, Pairs, read_pairs

__all__ = ["LABELS", "NliClassifier", "NliScorer", "Pairs", "read_pairs"]
