"""The engine: a masked LM, prompts filled and scored. Nothing here imports Gradio."""

from playground.engine.backbone import Backbone
from playground.engine.prompting import Prompting
from playground.engine.results import Explanation, Fill, RowScore, Scores, WordScore

__all__ = ["Backbone", "Explanation", "Fill", "Prompting", "RowScore", "Scores", "WordScore"]
