"""The breakage lab: a classic mistake and the right way, tuned side by side on the same rows.

Both ways have the same draw of rows, the same order of batches and the same dropout; only the mistake
differs. What it does is measured on the untuned model first, as facts, then as two runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from playground.engine import Prompting
from playground.engine.backbone import Backbone
from playground.engine.encoding import Encoded, Encoder
from playground.engine.tuning.loop import Step, cross_entropy
from playground.engine.tuning.network import Network
from playground.engine.tuning.recipe import Recipe
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows, Result, versus
from playground.tasks.metrics import measure
from playground.tasks.tuning import mistake_facts as facts
from playground.tasks.tuning.broken import (
    CutNetwork,
    LabTuner,
    MakeNetwork,
    Objective,
    PaddingNetwork,
    RoomNetwork,
    WordNetwork,
    double_softmax,
)
from playground.tasks.tuning.mistake_facts import Facts
from playground.tasks.tuning.shots import Draw, as_shots

_ROWS_AT_ONCE = 16
_HASTY = 1e-3
_LOOK = 5  # steps between two looks at the dev rows


@dataclass(frozen=True)
class Mistake:
    """A classic mistake: what the code does, and why that hurts, for people."""

    name: str
    title: str
    what: str
    why: str
    code: str


MISTAKES = {
    one.name: one
    for one in (
        Mistake(
            "double-softmax",
            "Softmax before cross-entropy",
            "The label probabilities go into a cross-entropy that takes logits, so that a softmax is taken "
            "of a softmax.",
            "Probabilities lie between 0 and 1, so the second softmax can never be sure: with two labels the "
            "loss of a perfect answer is 0.313, not 0. The gradient passes through both, and where the model "
            "is confidently wrong the first is flat: the rows that should teach most teach least. Adam "
            "rescales its steps, so that training still moves and the accuracy may not show it; but it heeds "
            "the rows in the wrong measure.",
            "F.cross_entropy(label_probabilities, labels)",
        ),
        Mistake(
            "learning-rate",
            "A learning rate of 1e-3 on all weights",
            "All weights learn with the learning rate that suits a new head, twenty times the usual 5e-5.",
            "A step of Adam moves a weight by about the learning rate, however small the gradient. At 1e-3 the "
            "rows at hand are known by heart within a few steps, and what pretraining had put into the "
            "weights, the reason to prompt at all, is written over. 1e-3 and more is for what is small or "
            "begins at nothing: heads, soft tokens, LoRA.",
            "AdamW(model.parameters(), lr=1e-3)",
        ),
        Mistake(
            "mask-cut-off",
            "The mask cut off",
            "The filled prompt is cut at its end to what the model reads, and the mask is searched in what is "
            "left.",
            "The template's words and the mask stand behind the text, so a long text pushes them out. Then "
            "the search finds nothing, and its answer, 0, is taken for a place: the model is asked what it "
            "expects at [CLS]. No error says so, and tuning hides it, since [CLS] can be taught too; what is lost "
            "is what the model knew before. Only the text may be cut, never the template.",
            "ids = tokenizer(filled, truncation=True).input_ids; at = (ids == mask_id).argmax()",
        ),
        Mistake(
            "label-word",
            "A label word encoded out of its place",
            "A label word is looked up alone, not as it stands at the mask: without its space where pieces "
            "carry one, or with a capital that the vocabulary does not hold.",
            "A byte-level vocabulary has two pieces, “great” and “ great”, and only the second stands behind a "
            "space; alone the word is another piece or the first of several. A lower-case WordPiece "
            "vocabulary looked up past its tokenizer knows no “Great” at all: every such word is the unknown "
            "piece, and labels that read the same piece cannot differ.",
            "tokenizer.convert_tokens_to_ids(word)",
        ),
        Mistake(
            "attention-mask",
            "No attention mask",
            "Rows of a batch are filled up to the longest one, and the model is not told which tokens are "
            "filling.",
            "Each row then reads its padding as text, and as much of it as its longest neighbour asks for: "
            "the same text scores differently in another batch, and alone again differently.",
            "model(input_ids=ids)  # and no attention_mask=",
        ),
    )
}


@dataclass(frozen=True)
class Trial:
    """How far both ways are: steps done, facts, and what the held-out rows say at the end.

    room: tokens that both may read, where the lab shortens them to show the mistake. before, after: what
    the right and the wrong way give on the held-out rows, each read as it is tuned; None until measured.
    """

    mistake: Mistake
    total: int
    train_rows: int
    gold: np.ndarray
    facts: Facts
    right: tuple[Step, ...] = ()
    wrong: tuple[Step, ...] = ()
    before: tuple[Result, Result] | None = None
    after: tuple[Result, Result] | None = None
    room: int | None = None

    @property
    def outcome(self) -> str:
        """What came out, in a sentence; empty until it is measured."""
        if self.before is None or self.after is None:
            return ""
        (first, second), (third, fourth) = (
            [f"{one.metrics.accuracy:.1%}" for one in pair] for pair in (self.before, self.after)
        )
        found = versus(*self.after, self.gold)
        said = "which is no chance" if found.real else "which the rows do not tell apart"
        return (
            f"On {len(self.gold):,} other rows the right way goes from {first} to {third} and the wrong one "
            f"from {second} to {fourth} ({said}, p = {found.p_value:.2g})."
        )


def side_by_side(
    prompting: Prompting,
    prompt: Prompt,
    draw: Draw,
    held_out: LabelledRows,
    name: str,
    *,
    steps: int = 40,
    batch_size: int = 8,
) -> Iterator[Trial]:
    """Yield how far the right way and the mistake ``name`` are, step by step; at the end, measured.

    Nothing of the prompting's model changes, and closing the generator ends both. Raises PlaygroundError
    for an unknown mistake, and for one that the model, the prompt or the rows cannot show.
    """
    if name not in MISTAKES:
        raise PlaygroundError(
            f"There is no mistake {shorten(name)}; choose one of {', '.join(MISTAKES)}."
        )
    setup = _setup(prompting.backbone, prompt, draw, name)
    recipe = Recipe(
        method="whole", steps=steps, batch_size=batch_size, evaluate_every=_LOOK, seed=draw.seed
    )
    hasty = replace(recipe, learning_rate=_HASTY) if name == "learning-rate" else recipe
    train = as_shots(draw.train)
    dev = as_shots(draw.dev) if draw.dev is not None else None
    right, wrong = (
        LabTuner(
            prompting.backbone, prompt, train, dev,
            recipe=own, network=network, objective=objective,
        )
        for own, network, objective in (
            (recipe, setup.right, cross_entropy),
            (hasty, setup.wrong, setup.objective),
        )
    )  # fmt: skip
    trial = Trial(
        MISTAKES[name], steps, len(train), held_out.gold, setup.facts(right, wrong), room=setup.room
    )
    yield trial
    trial = replace(trial, before=_both(right, wrong, held_out))
    for one, other in zip(right.run(), wrong.run(), strict=True):
        trial = replace(trial, right=(*trial.right, one), wrong=(*trial.wrong, other))
        yield trial
    if name == "learning-rate":
        trial = replace(trial, facts=facts.moved(right, wrong))
    yield replace(trial, after=_both(right, wrong, held_out))


@dataclass(frozen=True)
class _Setup:
    """What both ways read with, the wrong way's loss, and what is measured before they start."""

    facts: Callable[[LabTuner, LabTuner], Facts]
    right: MakeNetwork = Network
    wrong: MakeNetwork = Network
    objective: Objective = cross_entropy
    room: int | None = None


