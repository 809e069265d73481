"""Heads on a pretrained encoder: a label, a number, a tag for each word, an answer in a text."""

from playground.tasks.heads.predicting import Finetuned
from playground.tasks.heads.rows import KINDS, Examples, read_examples, split_off
from playground.tasks.heads.training import Finished, finetune

__all__ = ["KINDS", "Examples", "Finetuned", "Finished", "finetune", "read_examples", "split_off"]
