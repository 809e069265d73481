"""Going on with masked-LM training on the pairs themselves, before they are classified.

Task-adaptive pretraining (Gururangan et al. 2020): premise and hypothesis as one sentence pair, words
hidden in both, so that the encoder learns to look for a word's meaning across the border. Labels are
not used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from torch import nn
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)

from playground.engine.classifier import PAIR
from playground.engine.encoding import Encoded, Encoder
from playground.engine.loading import MASKED_LM, longest_input, read_model, resolve
from playground.errors import PlaygroundError
from playground.settings import Settings
from playground.tasks.nli.pairs import Pairs
from playground.tasks.training.runs import (
    CHECKPOINTS,
    ShowSteps,
    check_recipe,
    open_folder,
    run_mark,
    train_on,
    trainer_arguments,
    training_device,
    with_precision,
)
from playground.tasks.training.saving import staged

Say = Callable[[str], None]


@dataclass(frozen=True)
class Adaptation:
    """How a masked LM is adapted.

    mask_rate: share of the tokens that are predicted; 90 % of them are hidden by the mask token, the
    others stay as they are. The other fields are those of a training's recipe.
    """

    epochs: float = 1.0
    learning_rate: float = 5e-4
    batch_size: int = 96
    max_tokens: int = 64
    mask_rate: float = 0.2
    warmup: float = 0.06
    weight_decay: float = 0.01
    precision: str = "auto"
    evaluations: float = 4
    seed: int = 0

    def __post_init__(self) -> None:
        check_recipe(self, {}, ("mask_rate",))
        if not self.mask_rate > 0:
            raise PlaygroundError(f"mask_rate is {self.mask_rate}; it must be above 0.")


def adapt(
    model: str | None,
    train: Pairs,
    dev: Pairs,
    out: str | os.PathLike[str],
    *,
    recipe: Adaptation,
    settings: Settings,
    device: str | None = None,
    fresh: bool = False,
    say: Say | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Go on with masked-LM training of ``model`` on pairs and save it to ``out``; return the dev losses.

    Losses are in nats a hidden token. A stopped run goes on, as if it had not been. Raises PlaygroundError
    for what cannot be read or written.
    """
    tell = say or (lambda sentence: None)
    folder = open_folder(out, fresh=fresh)
    source = resolve(model, settings, MASKED_LM)
    network, tokenizer = read_model(source, MASKED_LM)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # words are hidden anew in every batch, which is noise enough
    if not torch.cuda.is_available():
        network.set_attn_implementation("eager")  # a tenth faster than the fused kernel on a CPU
    encoder = Encoder(tokenizer, min(recipe.max_tokens, longest_input(network, tokenizer)))
    sets = [_dataset(pairs, encoder) for pairs in (train, dev)]
    place = training_device(device or settings.device)
    asked, recipe = recipe, with_precision(recipe, place, folder)
    arguments = trainer_arguments(
        folder, recipe, len(train), place, prediction_loss_only=True, remove_unused_columns=False,
        train_sampling_strategy="group_by_length", metric_for_best_model="loss",
    )  # fmt: skip
    losses: list[float] = []
    trainer = _HiddenWordsTrainer(
        network,
        arguments,
        hiders=(
            _Hider(tokenizer, recipe, arguments.process_index),
            _Hider(tokenizer, recipe, arguments.process_index),
        ),
        train_dataset=sets[0],
        eval_dataset=sets[1],
    )
    trainer.remove_callback(PrinterCallback)
    mark = run_mark(asked, network, (*train.columns(), *dev.columns()), arguments.world_size)
    train_on(
        trainer, folder, mark, precision=recipe.precision, fresh=fresh, say=tell,
        callbacks=(_Tell(tell, losses), ShowSteps(progress)),
    )  # fmt: skip
    if trainer.is_world_process_zero():
        with staged(folder) as stage:
            network.save_pretrained(stage)
            tokenizer.save_pretrained(stage)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return losses


class _Hider(TrainerCallback):
    """Hides words of a batch, drawn by its number: a run that goes on hides those that it would have.

    number: of the next batch, which of a training is its step.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, recipe: Adaptation, process: int = 0
    ) -> None:
        self._seed = (recipe.seed, process)
        self.number = 0
        self._collator = DataCollatorForLanguageModeling(
            tokenizer,
            mlm_probability=recipe.mask_rate,
            mask_replace_prob=0.9,
            random_replace_prob=0.0,
            seed=recipe.seed,
        )

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        seed = np.random.SeedSequence([*self._seed, self.number]).generate_state(1, np.uint64)
        self._collator.generator = torch.Generator().manual_seed(int(seed[0]))
        self.number += 1
        return self._collator(rows)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.number = state.global_step


class _HiddenWordsTrainer(Trainer):
    """Runs the prediction head at the hidden words only: elsewhere there is no loss.

    hiders: what hides words while training, and on the dev set, where it is the same words each time.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        *args: Any,
        hiders: tuple[_Hider, _Hider],
        **options: Any,
    ) -> None:
        super().__init__(network, *args, data_collator=hiders[0], **options)
        self.add_callback(hiders[0])
        self._dev_hider = hiders[1]
        self._hidden: torch.Tensor | None = None
        network.base_model.register_forward_hook(self._gather)

    def _gather(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        if self._hidden is not None:
            output.last_hidden_state = output.last_hidden_state[self._hidden][None]  # (1, M, H)
        return output

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        training, self.data_collator = self.data_collator, self._dev_hider
        self._dev_hider.number = 0
        try:
            return super().evaluate(*args, **options)
        finally:
            self.data_collator = training

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        labels = inputs.pop("labels")  # (N, T), -100 where no word is hidden
        self._hidden = labels != -100
        try:
            outputs = model(**inputs)
        finally:
            gold, self._hidden = labels[self._hidden], None
        logits = outputs.logits[0].float()  # (M, V)
        loss = nn.functional.cross_entropy(logits, gold, reduction="sum") / max(1, len(gold))
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        given = self._prepare_inputs(inputs)
        hidden = bool((given["labels"] != -100).any())
        with torch.no_grad():
            loss = self.compute_loss(model, given)
        return (loss if hidden else loss + torch.nan), None, None  # the mean leaves NaN out


class _Tell(TrainerCallback):
    def __init__(self, say: Say, losses: list[float]) -> None:
        self._say, self._losses = say, losses

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        self._losses.append(metrics["eval_loss"])
        self._say(
            f"step {state.global_step:,} of {state.max_steps:,}: dev loss {metrics['eval_loss']:.3f} nats"
        )


def _dataset(pairs: Pairs, encoder: Encoder) -> datasets.Dataset:
    rows = zip(pairs.premises, pairs.hypotheses, strict=True)
    found = [
        row for row in encoder.encode([PAIR.render(r) for r in rows]) if isinstance(row, Encoded)
    ]
    columns: dict[str, list] = {"input_ids": [list(row.ids) for row in found]}
    if encoder.uses_type_ids:
        columns["token_type_ids"] = [list(row.type_ids) for row in found]
    return datasets.Dataset.from_dict(columns)
