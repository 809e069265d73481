"""How the loss of a prompt's labels moves with the embeddings of single tokens of its template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from playground.engine.backbone import Backbone, probe_batch
from playground.engine.calibration import Priors, label_log_probs
from playground.engine.encoding import Encoded, batches
from playground.engine.forward import MaskForward
from playground.engine.label_words import WordPieces
from playground.engine.loading import MASKED_LM, read_model
from playground.engine.runner import WordTable
from playground.engine.tuning.recipe import METHODS
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt

_BATCH_TOKENS = 1_000


class TokenGradients:
    """A plain copy of a backbone's model, read anew: the shared one is fused, packed and not to be touched.

    What tuning changed is applied to the copy too. It holds the gradients of one call, so that one search
    uses one of them. Raises PlaygroundError for a model with a head of its own.
    """

    def __init__(self, backbone: Backbone) -> None:
        delta = backbone.delta
        if delta is not None and not METHODS[delta.method].words:
            raise PlaygroundError(
                f"This model was tuned with the method {delta.method}, which has a head of its own and no "
                "label words; take the model that it was made from."
            )
        model, _ = read_model(backbone.source, MASKED_LM)
        if delta is not None:
            delta.apply(model)
        model.to(backbone.device)  # type: ignore[arg-type]
        self._backbone = backbone
        probe = probe_batch(backbone.encoder, backbone.device)
        self._forward = MaskForward(model, probe, gradients=True)
        table = model.get_input_embeddings()
        self.embeddings = cast(torch.Tensor, table.weight).detach()  # (V, H)
        self._seen: list[torch.Tensor] = []

        def keep(_module, _inputs, output: torch.Tensor) -> torch.Tensor:
            self._seen = [output.detach().requires_grad_(True)]
            return self._seen[0]

        table.register_forward_hook(keep)

    def loss(
        self,
        prompts: Sequence[Encoded],
        positions: Sequence[Sequence[int]],
        prompt: Prompt,
        words: Sequence[WordPieces],
        gold: Sequence[int],
    ) -> tuple[float, torch.Tensor]:
        """Return the mean of -log P(gold label | row), and its gradient at K tokens, (K, H).

        positions (N, K) are the places of the K tokens in each of the N prompts, whose rows' gradients
        are added up. Calibration is left out. Raises PlaygroundError for a label word of several
        pieces.
        """
        for word in words:
            if not word.single:
                raise PlaygroundError(
                    f"Label word {shorten(word.text)} is {len(word.ids)} pieces and a gradient takes "
                    "words of one piece; choose another word."
                )
        device, encoder = self._backbone.device, self._backbone.encoder
        ids = torch.tensor([word.ids[0] for word in words], device=device)
        places, right = torch.tensor(positions, device=device), torch.tensor(list(gold))
        total = 0.0
        gradient = torch.zeros(places.shape[1], self.embeddings.shape[1], device=device)  # (K, H)
        for batch in batches(
            prompts,
            budget=_BATCH_TOKENS,
            pad_id=encoder.pad_id,
            type_ids=encoder.uses_type_ids,
            device=device,
        ):
            rows = torch.tensor(batch.rows)
            logits = self._forward(batch)[:, 0]  # (B, V)
            partition = logits.logsumexp(-1)
            scores = logits[:, ids] - partition[:, None]
            table = WordTable(
                scores.cpu(), partition.cpu(), torch.ones(len(rows), dtype=torch.bool)
            )
            log_probs, _ = label_log_probs(table, prompt, Priors())  # (B, C)
            loss = -log_probs[torch.arange(len(rows)), right[rows]].sum() / len(prompts)
            (slopes,) = torch.autograd.grad(loss, self._seen)  # (B, T, H)
            gradient += slopes.gather(
                1, places[rows.to(device)][..., None].expand(-1, -1, slopes.shape[-1])
            ).sum(0)
            total += float(loss.detach())
        self._seen = []
        return total, gradient
