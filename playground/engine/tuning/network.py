"""A private copy of a model with what one method tunes freed, and the label scores that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from playground.engine.backbone import Backbone, probe_batch
from playground.engine.encoding import Batch, Encoded, Encoder, collate
from playground.engine.forward import MaskForward
from playground.engine.label_words import Vocabulary
from playground.engine.loading import MASKED_LM, longest_input, read_model
from playground.engine.rules import MaskReader
from playground.engine.tuning.delta import differences, new_head
from playground.engine.tuning.drawing import drawn
from playground.engine.tuning.lora import LoraLinear, add_lora
from playground.engine.tuning.recipe import METHODS, Recipe
from playground.engine.tuning.soft import EncodedRows, Rows, SoftEmbedding, first_rows
from playground.errors import PlaygroundError
from playground.prompts import AnyPrompt, RulePrompt, Template
from playground.prompts.template import Row


def bare_template(template: Template) -> Template:
    """Return the template's texts without its words and mask, as plain fine-tuning reads them."""
    first, *others = (f"{{{name}}}" for name in template.fields)
    return Template(f"{first} {{sep}} {' '.join(others)}" if others else first)


def soft_template(template: Template, count: int = 4) -> Template:
    """Return a template with ``count`` soft tokens, to be learned, in front of all that it says."""
    return Template(f"{{soft:{count}}} {template.source}")


