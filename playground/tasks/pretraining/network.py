"""The model that is pretrained: a BERT, started from word vectors where there are some."""

from __future__ import annotations

import copy

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerBase

from playground.tasks.pretraining.recipe import Recipe

_ROWS = 16  # of logits at once: what a core's cache holds
_POSITION_NORM = 0.3  # half of a word's: at first a state is more of its word than of its place


def new_network(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    *,
    frequencies: torch.Tensor,
    vectors: torch.Tensor | None = None,
) -> BertForMaskedLM:
    """Return a BERT of the recipe's size in fp32, seeded by it.

    frequencies: (V,) log unigram frequencies, the first bias of the decoder, so that training does not
    begin with learning them. vectors: (V, hidden), the first embeddings, tied to the decoder; positions
    are then sinusoids (Vaswani et al. 2017, § 3.5), which a model can use before it has learned them.
    """
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.hidden,
        max_position_embeddings=recipe.positions,
        hidden_dropout_prob=0.0,  # words are hidden anew in every batch, which is noise enough
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(recipe.seed)
    network = BertForMaskedLM(config)
    with torch.no_grad():
        network.cls.predictions.bias.copy_(frequencies)
        if vectors is not None:
            embeddings = network.bert.embeddings
            embeddings.word_embeddings.weight.copy_(vectors)
            embeddings.position_embeddings.weight.copy_(_sinusoids(recipe))
            embeddings.token_type_embeddings.weight.zero_()
    return network


def grown_network(trained: BertForMaskedLM, positions: int) -> BertForMaskedLM:
    """Return a BERT that goes on from ``trained``, with room for ``positions`` tokens.

    New positions start as copies of the old ones in turn (Beltagy et al. 2020, § 5).
    """
    config = copy.deepcopy(trained.config)
    config.max_position_embeddings = positions
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    network = BertForMaskedLM(config)
    name = "bert.embeddings.position_embeddings.weight"
    weights = dict(trained.state_dict())
    known = weights[name]
    weights[name] = known.repeat(-(-positions // len(known)), 1)[:positions]
    network.load_state_dict(weights, strict=False)  # the buffer of position numbers is made anew
    return network


def use_fastest_attention(network: BertForMaskedLM) -> None:
    """Choose the attention of transformers that trains fastest where the network is.

    In bf16 on a CPU that is the plain one; in fp32 the fused one is as fast with blocks of 128 tokens and
    1.4 times as fast with blocks of 512.
    """
    plain = network.device.type == "cpu" and network.dtype == torch.bfloat16
    network.set_attn_implementation("eager" if plain else "sdpa")


def _sinusoids(recipe: Recipe) -> torch.Tensor:
    places = np.arange(recipe.positions)[:, None]
    pairs = (recipe.hidden + 1) // 2
    angles = places / 10_000 ** (np.arange(pairs)[None] / pairs)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, : recipe.hidden]
    return torch.from_numpy(waves * (_POSITION_NORM / np.sqrt(pairs))).float()


class HiddenTokens(torch.autograd.Function):
    """Mean cross-entropy of logits (M, V) against ids (M,), in nats, computed in fp32.

    The gradient is made in the same pass, a few rows at a time, so that bf16 logits need no copy in
    fp32: exact, at 0.55 of the time of ``cross_entropy(logits.float(), gold)``.
    """

    @staticmethod
    def forward(ctx, logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        many = max(1, len(gold))  # no hidden token at all is no loss
        total = torch.zeros((), device=logits.device)
        gradient = torch.empty_like(logits)
        rows = _ROWS if logits.device.type == "cpu" else many
        for start in range(0, len(gold), rows):
            part, right = logits[start : start + rows], gold[start : start + rows]
            logs = torch.log_softmax(part, dim=-1, dtype=torch.float32)
            total -= logs.gather(1, right[:, None]).sum()
            shares = logs.exp_()
            shares[torch.arange(len(right), device=logits.device), right] -= 1
            gradient[start : start + rows] = shares.div_(many)
        ctx.save_for_backward(gradient)
        return total / many

    @staticmethod
    def backward(ctx, scale: torch.Tensor):  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient if scale == 1 else gradient * scale.to(gradient.dtype), None


def hidden_loss(
    network: BertForMaskedLM, ids: torch.Tensor, places: torch.Tensor, gold: torch.Tensor
) -> torch.Tensor:
    """Return the mean loss at the hidden places, nats; the decoder runs at these alone.

    ids: (B, T). places: (M,) into the flattened batch. gold: (M,).
    """
    states = network.bert(ids).last_hidden_state
    states = states.reshape(-1, states.shape[-1])[places]  # (M, H)
    return HiddenTokens.apply(network.cls(states), gold)
