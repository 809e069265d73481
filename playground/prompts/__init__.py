"""Templates, verbalizers and prompt cards. Nothing here imports torch."""

from playground.prompts.prompt import Prompt
from playground.prompts.rules import AnyPrompt, RulePrompt, SubPrompt, load_prompt, prompt_from_json
from playground.prompts.scoring_options import AGGREGATIONS, CALIBRATIONS, ScoringOptions
from playground.prompts.template import Segment, Template
from playground.prompts.verbalizer import LabelWord, Verbalizer

__all__ = [
    "AGGREGATIONS",
    "CALIBRATIONS",
    "AnyPrompt",
    "LabelWord",
    "Prompt",
    "RulePrompt",
    "ScoringOptions",
    "Segment",
    "SubPrompt",
    "Template",
    "Verbalizer",
    "load_prompt",
    "prompt_from_json",
]
