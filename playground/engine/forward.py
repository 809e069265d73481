"""The masked LM's forward pass, computed only where a mask is: exact, and several times faster.

Four savings, each through a public hook or setter, so that every architecture of transformers is
served; each is checked against the plain forward pass when the model is loaded and left out where
the numbers differ or the model has no place for it:

- the hidden states are gathered at the masks before the prediction head runs;
- the encoder of BERT-like models runs fused, its last layer on the masks' rows only;
- where it cannot (DeBERTa), all that follows attention in the last layer runs on those rows only;
- the decoder computes the label words' columns only, where no more is asked for.
"""

from __future__ import annotations

import threading

import torch
from torch import nn
from transformers import PreTrainedModel

from playground.engine.encoding import Batch
from playground.engine.fused import FUSED_TYPES, FusedEncoder


class _Focus(threading.local):
    """What the forward pass of the current thread is to compute: set around each call."""

    positions: torch.Tensor | None = None  # (N, M)
    columns: torch.Tensor | None = None  # (W,)
    gathered: bool = False


class _ColumnDecoder(nn.Module):
    """A decoder that computes chosen vocabulary columns only, when the focus names some."""

    def __init__(self, decoder: nn.Linear, focus: _Focus) -> None:
        super().__init__()
        self.decoder = decoder
        self._focus = focus

    @property
    def weight(self) -> torch.Tensor:
        return self.decoder.weight

    @property
    def bias(self) -> torch.Tensor | None:
        return self.decoder.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        columns = self._focus.columns
        if columns is None:
            return self.decoder(hidden)  # (N, M, H) @ (H, V) -> (N, M, V)
        bias = self.decoder.bias
        return nn.functional.linear(
            hidden, self.decoder.weight[columns], None if bias is None else bias[columns]
        )  # (N, M, H) @ (H, W) -> (N, M, W)