def _setup(backbone: Backbone, prompt: Prompt, draw: Draw, name: str) -> _Setup:
    if name == "double-softmax":
        return _Setup(facts.gradients, objective=double_softmax)
    if name == "learning-rate":
        return _Setup(lambda right, wrong: Facts())
    if name == "mask-cut-off":
        room = _room(backbone, prompt, draw)
        shown = room if room < backbone.encoder.max_tokens else None
        return _Setup(
            partial(facts.cut, draw.train),
            partial(RoomNetwork, room=room),
            partial(CutNetwork, room=room),
            room=shown,
        )
    if name == "label-word":
        return _Setup(partial(facts.words, backbone, prompt), wrong=WordNetwork)
    return _Setup(partial(facts.padding, draw.train), wrong=PaddingNetwork)


def _room(backbone: Backbone, prompt: Prompt, draw: Draw) -> int:
    """Return how many tokens both may read: the model's own, or fewer, so that half the rows are cut.

    Raises PlaygroundError where the mask stands before the text and is never cut off.
    """
    encoder = Encoder(backbone.tokenizer, 1 << 20)
    whole = [encoder.encode_one(prompt.template.render(row)) for row in draw.train.rows]
    lengths = sorted(map(len, whole))
    own = backbone.encoder.max_tokens
    room = own if lengths[-1] > own else lengths[len(lengths) // 2] - 1
    bare = encoder.encode_one(prompt.template.render(dict.fromkeys(prompt.template.fields, "")))
    room = max(room, len(bare) + 1)
    if not any(len(one) > room and one.mask_positions[0] >= room - 1 for one in whole):
        raise PlaygroundError(
            "The mask stands where no text pushes it out; take a template with the mask behind the text, "
            "or longer texts, to see it cut off."
        )
    return room


def _both(right: LabTuner, wrong: LabTuner, held_out: LabelledRows) -> tuple[Result, Result]:
    return _measured(right, held_out, "right"), _measured(wrong, held_out, "wrong")


def _measured(tuner: LabTuner, held_out: LabelledRows, name: str) -> Result:
    """Return what the weights as they are give on the held-out rows, read by the tuner's own network.

    Batches are those of the order given, so that a mistake with padding shows as it would.
    """
    network = tuner.network
    network.train(False)
    prompts: list[Encoded] = network.encode(held_out.rows, "rows held out")
    found = []
    with torch.no_grad():
        for start in range(0, len(prompts), _ROWS_AT_ONCE):
            found.append(network.log_probs(prompts[start : start + _ROWS_AT_ONCE]))
    shares = np.exp(torch.cat(found).double().numpy())  # (N, C)
    return Result(name, shares, measure(shares, held_out.gold))
