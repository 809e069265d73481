"""Templates, verbalizers and prompt cards. Nothing here imports torch."""

from playground.prompts.prompt import Prompt
from playground.prompts.scoring_options import AGGREGATIONS, CALIBRATIONS, ScoringOptions
from playground.prompts.template import Segment, Template
from playground.prompts.verbalizer import LabelWord, Verbalizer

__all__ = [
    "AGGREGATIONS",
    "CALIBRATIONS",
    "LabelWord",
    "Prompt",
    "ScoringOptions",
    "Segment",
    "Template",
    "Verbalizer",
]
