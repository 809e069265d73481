"""From label-word scores to label probabilities: pure functions on tensors.

Shapes: N rows, W label words, C labels. ``label_of_word`` (W,) holds each word's label, ``weights``
(W,) its weight.
"""

from __future__ import annotations

import torch


def aggregate(
    word_scores: torch.Tensor,
    label_of_word: torch.Tensor,
    weights: torch.Tensor,
    aggregation: str,
) -> torch.Tensor:
    """Return unnormalised label log-scores, (N, W) -> (N, C).

    ``word_scores`` are log-probabilities at the mask, or raw logits for ``logit_sum``; a constant
    added to a row changes no normalised result but that of ``logit_sum`` with labels of unequal
    weight. With w the weights and log p the scores of a label's words:
    sum = logsumexp(log p + log w); mean = sum - log(sum of w); geometric = sum(w log p) / sum of w;
    max = max(log p + log w); logit_sum = sum(w logit).
    """
    labels = int(label_of_word.max()) + 1
    member = torch.nn.functional.one_hot(label_of_word, labels).T.bool()  # (C, W)
    if aggregation in ("geometric", "logit_sum"):
        share = member * weights  # (C, W)
        if aggregation == "geometric":
            share = share / share.sum(-1, keepdim=True)
        return word_scores @ share.T  # (N, W) @ (W, C) -> (N, C)
    voted = word_scores + weights.log()  # (N, W)
    by_label = voted[:, None, :].masked_fill(~member, -torch.inf)  # (N, C, W)
    if aggregation == "max":
        return by_label.amax(-1)
    total = by_label.logsumexp(-1)
    if aggregation == "sum":
        return total
    return total - (member * weights).sum(-1).log()  # mean


def normalise(label_scores: torch.Tensor) -> torch.Tensor:
    """Return log P(label | row) over the labels, (N, C) -> (N, C)."""
    return label_scores.log_softmax(-1)


def content_free_prior(label_log_probs: torch.Tensor) -> torch.Tensor:
    """Return the log of the mean label distribution over M content-free inputs, (M, C) -> (C,).

    Source: Zhao et al. 2021, "Calibrate Before Use".
    """
    return label_log_probs.logsumexp(0) - torch.tensor(float(label_log_probs.shape[0])).log()


def calibrate(label_log_probs: torch.Tensor, log_prior: torch.Tensor) -> torch.Tensor:
    """Return log q with q(y) proportional to p(y | x) / prior(y), (N, C) and (C,) -> (N, C).

    The quotient is normalised once; there is no second softmax over probabilities. With a domain
    prompt as prior this is domain PMI (Holtzman et al. 2021).
    """
    return normalise(label_log_probs - log_prior)


def word_prior(word_log_probs: torch.Tensor) -> torch.Tensor:
    """Return the log of each word's mean probability over M unlabelled texts, (M, W) -> (W,).

    Subtracted from a row's word log-probabilities before they are aggregated.
    Source: Hu et al. 2022, "Knowledgeable Prompt-tuning", contextualised prior.
    """
    return word_log_probs.logsumexp(0) - torch.tensor(float(word_log_probs.shape[0])).log()


def reduce_pieces(piece_log_probs: torch.Tensor, reduction: str) -> torch.Tensor:
    """Return a word's score from its K pieces, (..., K) -> (...): their sum or their mean."""
    return piece_log_probs.sum(-1) if reduction == "sum" else piece_log_probs.mean(-1)


def vocabulary_mass(word_log_probs: torch.Tensor) -> torch.Tensor:
    """Return the share of probability that all label words hold together, (N, W) -> (N,).

    At most 1: the mean of a split word's pieces is no probability, and many of them might add up.
    """
    return word_log_probs.exp().sum(-1).clamp(max=1.0)
