"""What the live view says of single words at a mask: score, rank, suggestions, the likeliest tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from playground.engine.label_words import Vocabulary, WordPieces
from playground.engine.results import Fill, LayerView, WordScore
from playground.prompts import Prompt


def label_word_scores(
    vocabulary: Vocabulary,
    scores: torch.Tensor,
    logits: torch.Tensor,
    expected: torch.Tensor,
    prompt: Prompt,
    pieces: Sequence[WordPieces],
) -> tuple[WordScore, ...]:
    """Return each label word's score (W,) with its rank among ``logits`` (V,).

    A word of several pieces has no rank; it gets suggestions that fit ``expected`` (V,).
    """
    verbalizer = prompt.verbalizer
    found = []
    for i, (word, entry, label) in enumerate(
        zip(pieces, verbalizer.words, verbalizer.label_of_word, strict=True)
    ):
        base = word_score(vocabulary, word, float(scores[i]), logits)
        suggestions: tuple[str, ...] = ()
        if not word.single:
            own = [w for w, k in zip(pieces, verbalizer.label_of_word, strict=True) if k == label]
            others = [w for w in pieces if w not in own]
            suggestions = vocabulary.suggest(word, expected, own=own, others=others)
        found.append(
            replace(
                base, label=verbalizer.names[label], weight=entry.weight, suggestions=suggestions
            )
        )
    return tuple(found)


def word_score(
    vocabulary: Vocabulary, word: WordPieces, log_prob: float, logits: torch.Tensor
) -> WordScore:
    """Return a word's log-probability with its rank among ``logits`` (V,), 1 the best."""
    rank = int((logits > logits[word.ids[0]]).sum()) + 1 if word.single else None
    return WordScore(word.text, "", 1.0, vocabulary.tokens(word.ids), log_prob, rank)


def top(vocabulary: Vocabulary, logits: torch.Tensor, count: int) -> tuple[Fill, ...]:
    """Return the ``count`` best tokens of one mask, (V,) -> at most ``count``."""
    best = logits.topk(min(count, len(logits)))
    probabilities = (best.values - logits.logsumexp(-1)).exp()
    return tuple(
        Fill(vocabulary.readable(token), value, probability)
        for token, value, probability in zip(
            best.indices.tolist(), best.values.tolist(), probabilities.tolist(), strict=True
        )
    )


def layer_view(
    vocabulary: Vocabulary, logits: torch.Tensor, count: int, *, tokens: int
) -> LayerView:
    """Return the ``count`` best tokens of each layer's logits, (L + 1, V), and how the last one's best grows."""
    best = int(logits[-1].argmax())
    log_probs = logits[:, best] - logits.logsumexp(-1)  # (L + 1,)
    return LayerView(
        layers=tuple(top(vocabulary, row, count) for row in logits),
        winner=vocabulary.readable(best),
        probabilities=log_probs.exp().double().numpy(),
        ranks=tuple(((logits > logits[:, best, None]).sum(-1) + 1).tolist()),
        tokens=tokens,
    )