class MaskForward:
    """Runs a masked LM and returns the logits at its masks.

    All parameters are frozen here: tuning frees those of a private copy, never of the shared model. With
    ``gradients`` autograd follows the pass, for what an input or a weight does to the logits; of the
    savings only the first and the last are tried then.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        probe: Batch | None = None,
        *,
        tolerance: float = 1e-4,
        gradients: bool = False,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.savings: tuple[str, ...] = ()
        self._focus = _Focus()
        self._columns = False
        self.gradients = gradients
        if probe is not None:
            self._adopt(probe, tolerance)

    def __call__(self, batch: Batch, columns: torch.Tensor | None = None) -> torch.Tensor:
        """Return fp32 logits at the masks: (N, M, V), or (N, M, W) for ``columns`` (W,)."""
        focus = self._focus
        focus.positions = batch.mask_positions
        focus.columns = columns if self._columns else None
        focus.gathered = False
        try:
            with torch.enable_grad() if self.gradients else torch.inference_mode():
                logits = self.model(**batch.inputs).logits
            if logits.shape[1] != batch.mask_positions.shape[1] or not self.savings:
                logits = _gather(logits, batch.mask_positions)  # (N, T, V) -> (N, M, V)
        finally:
            focus.positions = focus.columns = None
        if columns is not None and not self._columns:
            logits = logits[..., columns]
        return logits.float()

    def hidden(self, batch: Batch) -> torch.Tensor:
        """Return fp32 states of the last layer at ``batch.mask_positions``, (N, M, H)."""
        focus = self._focus
        focus.positions, focus.gathered = batch.mask_positions, False
        try:
            with torch.enable_grad() if self.gradients else torch.inference_mode():
                states = self.model.base_model(**batch.inputs).last_hidden_state
            if not self.savings:
                states = _gather(states, batch.mask_positions)  # (N, T, H) -> (N, M, H)
        finally:
            focus.positions = None
        return states.float()

    def _adopt(self, probe: Batch, tolerance: float) -> None:
        """Add each saving that reproduces the plain forward pass on ``probe``."""
        plain = self(probe)
        vocabulary = plain.shape[-1]
        columns = torch.arange(0, vocabulary, max(1, vocabulary // 7), device=plain.device)
        for name, install in (
            ("mask-only head", self._gather_after_encoder),
            ("fused encoder", self._fuse_encoder),
            ("mask-only last layer", self._gather_in_last_layer),
            ("label-word columns", self._select_columns),
        ):
            if name != "mask-only head" and not self.savings:
                break  # the others stand on the first
            if self.gradients and name in ("fused encoder", "mask-only last layer"):
                continue  # which are for inference alone
            if name == "mask-only last layer" and "fused encoder" in self.savings:
                continue  # which has it already
            undo = install()
            if undo is None:
                continue
            kept = self.savings
            self.savings = (*kept, name)
            if not (
                _agrees(self, probe, None, plain, tolerance)
                and _agrees(self, probe, columns, plain[..., columns], tolerance)
            ):
                undo()
                self.savings = kept

    def _gather_after_encoder(self):
        def hook(_module, _inputs, output):
            focus = self._focus
            if focus.positions is not None and not focus.gathered:
                focus.gathered = True
                output.last_hidden_state = _gather(output.last_hidden_state, focus.positions)
            return output

        base = self.model.base_model
        return None if base is self.model else base.register_forward_hook(hook).remove

    def _fuse_encoder(self):
        base = self.model.base_model
        encoder = getattr(base, "encoder", None)
        if not isinstance(encoder, nn.Module) or self.model.config.model_type not in FUSED_TYPES:
            return None

        def positions(_hidden: torch.Tensor) -> torch.Tensor | None:
            self._focus.gathered = self._focus.positions is not None
            return self._focus.positions

        try:
            base.encoder = FusedEncoder(encoder, positions)
        except (AttributeError, TypeError, RuntimeError):
            return None  # layers of another kind

        def undo() -> None:
            base.encoder = encoder

        return undo

    def _gather_in_last_layer(self):
        layers = [
            module
            for module in self.model.base_model.modules()
            if isinstance(module, nn.ModuleList)
            and len(module) == getattr(self.model.config, "num_hidden_layers", -1)
        ]
        projection = (
            getattr(getattr(layers[0][-1], "attention", None), "output", None) if layers else None
        )
        if not isinstance(projection, nn.Module):
            return None

        def hook(_module, inputs):
            focus = self._focus
            if focus.positions is None or len(inputs) != 2:  # (attention's output, residual)
                return None
            focus.gathered = True
            return tuple(_gather(hidden, focus.positions) for hidden in inputs)

        return projection.register_forward_pre_hook(hook).remove

    def _select_columns(self):
        decoder = self.model.get_output_embeddings()
        if not isinstance(decoder, nn.Linear):
            return None
        self.model.set_output_embeddings(_ColumnDecoder(decoder, self._focus))
        self._columns = True

        def undo() -> None:
            self._columns = False
            self.model.set_output_embeddings(decoder)

        return undo


def plain_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return a model's weights by the names that transformers gives them, whatever was put in its place.

    They are the weights themselves or views of them: nothing is copied.
    """
    weights = dict(model.state_dict())
    for place, module in model.named_modules():
        if isinstance(module, FusedEncoder):
            weights = {k: v for k, v in weights.items() if not k.startswith(f"{place}.")}
            weights |= {f"{place}.{name}": own for name, own in module.plain_weights().items()}
        elif isinstance(module, _ColumnDecoder):
            inner = f"{place}.decoder."
            weights = {
                f"{place}.{k.removeprefix(inner)}" if k.startswith(inner) else k: v
                for k, v in weights.items()
            }
    return weights


def _gather(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return the rows at ``positions``: (N, T, H) and (N, M) -> (N, M, H)."""
    return hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))


def _agrees(
    forward: MaskForward, probe: Batch, columns, expected: torch.Tensor, tolerance: float
) -> bool:
    try:
        got = forward(probe, columns)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return False  # the architecture has no place for this saving
    return got.shape == expected.shape and bool((got - expected).abs().max() <= tolerance)
