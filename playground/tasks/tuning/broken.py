"""Networks and losses with one classic mistake each, for the breakage lab alone.

They stand beside the engine and change nothing of it: each overrides the one step that it gets wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedTokenizerBase

from playground.engine.backbone import Backbone
from playground.engine.encoding import Batch, Encoded, Encoder
from playground.engine.label_words import Vocabulary, text_before_mask
from playground.engine.tuning.loop import Shots, Tuner, cross_entropy
from playground.engine.tuning.network import Network
from playground.engine.tuning.recipe import Recipe
from playground.prompts import Prompt
from playground.prompts.template import Row

Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
MakeNetwork = Callable[[Backbone, Prompt, Recipe], Network]
_WHOLE = 1 << 20  # more tokens than any text has


class LabTuner(Tuner):
    """A tuner whose network and loss are given, so that a mistake can be put into either."""

    def __init__(
        self,
        backbone: Backbone,
        prompt: Prompt,
        train: Shots,
        dev: Shots | None = None,
        *,
        recipe: Recipe,
        network: MakeNetwork = Network,
        objective: Objective = cross_entropy,
    ) -> None:
        self._make, self._objective = network, objective
        super().__init__(backbone, prompt, train, dev, recipe=recipe)
        self.start = {n: w.detach().clone() for n, w in self.network.tuned.items()}

    @property
    def rows(self) -> list[Encoded]:
        """The rows to train on, as this way reads them."""
        return self._train

    @property
    def targets(self) -> torch.Tensor:
        """What is right of each, (N, C)."""
        return self._targets

    def make_network(self, backbone: Backbone, prompt: Prompt, recipe: Recipe) -> Network:
        return self._make(backbone, prompt, recipe)

    def objective(self, log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self._objective(log_probs, targets)

    def log_probs_of(self, place: int, beside: int | None = None) -> torch.Tensor:
        """Return log P of one row to train on, (C,); ``beside``: in a batch with that row. No dropout."""
        self.network.train(False)
        own = [self._train[place], *([] if beside is None else [self._train[beside]])]
        with torch.no_grad():
            return self.network.log_probs(own)[0]

    def gradient_norm(self, place: int, objective: Objective) -> float:
        """Return the norm of a loss's gradient at one row, over all that is tuned. No dropout."""
        self.network.train()
        self.network.model.eval()
        loss = objective(self.network.log_probs([self._train[place]]), self._targets[[place]])
        found = torch.autograd.grad(loss, list(self.network.tuned.values()), allow_unused=True)
        return math.sqrt(sum(float(g.double().square().sum()) for g in found if g is not None))


