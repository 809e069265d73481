"""Several prompts from the same forward passes: each word, and each filled prompt, is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from playground.engine import scoring
from playground.engine.calibration import Priors, label_log_probs
from playground.engine.encoding import Encoded
from playground.engine.label_words import WordPieces
from playground.engine.results import Scores
from playground.engine.runner import Cancel, Progress, Runner, WordTable
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, ScoringOptions


def check_together(prompts: Sequence[Prompt]) -> None:
    """Raise PlaygroundError unless the prompts fill one template and read split words alike."""
    if not prompts:
        raise PlaygroundError("There is no prompt to score with; give at least one.")
    first = prompts[0]
    for prompt in prompts[1:]:
        if prompt.template != first.template:
            raise PlaygroundError(
                f"The templates {shorten(first.template)} and {shorten(prompt.template)} differ; "
                "prompts that are scored together have one template."
            )
        for name in ("fill_order", "pieces"):
            one, other = getattr(first.scoring, name), getattr(prompt.scoring, name)
            if one != other:
                raise PlaygroundError(
                    f"{name} is {shorten(one)} in one prompt and {shorten(other)} in another; "
                    "prompts that are scored together have one."
                )


def union(
    pieces: Sequence[tuple[WordPieces, ...]],
) -> tuple[tuple[WordPieces, ...], list[list[int]]]:
    """Return the words of all prompts, each once, and for each prompt the columns that are its own."""
    place: dict[tuple[int, ...], int] = {}
    words: list[WordPieces] = []
    for word in (word for own in pieces for word in own):
        if word.ids not in place:
            place[word.ids] = len(words)
            words.append(word)
    return tuple(words), [[place[word.ids] for word in own] for own in pieces]


class Stream(NamedTuple):
    """What prompts must have in common to share batches: the words they read, and how."""

    pieces: tuple[WordPieces, ...]
    fill_order: str
    reduction: str


def run_streams(
    runner: Runner,
    streams: Sequence[Stream],
    encoded: Sequence[Mapping[int, Encoded]],
    with_masks: Callable[[int, int, int], Encoded],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> list[WordTable]:
    """Run the filled prompts of several jobs, equal ones once, and return each job's table.

    ``streams`` and ``encoded`` (row number to prompt) have one entry a job; jobs with the same stream
    share their batches. ``with_masks(job, row, k)`` fills a prompt with k masks.
    """
    sources: dict[Stream, dict[Encoded, tuple[int, int]]] = {}  # prompt to a (job, row) of it
    for job, (stream, prompts) in enumerate(zip(streams, encoded, strict=True)):
        source = sources.setdefault(stream, {})
        for row, prompt in prompts.items():
            source.setdefault(prompt, (job, row))
    total, before = sum(map(len, sources.values())), 0

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(before + done, total)

    def masked(source: dict[Encoded, tuple[int, int]]):
        return lambda k: [with_masks(job, row, k) for job, row in source.values()]

    tables: dict[Stream, WordTable] = {}
    for stream, source in sources.items():
        tables[stream] = runner.batch_table(
            list(source),
            masked(source),
            stream.pieces,
            ScoringOptions(fill_order=stream.fill_order, pieces=stream.reduction),
            full=False,
            progress=tell,
            cancel=cancel,
        )
        before += len(source)
    order = {stream: {one: k for k, one in enumerate(own)} for stream, own in sources.items()}
    return [
        tables[stream].at([order[stream][prompt] for prompt in prompts.values()])
        for stream, prompts in zip(streams, encoded, strict=True)
    ]


def scores_of(
    table: WordTable,
    columns: Sequence[int],
    prompt: Prompt,
    priors: Priors,
    encoded: Mapping[int, Encoded],
    errors: dict[int, str],
    *,
    count: int,
    words: bool,
) -> Scores:
    """Return one prompt's scores of ``count`` rows from its ``columns`` of the table of all words.

    ``table`` holds the rows of ``encoded``, in its order; rows of ``errors`` become NaN.
    """
    own = WordTable(table.scores[:, list(columns)], table.log_partition, table.done)
    uncalibrated, final = label_log_probs(own, prompt, priors)
    kept = list(encoded)

    def spread(values: torch.Tensor) -> np.ndarray:
        return spread_rows(values, kept, errors, count)

    with_words = words and table.log_partition is not None
    counts = [encoded.get(i) for i in range(count)]
    return Scores(
        labels=prompt.verbalizer.names,
        words=tuple(word.text for word in prompt.verbalizer.words),
        probabilities=spread(final.exp()),
        label_scores=spread(uncalibrated),
        word_log_probs=spread(own.scores) if with_words else None,
        mass=spread(scoring.vocabulary_mass(own.scores)) if with_words else None,
        log_prior=None if priors.label is None else priors.label.double().numpy(),
        tokens=np.array([len(e) if e else 0 for e in counts], dtype=int),
        dropped=np.array([e.dropped if e else 0 for e in counts], dtype=int),
        errors=dict(errors),
    )


def spread_rows(
    values: torch.Tensor, kept: Sequence[int], errors: Iterable[int], count: int
) -> np.ndarray:
    """Return the values of the rows ``kept`` at their places among ``count``; others, and errors, NaN."""
    full = np.full((count, *values.shape[1:]), np.nan)
    full[list(kept)] = values.double().numpy()
    full[list(errors)] = np.nan
    return full