class Network:
    """A copy of a backbone's model, read anew in fp32: the shared one is fused, packed and not to be touched.

    ``tuned`` are the parameters that the method changes, by name; all others are frozen. What is new is
    drawn from the recipe's seed. Raises PlaygroundError for a prompt that the method cannot tune.
    """

    def __init__(self, backbone: Backbone, prompt: AnyPrompt, recipe: Recipe) -> None:
        _check(backbone, prompt, recipe)
        self._backbone, self.recipe = backbone, recipe
        # a prior of the untuned model would be wrong for the tuned one
        self.prompt = replace(prompt, scoring=replace(prompt.scoring, calibration="none"))
        model, tokenizer = read_model(backbone.source, MASKED_LM)
        if recipe.dropout is not None:
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = recipe.dropout
        self.model = model
        self.template = prompt.template
        if recipe.method == "cls":
            self.template = bare_template(prompt.template)
        self._head: nn.Module | None = None
        self._lora: dict[str, LoraLinear] = {}
        self._states: dict[Encoded, torch.Tensor] = {}
        soft = (0, 0)
        with drawn(recipe.seed, -1, backbone.device):
            if not METHODS[recipe.method].words:
                wide = int(model.config.hidden_size)
                self._head = new_head(recipe.method, wide, len(prompt.labels))
            elif recipe.method == "lora":
                self._lora = add_lora(model, recipe.rank, recipe.alpha)
            elif recipe.method == "soft":
                table = cast(nn.Embedding, model.get_input_embeddings())
                soft = (table.num_embeddings, prompt.template.soft_tokens)
                self._rows = self._soft_rows(table.weight.detach(), soft[1])
                model.set_input_embeddings(SoftEmbedding(table, self._rows))
        self.encoder = Encoder(tokenizer, longest_input(model, tokenizer), soft=soft)
        model.to(backbone.device)  # type: ignore[arg-type]
        if self._head is not None:
            self._head.to(backbone.device)
        probe = probe_batch(self.encoder, backbone.device)
        named = dict(model.named_parameters())  # as the base has them, before a decoder is wrapped
        self._forward = MaskForward(model, probe, gradients=True)  # freezes all
        self.tuned = self._freed(named)
        self._reader = (
            MaskReader.of(prompt, Vocabulary(backbone), what="tuning")
            if self._head is None
            else None
        )

    @property
    def undecayed(self) -> set[str]:
        """The tuned parameters without weight decay: biases, norms, and tables of embeddings.

        A row of the table that no text holds has no gradient and so stays as it is, to the bit.
        """
        tables = [self.model.get_input_embeddings(), self.model.get_output_embeddings()]
        kept = {id(getattr(table, "weight", None)) for table in tables}
        return {
            name
            for name, weight in self.tuned.items()
            if weight.ndim < 2 or id(weight) in kept or self.recipe.method == "soft"
        }

    def train(self, mode: bool = True) -> None:
        """Turn dropout and gradients on, or off."""
        learns = (
            mode and self.recipe.method != "linear"
        )  # whose states are those of the frozen base
        self.model.train(learns)
        self._forward.gradients = learns
        if self._head is not None:
            self._head.train(mode)

    def encode(self, rows: Sequence[Row], name: str) -> list[Encoded]:
        """Return the rows as the method reads them; raises the error of one that cannot be read."""
        found: list[Encoded] = []
        for number, row in enumerate(rows, start=1):
            try:
                one = self.encoder.encode_one(self.template.render(row))
            except PlaygroundError as error:
                raise PlaygroundError(
                    f"Row {number} of the {name} cannot be used. {error}"
                ) from None
            if self.recipe.method == "cls":
                one = replace(one, mask_positions=(0,))
            found.append(one)
        return found

    def log_probs(self, prompts: Sequence[Encoded]) -> torch.Tensor:
        """Return log P(label | prompt) before calibration, (B, C) on the CPU, as inference gives them."""
        if self._reader is not None:
            logits = self._forward(self._batch(prompts), self._reader.ids).cpu()  # (B, M, W)
            return self._reader.log_probs(logits)
        if self.recipe.method == "cls":
            states = self._forward.hidden(self._batch(prompts))[:, 0]  # (B, H)
        else:
            states = self._frozen_states(prompts)
        return cast(nn.Module, self._head)(states).log_softmax(-1).cpu()

    def tensors(self, tuned: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the delta of values of ``tuned``, by the names that a delta has."""
        method = self.recipe.method
        if method == "soft":
            now = {name: weight.detach().clone() for name, weight in self.tuned.items()}
            try:
                self.restore(tuned)
                with torch.no_grad():
                    return {"soft": self._rows().clone().cpu()}
            finally:
                self.restore(now)
        if method == "lora":
            found: dict[str, torch.Tensor] = {}
            for name, layer in self._lora.items():
                found[f"lora_a:{name}"] = tuned[f"{name}.a"].detach().cpu().clone()
                found[f"lora_b:{name}"] = tuned[f"{name}.b"].detach().cpu() * layer.scale
            return found
        heads = {n: w.detach().cpu().clone() for n, w in tuned.items() if n.startswith("head:")}
        if method == "linear":
            return heads
        base, _ = read_model(self._backbone.source, MASKED_LM)
        weights = {name: weight for name, weight in tuned.items() if name not in heads}
        own = dict(base.named_parameters())
        return differences(weights, own, half=method != "bias") | heads

    def restore(self, values: Mapping[str, torch.Tensor]) -> None:
        """Give the tuned parameters other values."""
        with torch.no_grad():
            for name, weight in self.tuned.items():
                weight.copy_(values[name])

    # ---- parts --------------------------------------------------------------------------------

    def _freed(self, named: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
        method, model = self.recipe.method, self.model
        if method in ("whole", "cls"):
            chosen = named
            if method == "cls":  # the masked-LM head is not run, but for what it shares
                kept = {id(weight) for weight in model.base_model.parameters()}
                chosen = {name: weight for name, weight in named.items() if id(weight) in kept}
        elif method == "bias":
            chosen = {name: weight for name, weight in named.items() if name.endswith("bias")}
        elif method == "lora":
            added = self._lora.items()
            chosen = {f"{n}.{part}": getattr(layer, part) for n, layer in added for part in "ab"}
        elif method == "soft":
            chosen = dict(self._rows.named_parameters())
        else:
            chosen = {}
        if self._head is not None:
            chosen |= {f"head:{name}": weight for name, weight in self._head.named_parameters()}
        if not chosen:
            raise PlaygroundError("This model has no bias terms to tune; choose another method.")
        for weight in chosen.values():
            weight.requires_grad_(True)
        return chosen

    def _soft_rows(self, table: torch.Tensor, count: int) -> nn.Module:
        recipe = self.recipe
        ids: list[int] = []
        for word in recipe.soft_words.split():
            ids += self._backbone.encoder.pieces(word)
        vectors = first_rows(table, count, ids, torch.Generator().manual_seed(recipe.seed))
        if recipe.soft_encoder == "none":
            return Rows(vectors)
        return EncodedRows(vectors, recipe.soft_encoder, float(table.std()))

    def _batch(self, prompts: Sequence[Encoded]) -> Batch:
        encoder = self.encoder
        return collate(
            prompts,
            range(len(prompts)),
            encoder.pad_id,
            encoder.uses_type_ids,
            self._backbone.device,
        )

    def _frozen_states(self, prompts: Sequence[Encoded]) -> torch.Tensor:
        """Return the states at the masks, (B, H): each prompt is run once, alone, and remembered."""
        for prompt in prompts:
            if prompt not in self._states:
                self._states[prompt] = self._forward.hidden(self._batch([prompt]))[0, 0].clone()
        return torch.stack([self._states[prompt] for prompt in prompts])


def _check(backbone: Backbone, prompt: AnyPrompt, recipe: Recipe) -> None:
    if backbone.delta is not None:
        raise PlaygroundError(
            f"The model {backbone.name} is tuned already; tune the one that it was made from."
        )
    if isinstance(prompt, RulePrompt) and not METHODS[recipe.method].words:
        raise PlaygroundError(
            f"The method {recipe.method} has a head of its own and reads no rules; choose one of "
            f"{', '.join(name for name, method in METHODS.items() if method.words)}."
        )
    if not prompt.template.fields:
        raise PlaygroundError(
            "The template takes no text, so there is nothing to tune it on; add {text}."
        )
    soft = prompt.template.soft_tokens
    if recipe.method == "soft" and not soft:
        raise PlaygroundError(
            "The method soft tunes soft tokens and the template has none; write a slot such as {soft:4}."
        )
    if recipe.method not in ("soft", "cls") and soft:
        raise PlaygroundError(
            f"The template has {soft} soft tokens and {recipe.method} does not tune them; choose the "
            "method soft, or take them out."
        )
    if (recipe.soft_words or recipe.soft_encoder != "none") and recipe.method != "soft":
        raise PlaygroundError(
            f"soft_words and soft_encoder belong to the method soft, not to {recipe.method}."
        )