def double_softmax(log_probs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of probabilities that are taken for logits: a softmax of a softmax."""
    return cross_entropy(log_probs.exp().log_softmax(-1), targets)


def loss_floor(labels: int) -> float:
    """Return the least loss of :func:`double_softmax`, of a row that is right with certainty, in nats.

    The second softmax reads (1, 0, ..., 0) as logits: log(e + C - 1) - 1, for two labels 0.313.
    """
    return math.log(math.e + labels - 1) - 1


def gradient_left(share: float, labels: int) -> float:
    """Return what part of the gradient the second softmax leaves of a row whose right label has ``share``.

    Of the gradient at the label scores, the other labels sharing the rest alike.
    """
    rest = (1 - share) / (labels - 1)
    norms = []
    for loss in (cross_entropy, double_softmax):
        scores = torch.tensor([[share, *[rest] * (labels - 1)]], dtype=torch.float64).log()
        scores.requires_grad_(True)
        target = torch.eye(labels, dtype=torch.float64)[:1]
        loss(scores.log_softmax(-1), target).backward()
        norms.append(float(scores.grad.norm()) if scores.grad is not None else 0.0)
    return norms[1] / norms[0]


class RoomNetwork(Network):
    """A network that reads at most ``room`` tokens, cut as the engine cuts: from the texts alone."""

    def __init__(self, backbone: Backbone, prompt: Prompt, recipe: Recipe, *, room: int) -> None:
        super().__init__(backbone, prompt, recipe)
        self.room = room
        self.encoder = Encoder(backbone.tokenizer, room)
        self._uncut = Encoder(backbone.tokenizer, _WHOLE)


class CutNetwork(RoomNetwork):
    """Cuts the filled prompt at its end, and reads the first place where no mask is left.

    ``tokenizer(text, truncation=True)`` cuts so, and ``(ids == mask_id).argmax()`` is 0 where there is
    no mask: the first token, [CLS], is read as if it were one.
    """

    def encode(self, rows: Sequence[Row], name: str) -> list[Encoded]:
        whole = [self._uncut.encode_one(self.template.render(row)) for row in rows]
        return [cut_at_the_end(one, self.room) for one in whole]


def cut_at_the_end(prompt: Encoded, room: int) -> Encoded:
    """Return a prompt cut at its end to ``room`` tokens, the last one, [SEP] or </s>, kept."""
    excess = len(prompt) - room
    if excess <= 0:
        return prompt
    positions = tuple(at if at < room - 1 else 0 for at in prompt.mask_positions)
    return Encoded(
        (*prompt.ids[: room - 1], prompt.ids[-1]),
        (*prompt.type_ids[: room - 1], prompt.type_ids[-1]),
        positions,
        excess,
    )


@dataclass(frozen=True)
class Pieces:
    """A label word, the piece that stands at the mask, and the one that naive code reads."""

    word: str
    right: int
    wrong: int


def naive_piece(tokenizer: PreTrainedTokenizerBase, word: str, right: int) -> int:
    """Return the piece that a word is read as by code that does not think of its surroundings.

    Where pieces carry a mark for the space before them (byte-level, SentencePiece), the word is looked
    up without it: another piece, or the first of several. WordPiece has no such mark; there it is looked
    up with a capital, as at the start of a sentence, past the tokenizer's own lower-casing.
    """
    mark = _space_mark(tokenizer)
    if mark == "Ġ":
        return int(tokenizer(word, add_special_tokens=False)["input_ids"][0])
    found = tokenizer.convert_tokens_to_ids(word if mark else word.capitalize())
    unknown = tokenizer.unk_token_id
    return int(found if found is not None else unknown if unknown is not None else right)


def _space_mark(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return what a piece begins with that stands behind a space, "" where pieces do not say so."""
    pieces = tokenizer.get_vocab()
    for mark in ("Ġ", "▁"):
        if sum(piece.startswith(mark) for piece in pieces) > len(pieces) / 10:
            return mark
    return ""


class WordNetwork(Network):
    """Reads the label words' logits at the pieces that :func:`naive_piece` names."""

    def __init__(self, backbone: Backbone, prompt: Prompt, recipe: Recipe) -> None:
        super().__init__(backbone, prompt, recipe)
        naive = [one.wrong for one in word_pieces(backbone, prompt)]
        if self._reader is not None:  # it names each label word once, in the prompt's order
            ids = torch.tensor(naive, device=self._reader.ids.device)
            self._reader = replace(self._reader, ids=ids)


def word_pieces(backbone: Backbone, prompt: Prompt) -> tuple[Pieces, ...]:
    """Return the prompt's label words with the right piece and the naive one."""
    words = [word.text for word in prompt.verbalizer.words]
    found = Vocabulary(backbone).encode_words(words, text_before_mask(prompt.template))
    return tuple(
        Pieces(word.text, word.ids[0], naive_piece(backbone.tokenizer, word.text, word.ids[0]))
        for word in found
    )


class PaddingNetwork(Network):
    """Reads padding as text: without an attention mask, each row sees what fills it up."""

    def _batch(self, prompts: Sequence[Encoded]) -> Batch:
        batch = super()._batch(prompts)
        seen = torch.ones_like(batch.inputs["attention_mask"])
        return replace(batch, inputs={**batch.inputs, "attention_mask": seen})
