"""``playground pretrain``: texts to a vocabulary, to blocks, to a masked LM, with looks on the way.

A loop of our own instead of transformers' ``Trainer``: bf16 weights with fp32 masters, the decoder at
hidden tokens alone, blocks without padding, and a checkpoint without pickle that goes on bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import reduce
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from playground.engine.loading import weights_digest
from playground.errors import PlaygroundError
from playground.tasks.pretraining.blocks import Blocks, Corpus, Stream
from playground.tasks.pretraining.checkpoints import Progress, load_progress, save_progress
from playground.tasks.pretraining.masking import Hidden, Masker
from playground.tasks.pretraining.network import (
    grown_network,
    hidden_loss,
    new_network,
    use_fastest_attention,
)
from playground.tasks.pretraining.optimizer import Masters
from playground.tasks.pretraining.probes import answers, held_out_loss
from playground.tasks.pretraining.recipe import Recipe
from playground.tasks.pretraining.timelapse import Checkpoint, CurvePoint, Probe, Timelapse
from playground.tasks.pretraining.vectors import cbow, log_frequencies, unigram_counts
from playground.tasks.training.runs import training_device

Say = Callable[[str], None]

_POINTS = 200  # of the curve
_MOST_POINTS, _MOST_LOOKS = 5_000, 60  # of a time-lapse
_EVALUATED = (128, 64)  # tokens of a held-out block, and blocks of a corpus at a look
_SAVE_SECONDS = 120.0
_FIRST_LOOK = 0.004  # share of the training before the first look, after the one at step 0
_COUNTED = 5_000_000  # tokens of a corpus whose frequencies are counted


@dataclass(frozen=True)
class Texts:
    """What is trained on: corpora, their held-out documents, the tokenizer, the probes.

    start: a model to go on from, instead of random weights and word vectors.
    """

    train: Sequence[Corpus]
    held_out: Sequence[Corpus]
    tokenizer: PreTrainedTokenizerBase
    probes: tuple[str, ...] = ()
    start: BertForMaskedLM | None = None

    def mark(self) -> str:
        """Return a digest of all of it."""
        total = hashlib.sha256(json.dumps(sorted(self.tokenizer.get_vocab().items())).encode())
        total.update(json.dumps(self.probes).encode())
        for corpus in (*self.train, *self.held_out):
            total.update(corpus.mark().encode())
        if self.start is not None:
            total.update(weights_digest(self.start.state_dict()).encode())
        return total.hexdigest()


@dataclass(frozen=True)
class Pretrained:
    """A finished training: the network on the CPU in fp32, and what it showed on the way.

    tokens: read in all. passes: how often each corpus was read. Of several processes only the first one
    looks at held-out texts and probes.
    """

    network: BertForMaskedLM
    progress: Progress
    tokens: int
    passes: list[float]
    precision: str

    def timelapse(self, probes: Sequence[str]) -> Timelapse:
        """Return curve, looks and answers in the form in which they are kept.

        Of a training that was made longer so often that they are too many, some are left out.
        """
        at = self.progress
        looks = _spread(len(at.checkpoints), _MOST_LOOKS)
        return Timelapse(
            tuple(
                CurvePoint(**at.curve[number]) for number in _spread(len(at.curve), _MOST_POINTS)
            ),
            tuple(Checkpoint(**at.checkpoints[look]) for look in looks),
            tuple(
                Probe(
                    text, tuple(tuple((p, v) for p, v in at.tops[look][number]) for look in looks)
                )
                for number, text in enumerate(probes)
            ),
        )


def _spread(many: int, most: int) -> list[int]:
    """Return up to ``most`` of ``many`` numbers from 0, evenly apart, the first and the last among them."""
    return np.unique(np.linspace(0, many - 1, min(many, most)).round().astype(int)).tolist()


def pretrain(
    texts: Texts,
    folder: Path,
    *,
    recipe: Recipe,
    device: str = "auto",
    precision: str = "float32",
    fresh: bool = False,
    say: Say | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pretrained:
    """Train a BERT on texts; a run that was stopped in ``folder`` goes on as if it had not been.

    folder: where a checkpoint is left every two minutes and at each look. precision: "float32", or
    "bfloat16" for weights in bf16 with masters in fp32. progress: told the steps done and in all. Several processes,
    started by ``accelerate launch`` or ``torchrun``, share each step; the loss and the result are those
    of one process with as many ``accumulate``. Raises PlaygroundError for what cannot be trained.
    """
    tell = say or (lambda sentence: None)
    place = training_device(device)
    state = PartialState(cpu=place.type == "cpu")
    if place.type == "cuda":
        place = state.device
    run = _Run(texts, folder, recipe, place, precision, state, tell)
    run.start(fresh)
    show = progress or (lambda done, total: None)
    while run.at.step < run.steps:
        run.one_step()
        if state.is_main_process:
            show(run.at.step, run.steps)
    run.finish()
    network = run.network.to("cpu").float()
    return Pretrained(network, run.at, run.tokens, run.blocks.passes, precision)


class _Run:
    """A training in progress."""

    def __init__(
        self, texts: Texts, folder: Path, recipe: Recipe, place: torch.device, precision: str,
        state: PartialState, say: Say,
    ) -> None:  # fmt: skip
        self._texts, self._folder, self._recipe = texts, folder, recipe
        self._place, self._state, self._say = place, state, say
        self._precision = precision
        tokenizer = texts.tokenizer
        self._ends = {"first": tokenizer.cls_token_id, "separator": tokenizer.sep_token_id}
        self.blocks = Blocks(texts.train, seed=recipe.seed, **self._ends)
        self._masker = masker(tokenizer, recipe)
        self.steps = recipe.steps(state.num_processes)
        self._looks = looks(self.steps, recipe.checkpoints)
        self._every = max(1, self.steps // _POINTS)
        described = {**asdict(recipe), "processes": state.num_processes, "precision": precision}
        described.pop("tokens")  # a longer or shorter training of the same kind may go on
        described.pop("half")
        self._mark = hashlib.sha256(f"{described} {texts.mark()}".encode()).hexdigest()
        self.at = Progress()

    def start(self, fresh: bool) -> None:
        """Make the network, or read what a stopped run left."""
        found = None if fresh else load_progress(self._folder, self._mark)
        network = self._network(found is None).to(self._place).train()
        exact = [weight.detach().clone() for weight in network.parameters()]
        if self._precision == "bfloat16":
            network.to(torch.bfloat16)
        use_fastest_attention(network)
        self.network = network
        self._masters = Masters(network, self._recipe)
        with torch.no_grad():  # the masters begin with what bf16 rounded away
            for weight, first in zip(self._masters.weights.values(), exact, strict=True):
                weight.copy_(first)
        if found is not None:
            self.at, tensors = found
            self._masters.load(tensors)
            self.blocks.state = self.at.streams
            self._say(f"Continuing the stopped run at step {self.at.step:,} of {self.steps:,}.")
        self._started = time.perf_counter() - self.at.seconds
        self._saved = time.perf_counter()
        if found is None:
            self._look()
        elif (
            self.at.step >= self.steps
        ):  # fewer tokens are asked for than it has read: it ends here
            if self.at.sums[1]:
                self._note_loss(0.0)
            if self._state.is_main_process and self.at.checkpoints[-1]["step"] < self.at.step:
                self._look()

    def _network(self, new: bool) -> BertForMaskedLM:
        """Return the first network; the weights of a stopped run come later."""
        texts, recipe = self._texts, self._recipe
        if texts.start is not None:
            return grown_network(texts.start, recipe.positions)
        counts = np.asarray(
            sum(
                corpus.share * unigram_counts(corpus.tokens[:_COUNTED], len(texts.tokenizer))
                for corpus in texts.train
            )
        )
        vectors = self._vectors(counts) if new and recipe.vectors else None
        return new_network(
            recipe, texts.tokenizer, frequencies=log_frequencies(counts), vectors=vectors
        )

    def one_step(self) -> None:
        """Read the step's batches, mine among them, and move the weights."""
        step, recipe = self.at.step, self._recipe
        length = recipe.length_at(step)
        rate = recipe.rate_at(step, self.steps)
        total = torch.zeros((), device=self._place)
        for batch in self._batches(step, length):
            ids, places, gold = (
                torch.from_numpy(a).to(self._place) for a in (batch.ids, batch.places, batch.gold)
            )
            loss = hidden_loss(self.network, ids, places, gold) / recipe.accumulate
            loss.backward()
            self._masters.gather()
            total += loss.detach()
        if self._state.num_processes > 1:
            total = self._share(total)
        loss = float(total)
        if not math.isfinite(loss):  # the checkpoint before stays as it is
            raise PlaygroundError(
                f"The loss is {loss} at step {step + 1:,}; start with --fresh and a learning_rate below "
                f"{recipe.learning_rate:g}."
            )
        self._masters.step(rate)
        self.at.step += 1
        self.at.sums = [self.at.sums[0] + loss, self.at.sums[1] + 1]
        self._keep(rate)

    def _share(self, total: torch.Tensor) -> torch.Tensor:
        """Average gradients and loss over the processes."""
        found = self._masters.gradients()
        flat = reduce(torch.cat([*(g.reshape(-1) for g in found), total.reshape(1)]), "mean")
        start = 0
        for gradient in found:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[-1]

    def _batches(self, step: int, length: int) -> list[Hidden]:
        """Return this process's batches of a step; all processes read all, so that streams agree."""
        recipe, mine = self._recipe, self._state.process_index
        rows = recipe.batch_tokens // length
        many = recipe.accumulate * self._state.num_processes
        found = []
        for number in range(many):
            blocks = self.blocks.batch(step * many + number, rows, length)
            if number % self._state.num_processes == mine:
                rng = np.random.default_rng([recipe.seed, 2, step * many + number])
                found.append(self._masker.hide(blocks, rng))
        return found

    def _keep(self, rate: float) -> None:
        """Note the curve, look where it is time, and leave a checkpoint every two minutes."""
        at = self.at
        at.seconds = time.perf_counter() - self._started
        if at.step % self._every == 0 or at.step == self.steps:
            self._note_loss(rate)
        looked = at.step in self._looks
        if looked:
            self._look()
        if looked or time.perf_counter() - self._saved > _SAVE_SECONDS:
            self.save()

    def _note_loss(self, rate: float) -> None:
        """Add a point to the curve: the mean loss since the one before."""
        at = self.at
        at.curve.append(
            {"step": at.step, "tokens": self.tokens, "loss": round(at.sums[0] / at.sums[1], 4),
             "learning_rate": float(f"{rate:.4g}")}
        )  # fmt: skip
        at.sums = [0.0, 0]

    def _look(self) -> None:
        """Measure the held-out texts and ask the probes."""
        if not self._state.is_main_process:
            return
        self.network.eval()
        length, blocks = _EVALUATED
        length = min(length, self._recipe.positions)
        losses = {
            corpus.name: round(loss, 4)
            for corpus in self._texts.held_out
            if (loss := held_out_loss(
                self.network, corpus, self._masker, length=length, blocks=blocks, **self._ends
            )) is not None
        }  # fmt: skip
        self.at.tops.append(list(answers(self.network, self._texts.tokenizer, self._texts.probes)))
        self.network.train()
        mean = round(float(np.mean(list(losses.values()))), 4) if losses else None
        self.at.checkpoints.append(
            {"step": self.at.step, "tokens": self.tokens, "seconds": round(self.at.seconds, 1),
             "loss": losses, "mean_loss": mean}
        )  # fmt: skip
        training = f"training loss {self.at.curve[-1]['loss']:.3f}, " if self.at.curve else ""
        held_out = f"held-out loss {mean:.3f} nats" if mean is not None else "nothing held out"
        self._say(
            f"step {self.at.step:,} of {self.steps:,}, {self.tokens:,} tokens: {training}{held_out}"
        )

    def save(self) -> None:
        """Leave a checkpoint to go on from."""
        self.at.streams = self.blocks.state
        if self._state.is_main_process:
            save_progress(self._folder, self._mark, self.at, self._masters.state())
        self._saved = time.perf_counter()

    def finish(self) -> None:
        """Give the network its exact weights."""
        self._state.wait_for_everyone()
        exact = list(self._masters.weights.values())
        self.network.float()
        with torch.no_grad():
            for weight, last in zip(self.network.parameters(), exact, strict=True):
                weight.copy_(last)
        self.network.eval()

    @property
    def tokens(self) -> int:
        """How many tokens have been read so far."""
        return self._recipe.tokens_in(self.at.step, self._state.num_processes)

    def _vectors(self, counts: np.ndarray) -> torch.Tensor:
        """Return CBOW vectors of these texts, mixed by their shares."""
        streams = [
            Stream(corpus, self._ends["separator"], (self._recipe.seed, 3, number))
            for number, corpus in enumerate(self._texts.train)
        ]
        shares = np.array([corpus.share for corpus in self._texts.train])
        turns = np.random.default_rng([self._recipe.seed, 4])

        def read(many: int) -> np.ndarray:
            return streams[turns.choice(len(streams), p=shares / shares.sum())].take(many)

        self._say(f"Word vectors of {self._recipe.vectors:,} tokens to start from.")
        return cbow(
            read, counts, dimensions=self._recipe.hidden, tokens=self._recipe.vectors,
            seed=self._recipe.seed,
        )  # fmt: skip


def masker(tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> Masker:
    """Return what hides tokens as the recipe says."""
    special = frozenset(tokenizer.all_special_ids)
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    inner = np.array([piece.startswith("##") for piece in pieces])
    plain = np.array([number for number in range(len(tokenizer)) if number not in special])
    return Masker(
        tokenizer.mask_token_id, special, plain, recipe.mask_rate, recipe.masked, recipe.randomised,
        inner if recipe.whole_word else None,
    )  # fmt: skip


def looks(steps: int, many: int) -> frozenset[int]:
    """Return the steps after which to look: ever further apart, the last step among them."""
    if many == 1:
        return frozenset([steps])
    shares = _FIRST_LOOK ** (1 - np.arange(many) / (many - 1))
    return frozenset(max(1, round(float(share) * steps)) for share in shares)
