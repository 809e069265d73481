"""A template found by gradients: trigger words before the mask, one changed at a time (AutoPrompt).

Shin et al. 2020, "AutoPrompt: Eliciting Knowledge from Language Models with Automatically Generated
Prompts", section 2.2: the loss is followed to first order to the words that would lower it most
(HotFlip, Ebrahimi et al. 2018), and those are then measured exactly. What they do from [MASK] tokens and
any piece of the vocabulary is done here from a plain word and whole words, so that what is found is a
template that can be typed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from playground.engine import Prompting
from playground.engine.encoding import Encoded
from playground.engine.gradients import TokenGradients
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, ScoringOptions, Template
from playground.tasks.held_out import Key, row_key

START = "the"
MOST_TRIGGERS, MOST_STEPS, MOST_CANDIDATES = 10, 10_000, 1_000
_GAIN = 1e-6  # a loss that is lower by less is the same


@dataclass(frozen=True)
class SearchStep:
    """Where the search stands: the best template so far, its trigger words, and its numbers.

    step 0 is the start. loss: mean of -log P(gold label | row) over the search rows, uncalibrated;
    accuracy: on the same rows. tried: candidates measured in this step; dropped: those that the
    tokenizer would not read back as they were meant. kept: whether the step changed the template.
    """

    step: int
    steps: int
    template: Template
    words: tuple[str, ...]
    loss: float
    accuracy: float
    tried: int
    dropped: int
    kept: bool
    searched: frozenset[Key]


def search_template(
    prompting: Prompting,
    prompt: Prompt,
    rows: Sequence[Mapping[str, str]],
    gold: Sequence[int] | np.ndarray,
    *,
    triggers: int = 3,
    steps: int = 50,
    candidates: int = 20,
    seed: int = 0,
) -> Iterator[SearchStep]:
    """Yield the best template so far, step by step: ``{text} T T T {mask}.`` with the prompt's texts.

    Each step turns to one trigger, takes the ``candidates`` words that the gradient points to, measures
    each on all rows, and keeps the best if it lowers the loss. Label words are never triggers. A caller
    may stop at any step. Raises PlaygroundError for numbers out of range, a label word of several
    pieces, or a label without a row.
    """
    for name, value, most in (
        ("triggers", triggers, MOST_TRIGGERS),
        ("steps", steps, MOST_STEPS),
        ("candidates", candidates, MOST_CANDIDATES),
    ):
        if not 1 <= value <= most:
            raise PlaygroundError(f"{name} is {value:,}; it must be from 1 to {most:,}.")
    search = _Search(prompting, prompt, rows, np.asarray(gold, dtype=int), triggers)
    rng = random.Random(seed)
    order: list[int] = []
    yield search.step(0, steps, 0, 0, False)
    for number in range(1, steps + 1):
        if not order:  # every trigger has its turn before one has its second
            order = rng.sample(range(triggers), triggers)
        yield search.turn(order.pop(), number, steps, candidates)


class _Search:
    """The state of one search: the template, its loss, and the model that gives gradients."""

    def __init__(
        self,
        prompting: Prompting,
        prompt: Prompt,
        rows: Sequence[Mapping[str, str]],
        gold: np.ndarray,
        triggers: int,
    ) -> None:
        if not prompt.template.fields:
            raise PlaygroundError(
                f"The template {shorten(prompt.template.source)} takes no text; a template is searched "
                "for one that does."
            )
        if len(rows) != len(gold):
            raise PlaygroundError(
                f"There are {len(rows)} rows and {len(gold)} labels; give one each."
            )
        self.prompting, self.fields = prompting, prompt.template.fields
        self.verbalizer = prompt.verbalizer
        self.scoring = ScoringOptions(aggregation=prompt.scoring.aggregation)
        self.known = self._words()
        start = next((i for i, word in self.known.items() if word == START), min(self.known))
        self.ids = (start,) * triggers
        self.seen = {self.ids}  # what was measured and was no better is not tried again
        self.bare = self._with(self.ids)
        self.searched = frozenset(row_key(prompt.template.bind(row)) for row in rows)
        self.rows, self.gold = self._usable(rows, gold)
        if self._positions(self.ids) is None:
            raise PlaygroundError(
                f"The tokenizer of {prompting.backbone.name} does not read "
                f"{shorten(self.known[start])} back as it is written; templates cannot be searched "
                "with it."
            )
        self.pieces = prompting.vocabulary.encode_prompt(self.bare)
        self.gradients = TokenGradients(prompting.backbone)
        self.loss, self.accuracy = self._measure(self.bare)

    def turn(self, place: int, number: int, steps: int, candidates: int) -> SearchStep:
        """Return the state after the trigger at ``place`` took the best of its candidates, or none."""
        tried = dropped = 0
        best: tuple[float, float, tuple[int, ...]] | None = None
        for token in self._candidates(place, candidates):
            ids = (*self.ids[:place], token, *self.ids[place + 1 :])
            self.seen.add(ids)
            if self._positions(ids) is None:
                dropped += 1
                continue
            tried += 1
            loss, accuracy = self._measure(self._with(ids))
            if best is None or loss < best[0]:
                best = loss, accuracy, ids
        kept = best is not None and best[0] < self.loss - _GAIN
        if best is not None and kept:
            self.loss, self.accuracy, self.ids = best
            self.bare = self._with(self.ids)
        return self.step(number, steps, tried, dropped, kept)

    def step(self, number: int, steps: int, tried: int, dropped: int, kept: bool) -> SearchStep:
        words = tuple(self.known[token] for token in self.ids)
        template = self.bare.template
        return SearchStep(
            number, steps, template, words, self.loss, self.accuracy, tried, dropped, kept,
            self.searched,
        )  # fmt: skip

    def _candidates(self, place: int, count: int) -> list[int]:
        """Return the words whose embeddings lie furthest down the slope at one trigger, best first.

        To first order a swap of the trigger for a word changes the loss by their difference times the
        gradient, so that the lowest product of embedding and gradient promises most.
        """
        encoded, positions = self._encoded(self.bare), self._positions(self.ids)
        own = [place_of[place : place + 1] for place_of in positions or []]
        _, gradient = self.gradients.loss(encoded, own, self.bare, self.pieces, self.gold.tolist())
        slope = (
            self.gradients.embeddings.float() @ gradient[0].float()
        ).cpu()  # (V, H) @ (H,) -> (V,)
        before, after = self.ids[:place], self.ids[place + 1 :]
        fresh = (token for token in self.known if (*before, token, *after) not in self.seen)
        tokens = np.fromiter(fresh, dtype=int)
        promising = np.argsort(slope[tokens].numpy(), kind="stable")[:count]
        return tokens[promising].tolist()

    def _positions(self, ids: Sequence[int]) -> list[list[int]] | None:
        """Return where the triggers stand in each row's tokens, or None if a row reads otherwise."""
        found = []
        for encoded in self._encoded(self._with(ids)):
            end = encoded.mask_positions[0]
            for last in (end, end - 1):  # some tokenizers keep the space before the mask as a token
                if list(encoded.ids[last - len(ids) : last]) == list(ids):
                    found.append(list(range(last - len(ids), last)))
                    break
            else:
                return None
        return found

    def _encoded(self, prompt: Prompt) -> list[Encoded]:
        encoder = self.prompting.backbone.encoder
        results = encoder.encode([prompt.template.render(row) for row in self.rows])
        return [result for result in results if isinstance(result, Encoded)]

    def _measure(self, prompt: Prompt) -> tuple[float, float]:
        """Return the loss and the accuracy of a prompt on the search rows, through the usual path."""
        shares = self.prompting.classify(self.rows, prompt, words=False).probabilities
        gold = shares[np.arange(len(self.gold)), self.gold]
        right = float((shares.argmax(1) == self.gold).mean())
        return float(-np.log(np.maximum(gold, 1e-300)).mean()), right

    def _usable(
        self, rows: Sequence[Mapping[str, str]], gold: np.ndarray
    ) -> tuple[list[Mapping[str, str]], np.ndarray]:
        scores = self.prompting.classify(rows, self.bare, words=False)
        kept = [i for i in range(len(rows)) if i not in scores.errors]
        for place, label in enumerate(scores.labels):
            if not (gold[kept] == place).any():
                raise PlaygroundError(
                    f"No row that can be scored has the label {shorten(label)}; a template is searched "
                    "on rows of every label."
                )
        return [rows[i] for i in kept], gold[kept]

    def _words(self) -> dict[int, str]:
        """Return the words that may be triggers by their ids: plain, of one piece, none a label word."""
        own = {word.text.lower() for word in self.verbalizer.words}
        vocabulary = self.prompting.vocabulary
        coded = vocabulary.encode_words(vocabulary.single_words())
        known = {word.ids[0]: word.text for word in coded if word.text.lower() not in own}
        if not known:
            raise PlaygroundError(
                f"The model {self.prompting.backbone.name} has no plain words of one piece to make a "
                "template of."
            )
        return known

    def _with(self, ids: Sequence[int]) -> Prompt:
        texts = " ".join(f"{{{name}}}" for name in self.fields)
        words = " ".join(self.known[token] for token in ids)
        return Prompt(Template(f"{texts} {words} {{mask}}."), self.verbalizer, self.scoring)
