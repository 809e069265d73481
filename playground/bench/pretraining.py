"""``bench pretrain``: a step of masked-LM training, from the tutorial's way to the playground's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from playground.bench.report import Cell, Report, Table, circumstances
from playground.bench.sentences import sentences
from playground.bench.timing import Contestant, Times, in_turn, one_thread
from playground.engine.loading import MASKED_LM, read_model, resolve
from playground.settings import Settings
from playground.tasks.pretraining.blocks import Blocks, Corpus
from playground.tasks.pretraining.loop import masker
from playground.tasks.pretraining.network import (
    grown_network,
    hidden_loss,
    use_fastest_attention,
)
from playground.tasks.pretraining.optimizer import Masters
from playground.tasks.pretraining.recipe import Recipe

LENGTH, BATCH, ROUNDS = 128, 4096, 5
_TEXTS = 4_000
_PADDED = "a text a row, padded to 128, fp32"
_PACKED = "+ blocks without padding"
_HIDDEN = "+ decoder at hidden tokens only"
_AUTOCAST = "+ bf16 autocast"
_OURS = "playground: bf16 weights, fp32 masters"
_MUON = "the same with Muon"


def measure_pretraining(*, model: str | None, say: Callable[[str], None]) -> Report:
    """Measure training steps of ``model`` (the shipped masked LM if None), one torch thread."""
    settings = Settings.from_environment()
    source = resolve(model, settings, MASKED_LM)
    network, tokenizer = read_model(source, MASKED_LM)
    recipe = Recipe(batch_tokens=BATCH, lengths=((LENGTH, 1.0),))
    with one_thread():
        say("training steps, in six ways")
        ways = _ways(network, tokenizer, recipe)
        times = in_turn(
            {name: Contestant(run, tokens) for name, (run, tokens) in ways.items()}, rounds=ROUNDS
        )
    facts = circumstances() | {"timing": "CPU time, one torch thread, medians of paired rounds"}
    return Report("pretrain", source.name, (_table(times, ways),), facts)


def _ways(
    network: Any, tokenizer: PreTrainedTokenizerBase, recipe: Recipe
) -> dict[str, tuple[Callable[[int], object], int]]:
    """Return for each way what makes a step, and the tokens of text in it."""
    texts = list(islice(sentences(seed=11), _TEXTS))
    rows = tokenizer(texts, truncation=True, max_length=LENGTH)["input_ids"]
    lengths = [len(row) for row in rows]
    ids = [row[1:-1] for row in rows]
    ends = np.cumsum([len(row) for row in ids])
    corpus = Corpus("sentences", np.concatenate([np.array(row) for row in ids]), ends)
    first, separator = tokenizer.cls_token_id, tokenizer.sep_token_id

    def blocks() -> Iterator[np.ndarray]:
        source = Blocks([corpus], first=first, separator=separator, seed=0)
        for step in range(10**9):
            yield source.batch(step, BATCH // LENGTH, LENGTH)

    def padded() -> Iterator[dict[str, torch.Tensor]]:
        collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=recipe.mask_rate)
        many = BATCH // LENGTH
        for start in range(0, 10**9, many):
            chosen = [rows[i % len(rows)] for i in range(start, start + many)]
            batch = tokenizer.pad({"input_ids": chosen}, padding="max_length", max_length=LENGTH)
            yield collate([{"input_ids": row, "attention_mask": m} for row, m in zip(
                batch["input_ids"], batch["attention_mask"], strict=True)])  # fmt: skip

    def packed() -> Iterator[dict[str, torch.Tensor]]:
        collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=recipe.mask_rate)
        for found in blocks():
            yield collate([{"input_ids": row.tolist()} for row in found])

    def whole(batches: Iterator[dict[str, torch.Tensor]]) -> Callable[[int], object]:
        mine = grown_network(network, LENGTH).train()
        optimizer = torch.optim.AdamW(mine.parameters(), lr=1e-5)

        def run(_turn: int) -> None:
            mine(**next(batches)).loss.backward()
            nn.utils.clip_grad_norm_(mine.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

        return run

    def hidden(
        way: Recipe, kind: torch.dtype, *, autocast: bool = False
    ) -> Callable[[int], object]:
        mine = grown_network(network, LENGTH).train().to(kind)
        use_fastest_attention(mine)
        masters = Masters(mine, way)
        source, hide = blocks(), masker(tokenizer, way)
        rng = np.random.default_rng(0)

        def run(_turn: int) -> None:
            batch = hide.hide(next(source), rng)
            arrays = (torch.from_numpy(a) for a in (batch.ids, batch.places, batch.gold))
            with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
                loss = hidden_loss(mine, *arrays)
            loss.backward()
            masters.gather()
            masters.step(1e-5)

        return run

    text = round(BATCH * float(np.mean(lengths)) / LENGTH)
    muon = Recipe(batch_tokens=BATCH, lengths=((LENGTH, 1.0),), optimizer="muon")
    return {
        _PADDED: (whole(padded()), text),
        _PACKED: (whole(packed()), BATCH),
        _HIDDEN: (hidden(recipe, torch.float32), BATCH),
        _AUTOCAST: (hidden(recipe, torch.float32, autocast=True), BATCH),
        _OURS: (hidden(recipe, torch.bfloat16), BATCH),
        _MUON: (hidden(muon, torch.bfloat16), BATCH),
    }


def _table(times: Times, ways: dict[str, tuple[Callable[[int], object], int]]) -> Table:
    lines: list[tuple[Cell, ...]] = [
        (name, times.median(name) * 1e6, 1 / times.median(name), times.ratio(_PADDED, name))
        for name in ways
    ]
    notes = (
        f"Steps of {BATCH:,} tokens, padding included; a token of text is what is counted. Texts are "
        f"sentences of {ways[_PADDED][1] * LENGTH / BATCH:.0f} tokens on average.",
    )
    columns = {"": "", "µs a token": ".0f", "tokens/s": ",.0f", "times as fast": ".1f"}
    return Table("A training step", columns, tuple(lines), notes)
