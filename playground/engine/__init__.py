"""The engine: a masked LM, prompts filled and scored. Nothing here imports Gradio."""

from playground.engine.backbone import Backbone
from playground.engine.prompting import Prompting
from playground.engine.results import (
    AttentionMap,
    Explanation,
    Fill,
    LayerView,
    RowScore,
    Scores,
    WordScore,
)

__all__ = [
    "AttentionMap",
    "Backbone",
    "Explanation",
    "Fill",
    "LayerView",
    "Prompting",
    "RowScore",
    "Scores",
    "WordScore",
]
