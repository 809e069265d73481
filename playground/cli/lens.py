"""``playground layers`` and ``attention``: what lies inside one prediction, in a terminal or as JSON."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from playground.cli.parts import add_command, amount, json_text
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.engine import AttentionMap, LayerView

_LAYERS = """\
examples:
  playground layers "Paris is the capital of [MASK]."
  playground layers "The film was {mask}." --top 3 --model bert-base-uncased
  playground layers "The film was {mask}." --json > layers.json

The masked-LM head reads the state at the mask after every layer (0: the word vectors before any). The
last row is the model's answer; the second column is that answer's probability and rank in each layer.
"""
_ATTENTION = """\
examples:
  playground attention "Paris is the capital of [MASK]." --layer 2 --head 4
  playground attention "The film was good." --json > head.json

A row a token: how much of each token the head mixes into it, in percent, 100 together.
"""
_WIDE = 9


def add(commands: Any) -> None:
    """Add the commands."""
    layers = add_command(
        commands, "layers", _layers, "show how a prediction grows through the layers", _LAYERS
    )
    layers.add_argument("text", metavar="TEXT", help="with one mask, {mask} or [MASK]")
    layers.add_argument("--top", type=amount, default=5, metavar="N", help="tokens a layer (5)")
    attention = add_command(
        commands, "attention", _attention, "show where one attention head looks", _ATTENTION
    )
    attention.add_argument("text", metavar="TEXT", help="any text, with or without a mask")
    attention.add_argument("--layer", type=amount, default=1, metavar="N", help="from 1 (1)")
    attention.add_argument("--head", type=amount, default=1, metavar="N", help="from 1 (1)")
    for command in (layers, attention):
        command.add_argument("--model", help="a shipped name, a hub id or a folder")
        command.add_argument("--json", action="store_true", help="print the numbers as JSON")


def _layers(options: argparse.Namespace) -> None:
    from playground.engine import Prompting

    view = Prompting(options.model).layers(options.text, top_k=options.top)
    print(json_text(view.to_json()) if options.json else _layer_lines(view))


def _attention(options: argparse.Namespace) -> None:
    from playground.engine import Prompting

    found = Prompting(options.model).attention(options.text)
    for name, value, most in (
        ("layer", options.layer, found.layers),
        ("head", options.head, found.heads),
    ):
        if value > most:
            raise PlaygroundError(f"The {name} is {value}; this model has {most}.")
    if options.json:
        print(json_text(found.to_json(options.layer, options.head)))
    else:
        print(_attention_lines(found, options.layer, options.head))


def _layer_lines(view: LayerView) -> str:
    rows = [
        f"{layer:5}  {share:8.3%} {f'#{rank:,}':>8}  "
        + "  ".join(f"{fill.token} {fill.probability:.1%}" for fill in top)
        for layer, (top, share, rank) in enumerate(
            zip(view.layers, view.probabilities, view.ranks, strict=True)
        )
    ]
    return "\n".join([f"layer  {view.winner:>17}  likeliest", *rows])


def _attention_lines(found: AttentionMap, layer: int, head: int) -> str:
    weights = found.weights[layer - 1, head - 1]
    short = [_short(token) for token in found.tokens]
    lines = [" " * _WIDE + "".join(f"{token:>{_WIDE}}" for token in short)]
    for token, row in zip(short, weights, strict=True):
        lines.append(f"{token:{_WIDE}}" + "".join(f"{100 * share:{_WIDE}.1f}" for share in row))
    bits = found.entropies()[layer - 1, head - 1]
    lines.append(f"layer {layer} of {found.layers}, head {head} of {found.heads}: {bits:.2f} bits")
    return "\n".join(lines)


def _short(token: str) -> str:
    return token if len(token) < _WIDE else f"{token[: _WIDE - 2]}…"
