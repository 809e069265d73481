"""Runs encoded prompts through a backbone: cached for the live path, in sorted batches for many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from playground.engine import scoring
from playground.engine.backbone import Backbone
from playground.engine.cache import TensorCache
from playground.engine.encoding import Encoded, batches
from playground.engine.label_words import WordPieces
from playground.engine.pieces import piece_log_probs
from playground.prompts import ScoringOptions
from playground.settings import Settings

Progress = Callable[[int, int], None]
Cancel = Callable[[], bool]

STOPPED = "Not scored: the run was stopped."
_GPU_BATCH_FACTOR = 32  # a GPU takes this many times the CPU's batch_tokens
_PIECE_FLOATS = 1 << 25  # logits of split words held at once, 128 MiB in fp32


@dataclass(frozen=True)
class WordTable:
    """Label-word scores of N prompts, (N, W).

    They are log-probabilities, and ``log_partition`` (N,) turns them into raw logits; where it is
    None they are raw logits already. ``done`` (N,) is False for prompts left out by a cancel.
    """

    scores: torch.Tensor
    log_partition: torch.Tensor | None
    done: torch.Tensor

    def logits(self) -> torch.Tensor:
        """Return raw logits, (N, W)."""
        if self.log_partition is None:
            return self.scores
        return self.scores + self.log_partition[:, None]

    def at(self, rows: Sequence[int]) -> WordTable:
        """Return the table of some rows, in the order given; a row may stand there twice."""
        places = torch.tensor(rows, dtype=torch.long)
        partition = None if self.log_partition is None else self.log_partition[places]
        return WordTable(self.scores[places], partition, self.done[places])


class Runner:
    """Runs prompts and remembers what the live path has seen. Safe between threads."""

    def __init__(self, backbone: Backbone, settings: Settings) -> None:
        self.backbone = backbone
        self.budget = settings.batch_tokens
        if backbone.device.type != "cpu":
            self.budget *= _GPU_BATCH_FACTOR
        self.prompts_run = 0
        self._counting = threading.Lock()
        self._logits = TensorCache(settings.cache_mb << 20)
        # a sixteenth each: the rows are tiny, the prompts that are their keys are not
        self._partitions = TensorCache(settings.cache_mb << 16)
        self._pieces = TensorCache(settings.cache_mb << 16)

    def logits(self, prompts: Sequence[Encoded]) -> list[torch.Tensor]:
        """Return the raw logits at the masks of each prompt, (M, V), from the cache where known."""
        found = {prompt: self._logits.get(prompt) for prompt in prompts}
        fresh = [prompt for prompt, logits in found.items() if logits is None]
        for prompt, logits in zip(fresh, self._run(fresh), strict=True):
            found[prompt] = logits
            self._logits.put(prompt, logits)
        return [found[prompt] for prompt in prompts]  # type: ignore[misc]

    def live_table(
        self,
        prompts: Sequence[Encoded],
        with_masks: Callable[[int], Sequence[Encoded]],
        words: Sequence[WordPieces],
        options: ScoringOptions,
    ) -> WordTable:
        """Return the word scores of a few prompts, through the cache.

        ``with_masks(k)`` gives the same prompts with k masks, for words of k pieces.
        """
        scores = torch.empty(len(prompts), len(words))
        single = torch.tensor([w for w, word in enumerate(words) if word.single], dtype=torch.long)
        ids = torch.tensor([words[w].ids[0] for w in single.tolist()], dtype=torch.long)
        rows = self.logits(prompts)
        partition = torch.stack(
            [self._partition(prompt, logits) for prompt, logits in zip(prompts, rows, strict=True)]
        )
        columns = torch.stack([logits[0, ids] for logits in rows])  # (N, W), never (N, V)
        scores[:, single] = columns - partition[:, None]
        for length, places in _split_words(words).items():
            for n, prompt in enumerate(with_masks(length)):
                for w in places:
                    scores[n, w] = self._known_pieces(prompt, words[w], options)
        return WordTable(scores, partition, torch.ones(len(prompts), dtype=torch.bool))

    def batch_table(
        self,
        prompts: Sequence[Encoded],
        with_masks: Callable[[int], Sequence[Encoded]],
        words: Sequence[WordPieces],
        options: ScoringOptions,
        *,
        full: bool,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> WordTable:
        """Return the word scores of many prompts, in length-sorted batches, past the cache.

        Unless ``full`` is asked for, or a word has several pieces, only the words' columns are
        computed and the scores are raw logits.
        """
        split = _split_words(words)
        full = full or bool(split)
        single = [w for w, word in enumerate(words) if word.single]
        ids = torch.tensor(
            [words[w].ids[0] for w in single], dtype=torch.long, device=self.backbone.device
        )
        scores = torch.full((len(prompts), len(words)), torch.nan)
        partition = torch.zeros(len(prompts))
        done = torch.zeros(len(prompts), dtype=torch.bool)
        finished = 0
        for batch in self._batches(prompts):
            if cancel is not None and cancel():
                break
            rows = torch.tensor(batch.rows)
            if full:
                logits = self.backbone.forward(batch)[:, 0]  # (B, V)
                partition[rows] = logits.logsumexp(-1).cpu()
                chosen = logits[:, ids].cpu() - partition[rows, None]
            else:
                chosen = self.backbone.forward(batch, ids)[:, 0].cpu()  # (B, W)
            scores[rows[:, None], torch.tensor(single, dtype=torch.long)] = chosen
            done[rows] = True
            self._add(len(batch.rows))
            finished += len(batch.rows)
            if progress is not None:
                progress(finished, len(prompts))
        for length, places in split.items():
            chunk = max(1, _PIECE_FLOATS // (length * len(places) * self.backbone.vocabulary_size))
            masked = with_masks(length)
            for start in range(0, len(prompts), chunk):
                if cancel is not None and cancel():
                    done[start:] = False
                    break
                part = masked[start : start + chunk]
                log_probs = piece_log_probs(
                    part, [words[w].ids for w in places], options.fill_order, self._log_probs
                )  # (n, T, K)
                scores[start : start + len(part), places] = scoring.reduce_pieces(
                    log_probs, options.pieces
                )
        return WordTable(scores, partition if full else None, done)

    def columns(
        self,
        prompts: Sequence[Encoded],
        ids: torch.Tensor,
        *,
        masks: int,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the raw logits of ``ids`` (W,) at all M masks of many prompts, (N, M, W), and ``done`` (N,).

        In length-sorted batches, past the cache. Prompts that a cancel leaves out hold NaN.
        """
        found = torch.full((len(prompts), masks, len(ids)), torch.nan)
        done = torch.zeros(len(prompts), dtype=torch.bool)
        finished = 0
        for batch in self._batches(prompts):
            if cancel is not None and cancel():
                break
            rows = list(batch.rows)
            found[rows] = self.backbone.forward(batch, ids).cpu()
            done[rows] = True
            self._add(len(batch.rows))
            finished += len(batch.rows)
            if progress is not None:
                progress(finished, len(prompts))
        return found, done

    def _partition(self, prompt: Encoded, logits: torch.Tensor) -> torch.Tensor:
        """Return log Z of the first mask, kept beside the logits: (M, V) -> ()."""
        known = self._partitions.get(prompt)
        if known is None:
            known = logits[0].logsumexp(-1)
            self._partitions.put(prompt, known)
        return known

    def _known_pieces(
        self, prompt: Encoded, word: WordPieces, options: ScoringOptions
    ) -> torch.Tensor:
        key = (prompt, word.ids, options.fill_order)
        log_probs = self._pieces.get(key)
        if log_probs is None:
            log_probs = piece_log_probs(
                [prompt], [word.ids], options.fill_order, self._cached_log_probs
            )[0, 0]
            self._pieces.put(key, log_probs)
        return scoring.reduce_pieces(log_probs, options.pieces)

    def _cached_log_probs(self, prompts: Sequence[Encoded]) -> list[torch.Tensor]:
        return [logits.log_softmax(-1) for logits in self.logits(prompts)]

    def _log_probs(self, prompts: Sequence[Encoded]) -> list[torch.Tensor]:
        return [logits.log_softmax(-1) for logits in self._run(prompts)]

    def _run(self, prompts: Sequence[Encoded]) -> list[torch.Tensor]:
        results: list[torch.Tensor | None] = [None] * len(prompts)
        by_masks: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):
            by_masks.setdefault(len(prompt.mask_positions), []).append(i)
        for places in by_masks.values():
            for batch in self._batches([prompts[i] for i in places]):
                for k, logits in zip(batch.rows, self.backbone.forward(batch).cpu(), strict=True):
                    results[places[k]] = logits
                self._add(len(batch.rows))
        return results  # type: ignore[return-value]

    def _batches(self, prompts: Sequence[Encoded]):
        encoder = self.backbone.encoder
        return batches(
            prompts,
            budget=self.budget,
            pad_id=encoder.pad_id,
            type_ids=encoder.uses_type_ids,
            device=self.backbone.device,
        )

    def _add(self, count: int) -> None:
        with self._counting:
            self.prompts_run += count


def _split_words(words: Sequence[WordPieces]) -> dict[int, list[int]]:
    """Return the places of words of several pieces, by their number of pieces."""
    groups: dict[int, list[int]] = {}
    for w, word in enumerate(words):
        if not word.single:
            groups.setdefault(len(word.ids), []).append(w)
    return groups
