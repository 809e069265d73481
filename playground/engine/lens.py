"""What lies inside one forward pass: the head on every layer's state, and the attention weights.

The shared model is fused and packed, so it keeps neither. A plain copy of it is made when it is first
asked for: the modules as transformers builds them, with eager attention, on the very weights of the
shared one. It costs no memory but its modules, and its predictions are checked against the shared
model's before it is used.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForMaskedLM, PreTrainedModel

from playground.engine.backbone import Backbone, probe_batch
from playground.engine.cache import TensorCache
from playground.engine.encoding import Batch, Encoded, collate
from playground.engine.forward import plain_weights
from playground.engine.loading import quietly
from playground.errors import PlaygroundError, shorten
from playground.settings import Settings


class _Wish(threading.local):
    """What the pass of the current thread is to bring: set around each call."""

    position: int | None = None
    attentions: tuple[torch.Tensor, ...] | None = None  # (1, heads, T, T) a layer


class Lens:
    """Looks into the layers of a backbone's model. Safe between threads; made at the first look.

    The head on inner states is the "logit lens" (nostalgebraist 2020; for what feed-forward layers
    promote in this way see Geva et al. 2022). Where a last norm brings the sums that layers pass on to
    scale (ModernBERT), every row gets that norm before the head.
    """

    def __init__(self, backbone: Backbone, settings: Settings) -> None:
        self._backbone = backbone
        self._most = settings.max_lens_tokens
        self._lock = threading.Lock()
        self._inside: _Inside | None = None
        self._refusal = ""
        self._logits = TensorCache(settings.cache_mb << 18)  # a quarter of the live cache
        self._attention = TensorCache(settings.cache_mb << 18)

    def logits(self, prompt: Encoded) -> torch.Tensor:
        """Return the head's fp32 logits from each layer's state at the first mask, (L + 1, V).

        Row 0 are the embeddings. Raises PlaygroundError for a long prompt and a model without layers.
        """
        known = self._logits.get(prompt)
        return self._look(prompt)[0] if known is None else known

    def attention(self, prompt: Encoded) -> torch.Tensor:
        """Return the attention weights, (L, heads, T, T); PlaygroundError as for :meth:`logits`."""
        known = self._attention.get(prompt)
        weights = self._look(prompt)[1] if known is None else known
        if weights is None:
            raise PlaygroundError(
                f"The model {shorten(self._backbone.name, 80)} gives no attention weights of all its "
                "layers; choose another."
            )
        return weights

    def _look(self, prompt: Encoded) -> tuple[torch.Tensor, torch.Tensor | None]:
        if len(prompt) > self._most:
            raise PlaygroundError(
                f"The text has {len(prompt)} tokens and layers and attention are read for at most "
                f"{self._most}; shorten it."
            )
        encoder, backbone = self._backbone.encoder, self._backbone
        batch = collate([prompt], [0], encoder.pad_id, encoder.uses_type_ids, backbone.device)
        place = prompt.mask_positions[0] if prompt.mask_positions else 0
        logits, weights = self._opened()(batch, place)
        if prompt.mask_positions:
            self._logits.put(prompt, logits)
        if weights is not None:
            self._attention.put(prompt, weights)
        return logits, weights

    def _opened(self) -> _Inside:
        with self._lock:  # made once, and a refusal is found once
            if self._inside is None and not self._refusal:
                try:
                    self._inside = _open(self._backbone)
                except PlaygroundError as error:
                    self._refusal = str(error)
            if self._inside is None:
                raise PlaygroundError(self._refusal)
            return self._inside


class _Inside:
    """A plain copy of a masked LM that gives the head on all layers' states in one forward pass."""

    def __init__(self, model: PreTrainedModel, probe: Batch, *, attentions: bool) -> None:
        self.model, self.attentions = model, attentions
        self._wish = _Wish()
        self._norm = _final_norm(model, probe)
        model.base_model.register_forward_hook(self._stack)

    def __call__(self, batch: Batch, position: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return logits (L + 1, V) at a place of the one prompt, and attention (L, heads, T, T)."""
        wish = self._wish
        wish.position, wish.attentions = position, None
        asked = {"output_attentions": True} if self.attentions else {}
        try:
            with torch.inference_mode():
                found = self.model(**batch.inputs, output_hidden_states=True, **asked)
            logits = found.logits[0].float().cpu()  # (1, L + 1, V) -> (L + 1, V)
            if not wish.attentions:
                return logits, None
            return logits, torch.cat(wish.attentions).float().cpu()
        finally:
            wish.position = wish.attentions = None

    def _stack(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        """Give the head one row a layer instead of one a token: (1, T, H) -> (1, L + 1, H)."""
        place = self._wish.position
        if place is None:
            return output
        *inner, last = (state[:, place] for state in output.hidden_states)  # (1, H) each
        if self._norm is not None:
            inner = [self._norm(state) for state in inner]
        output.last_hidden_state = torch.stack([*inner, last], 1)
        self._wish.attentions = output.attentions if self.attentions else None
        return output


def _open(backbone: Backbone) -> _Inside:
    """Return a copy that says what the shared model says, with attention weights if it has them."""
    batch = probe_batch(backbone.encoder, backbone.device)
    first = Batch((0,), {k: v[:1] for k, v in batch.inputs.items()}, batch.mask_positions[:1])
    expected = backbone.forward(first)[0, 0].cpu()  # (V,)
    place = int(first.mask_positions[0, 0])
    layers = int(getattr(backbone.model.config, "num_hidden_layers", 0))
    tolerance = 1e-3 if backbone.dtype == torch.float32 else 0.5
    for attentions in (True, False):  # some models have layers, and no weights to show
        try:
            inside = _Inside(plain_copy(backbone.model), first, attentions=attentions)
            logits, weights = inside(first, place)
        except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError):
            continue  # the architecture has no place for this
        if attentions and not _is_attention(weights, layers, first.inputs["input_ids"].shape[1]):
            continue
        same = len(logits) == layers + 1 and logits[-1].shape == expected.shape
        if same and (logits[-1] - expected).abs().max() <= tolerance:
            return inside
    raise PlaygroundError(
        f"The layers of {shorten(backbone.name, 80)} cannot be read: its kind, "
        f"{shorten(backbone.model.config.model_type)}, gives no state a layer that its head takes; "
        "choose a model like BERT."
    )


def _final_norm(model: PreTrainedModel, probe: Batch) -> nn.Module | None:
    """Return the norm that stands behind all layers, if there is one: what it gives is the last state."""
    base = model.base_model
    stacked = {
        m for part in base.modules() if isinstance(part, nn.ModuleList) for m in part.modules()
    }
    given: dict[nn.Module, Any] = {}
    hooks = [
        module.register_forward_hook(lambda own, _, output: given.update({own: output}))
        for module in base.modules()
        if module not in stacked and not list(module.children())
    ]
    try:
        with torch.inference_mode():
            last = base(**probe.inputs).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    return next((module for module, output in given.items() if output is last), None)


def _is_attention(weights: torch.Tensor | None, layers: int, width: int) -> bool:
    """Return whether weights (L, heads, T, T) are of all layers and tokens, and shares of 1."""
    if weights is None or weights.ndim != 4:
        return False
    square = (len(weights), *weights.shape[2:]) == (layers, width, width)
    return square and bool((weights.sum(-1) - 1).abs().max() <= 0.02)  # bf16 has 8 bits


def plain_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Return ``model`` as transformers builds it, with eager attention, on the same weights.

    Raises RuntimeError if the weights do not fit, as for a model that holds some outside its modules.
    """
    config = copy.deepcopy(model.config)
    with torch.device("meta"), quietly():  # no memory, no random weights
        made = AutoModelForMaskedLM.from_config(config, attn_implementation="eager")
    made.load_state_dict(plain_weights(model), strict=True, assign=True)
    own = dict(model.named_buffers())
    for place, module in made.named_modules():
        for name in list(module._buffers):  # those that no checkpoint holds, such as position_ids
            if (key := f"{place}.{name}".lstrip(".")) in own:
                module._buffers[name] = own[key]
    return made.eval().requires_grad_(False)
