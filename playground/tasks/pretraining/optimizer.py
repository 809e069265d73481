"""The optimiser: fp32 masters of weights that are computed with in bf16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from playground.tasks.pretraining.recipe import Recipe

CLIP = 1.0  # of the norm of all gradients
_BETAS = (0.9, 0.98)


class Masters:
    """Weights in fp32 beside the network's own, which follow them after each step.

    A bf16 weight has 8 bits of precision, so small steps would be lost on it; the masters gather them
    (Micikevicius et al. 2018, § 3.1). A network in fp32 is its own master. With "muon" the matrices of
    the layers get orthogonalised momentum (Jordan et al. 2024, scaled as in Liu et al. 2025), and
    embeddings, biases and norms AdamW.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self._named = dict(network.named_parameters())
        self._own = next(iter(self._named.values())).dtype == torch.float32
        self.weights = {
            name: weight if self._own else weight.detach().float().requires_grad_()
            for name, weight in self._named.items()
        }
        matrices = [
            weight
            for name, weight in self.weights.items()
            if recipe.optimizer == "muon" and weight.ndim == 2 and ".layer." in name
        ]
        taken = {id(weight) for weight in matrices}
        rest = [weight for weight in self.weights.values() if id(weight) not in taken]
        decayed = [weight for weight in rest if weight.ndim > 1]
        plain = [weight for weight in rest if weight.ndim <= 1]
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    {"params": decayed, "weight_decay": recipe.weight_decay},
                    {"params": plain, "weight_decay": 0.0},
                ],
                lr=recipe.learning_rate, betas=_BETAS, fused=True,
            )
        ]  # fmt: skip
        if matrices:
            self._optimizers.append(
                torch.optim.Muon(
                    matrices, lr=recipe.learning_rate, weight_decay=recipe.weight_decay,
                    adjust_lr_fn="match_rms_adamw",
                )
            )  # fmt: skip

    def gather(self) -> None:
        """Add the network's gradients to the masters' and clear them."""
        if self._own:
            return
        for name, weight in self._named.items():
            if weight.grad is not None:
                master, found = self.weights[name], weight.grad.float()
                master.grad = found if master.grad is None else master.grad.add_(found)
                weight.grad = None

    def gradients(self) -> list[torch.Tensor]:
        """Return the masters' gradients, in a fixed order."""
        return [weight.grad for weight in self.weights.values() if weight.grad is not None]

    def step(self, rate: float) -> None:
        """Clip, step with learning rate ``rate``, and copy the masters to the network."""
        nn.utils.clip_grad_norm_(list(self.weights.values()), CLIP)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._follow()

    def _follow(self) -> None:
        if not self._own:
            with torch.no_grad():
                torch._foreach_copy_(list(self._named.values()), list(self.weights.values()))

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that a later start needs, as named tensors."""
        found = {f"weight {name}": weight.detach() for name, weight in self.weights.items()}
        names = {id(weight): name for name, weight in self.weights.items()}
        for optimizer in self._optimizers:
            for weight, slots in optimizer.state.items():
                for slot, value in slots.items():
                    found[f"{slot} {names[id(weight)]}"] = torch.as_tensor(value)
        return found

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from :meth:`state`."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state[f"weight {name}"])
        slots: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in state.items():
            slot, _, name = key.partition(" ")
            if slot != "weight":
                slots.setdefault(name, {})[slot] = value
        names = {id(weight): name for name, weight in self.weights.items()}
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    name = names[id(weight)]
                    if name in slots:
                        optimizer.state[weight] = {
                            slot: value.clone().to(weight.device if value.ndim else "cpu")
                            for slot, value in slots[name].items()
                        }
        self._follow()
