"""Masters step as torch's optimisers do, keep what bf16 would lose, and go on bit by bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from playground.tasks.pretraining.checkpoints import Progress, load_progress, save_progress
from playground.tasks.pretraining.optimizer import Masters
from tests.tasks.pretraining.toys import recipe


class Toy(nn.Module):
    """A few weights under the names that a BERT's have: matrices of a layer, embeddings, a norm."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.words = nn.Embedding(12, 8)
        self.layer = nn.ModuleList([nn.Linear(8, 8)])
        self.norm = nn.LayerNorm(8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = self.norm(self.layer[0](self.words(ids)).tanh())
        return nn.functional.cross_entropy((states @ self.words.weight.T).float(), ids.roll(1))


class Bert(nn.Module):
    """The toy where a BERT has its layers, so that names hold ".layer."."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.encoder = Toy(seed)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.encoder(ids)


def batch(step: int, many: int = 16) -> torch.Tensor:
    return torch.randint(12, (many,), generator=torch.Generator().manual_seed(step))


def train(model, masters, steps, rate=0.05):
    for step in steps:
        model(batch(step)).backward()
        masters.gather()
        masters.step(rate * (1 + step % 3))


def test_fp32_is_adamw_with_decay_of_matrices_alone():
    ours, theirs = Bert(), Bert()
    own = recipe(weight_decay=0.2)
    train(ours, Masters(ours, own), range(12))
    matrices = [weight for weight in theirs.parameters() if weight.ndim > 1]
    others = [weight for weight in theirs.parameters() if weight.ndim == 1]
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.2}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )
    for step in range(12):
        theirs(batch(step)).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        for group in adamw.param_groups:
            group["lr"] = 0.05 * (1 + step % 3)
        adamw.step()
        adamw.zero_grad()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_adamw_is_its_paper_by_hand():
    """One step of Loshchilov and Hutter (2019, alg. 2): w - lr (m / (sqrt(v) + eps) + decay w)."""
    model = Bert()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    masters = Masters(model, recipe(weight_decay=0.1))
    model(batch(0)).backward()
    norm = torch.stack([w.grad.norm() for w in model.parameters()]).norm()
    wanted = {}
    for name, weight in model.named_parameters():
        gradient = weight.grad * min(1.0, float(1 / norm))
        decay = 0.1 if weight.ndim > 1 else 0.0
        moved = gradient / (gradient.abs() + 1e-8)  # after one step, both means unbiased
        wanted[name] = before[name] - 0.01 * (moved + decay * before[name])
    masters.step(0.01)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.detach(), wanted[name], rtol=1e-5, atol=1e-6)


def test_muon_takes_the_matrices_of_the_layers_alone():
    ours, theirs = Bert(), Bert()
    own = recipe(optimizer="muon", weight_decay=0.1)
    train(ours, Masters(ours, own), range(6), rate=0.01)
    named = dict(theirs.named_parameters())
    layer = named.pop("encoder.layer.0.weight")
    muon = torch.optim.Muon([layer], weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [
            {"params": [w for w in named.values() if w.ndim > 1], "weight_decay": 0.1},
            {"params": [w for w in named.values() if w.ndim == 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
    for step in range(6):
        theirs(batch(step)).backward()
        torch.nn.utils.clip_grad_norm_(list(theirs.parameters()), 1.0)
        for optimizer in (adamw, muon):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (1 + step % 3)
            optimizer.step()
            optimizer.zero_grad()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_masters_gather_steps_that_bf16_alone_loses():
    def one():
        model = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            model.weight.fill_(1.0)
        return model.bfloat16()

    step, many = 1e-4, 100  # a bf16 weight of 1 moves by 1/128 or not at all
    ours = one()
    masters = Masters(ours, recipe(weight_decay=0.0))
    alone = one()
    adamw = torch.optim.AdamW(alone.parameters(), lr=step, betas=(0.9, 0.98), weight_decay=0.0)
    for _ in range(many):
        for model in (ours, alone):
            model.weight.grad = torch.ones_like(model.weight)
        masters.gather()
        masters.step(step)
        adamw.step()
    assert float(alone.weight) == 1.0
    assert float(masters.weights["weight"]) == pytest.approx(1 - many * step, rel=1e-4)
    assert ours.weight.dtype == torch.bfloat16
    assert torch.equal(ours.weight, masters.weights["weight"].bfloat16())
    assert float(ours.weight) < 1.0


def test_a_network_in_fp32_is_its_own_master():
    model = Bert()
    masters = Masters(model, recipe())
    assert all(masters.weights[name] is weight for name, weight in model.named_parameters())


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_two_batches_gathered_are_one_of_double_size(kind):
    twice, once = Bert().to(kind), Bert().to(kind)
    first, second = Masters(twice, recipe()), Masters(once, recipe())
    left, right = batch(1), batch(2)
    for part in (left, right):
        (twice(part) / 2).backward()
        first.gather()
    ((once(left) + once(right)) / 2).backward()
    second.gather()
    tolerance = 1e-7 if kind == torch.float32 else 2e-2
    for mine, other in zip(first.gradients(), second.gradients(), strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


def test_gathered_gradients_are_added_in_fp32():
    """256 + 1 is 256 in bf16, so many small gradients would be lost beside a large one."""
    model = nn.Linear(1, 1, bias=False).bfloat16()
    masters = Masters(model, recipe())
    for value in [256.0] + [1.0] * 64:
        model.weight.grad = torch.full_like(model.weight, value)
        masters.gather()
        assert model.weight.grad is None
    assert float(masters.gradients()[0]) == 256 + 64


def test_the_norm_of_all_gradients_is_clipped_to_one():
    model = nn.Linear(3, 1, bias=False)
    masters = Masters(model, recipe(weight_decay=0.0))
    model.weight.grad = torch.tensor([[300.0, 0.0, 400.0]])
    masters.step(0.1)
    mean = masters.state()["exp_avg weight"]
    torch.testing.assert_close(mean, 0.1 * torch.tensor([[0.6, 0.0, 0.8]]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_state_goes_on_bit_by_bit(optimizer, kind, tmp_path):
    own = recipe(optimizer=optimizer, weight_decay=0.1)
    whole = Bert().to(kind)
    masters = Masters(whole, own)
    train(whole, masters, range(5))
    save_progress(tmp_path, "mark", Progress(step=5), masters.state())
    train(whole, masters, range(5, 10))

    again = Bert(seed=9).to(kind)  # other weights, all of which the state replaces
    loaded = Masters(again, own)
    progress, state = load_progress(tmp_path, "mark")
    assert progress.step == 5
    loaded.load(state)
    train(again, loaded, range(5, 10))
    for mine, other in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, other)
    ended, wanted = loaded.state(), masters.state()
    assert sorted(ended) == sorted(wanted)
    for name, value in wanted.items():
        assert torch.equal(ended[name], value), name
        assert ended[name].dtype == value.dtype == torch.float32


def test_a_loaded_state_is_a_copy():
    model = Bert()
    masters = Masters(model, recipe())
    train(model, masters, range(2))
    state = {name: value.clone() for name, value in masters.state().items()}
    kept = {name: value.clone() for name, value in state.items()}
    other = Bert(seed=3)
    loaded = Masters(other, recipe())
    loaded.load(state)
    train(other, loaded, range(2, 5))
    assert all(torch.equal(state[name], kept[name]) for name in kept)
