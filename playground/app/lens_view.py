"""The Pretrain tab's look into one forward pass: predictions by layer, and where each token looks."""

from __future__ import annotations

import base64
import csv
import io

import numpy as np

from playground.app.bars import SEQUENCE
from playground.app.markup import action, esc, percent, width
from playground.engine import AttentionMap, LayerView
from playground.prompts.prompt import model_line
from playground.tasks.writing import formula_safe

_LINE = 26  # px a token
_FAINT = 0.03  # weights below this are not drawn as lines
_THUMB = 32  # cells along a thumbnail's side, at most


def layers_result(view: LayerView) -> str:
    """Return the likeliest tokens of each layer, and how the last layer's best one grows."""
    winner = esc(view.winner)
    wide = max(map(len, view.layers))
    rows = []
    for layer, (top, share, rank) in enumerate(
        zip(view.layers, view.probabilities, view.ranks, strict=True)
    ):
        cells = "".join(
            f'<td><span class="pp-guess{" pp-final" if fill.token == view.winner else ""}" '
            f'style="--pp-share:{fill.probability:.3f}" title="{esc(fill.token)}: '
            f'{percent(fill.probability)}">{esc(fill.token)}</span></td>'
            for fill in top
        )
        rows.append(
            f'<tr><th scope="row">{layer_name(layer)}</th>'
            f'<td class="pp-grows"><div><span class="pp-track pp-slim" aria-hidden="true"><span class="pp-fill" '
            f'style="{width(share)}"></span></span><span class="pp-small">{percent(share)}</span> <span class="pp-small">#{rank:,}</span></div>'
            f"</td>{cells}</tr>"
        )
    heads = "".join(f'<th scope="col">{k + 1}.</th>' for k in range(wide))
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(_layers_said(view))}">'
        f"<h2>Through the layers</h2>"
        f'<div class="pp-scroll" tabindex="0"><table class="pp-table pp-steps pp-layers"><thead><tr>'
        f'<th scope="col">Layer</th><th scope="col">{winner}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="pp-legend">The same head reads the state at the mask after every layer; input are the bare word '
        f"vectors, and the last row is what Fill says. Second column: probability and rank of <b>{winner}</b>, "
        "the answer in the end. The head was trained on the last layer alone, so early rows show less than those "
        "layers know (Belrose et al. 2023).</p></div>"
    )


def layer_name(layer: int) -> str:
    """Return what a row is called: the embeddings, or the number of its layer."""
    return str(layer) if layer else "input"


def _layers_said(view: LayerView) -> str:
    first = next(k for k, rank in enumerate(view.ranks) if rank == 1 or k == len(view) - 1)
    return f"{view.winner} {percent(view.probabilities[-1])}, first of all at layer {first}"


def attention_result(found: AttentionMap, layer: int, head: int) -> str:
    """Return where each token looks in one head: lines from the tokens to those they look at."""
    weights = found.weights[layer - 1, head - 1]  # (T, T)
    picked = found.mask_positions[0] if found.mask_positions else 0
    high = _LINE * len(found.tokens)
    lines = "".join(
        f'<line x1="0" x2="100" y1="{_LINE * (i + 0.5):g}" y2="{_LINE * (j + 0.5):g}" data-from="{i}" '
        f'style="--pp-share:{weights[i, j]:.3f}"{_on(i == picked)}/>'
        for i, j in zip(*np.nonzero(weights >= _FAINT), strict=True)
    )
    froms = "".join(
        f'<button type="button" class="pp-action pp-from" data-look="{i}" '
        f'data-weights="{" ".join(f"{share:.3f}" for share in weights[i])}" '
        f'aria-pressed="{"true" if i == picked else "false"}">{esc(token)}</button>'
        for i, token in enumerate(found.tokens)
    )
    tos = "".join(
        f'<span class="pp-to" style="--pp-share:{share:.3f}"><span>{esc(token)}</span>'
        f'<span class="pp-small">{_share(share)}</span></span>'
        for token, share in zip(found.tokens, weights[picked], strict=True)
    )
    said = looks_at(found, layer, head, picked)
    return (
        f'<div class="pp-result" data-seq="{next(SEQUENCE)}" data-summary="{esc(said)}">'
        f"<h2>Attention: layer {layer}, head {head}</h2>"
        f'<p class="pp-looks" data-looks>{esc(said)}</p>'
        f'<div class="pp-attention" tabindex="0" role="group" aria-label="tokens, and where they look">'
        f'<div class="pp-froms">{froms}</div><svg viewBox="0 0 100 {high}" preserveAspectRatio="none" '
        f'style="height:{high}px" aria-hidden="true">{lines}</svg><div class="pp-tos">{tos}</div></div>'
        f'<p class="pp-legend">Point at a token on the left, or tap it. Each token’s shares add up to 100 %; lines '
        f"under {_share(_FAINT)} are left out. Attention shows where a head may take information from, not why a word "
        "was predicted (Jain and Wallace 2019).</p></div>"
    )


def _share(weight: float) -> str:
    """Return a weight as the page's script writes it too: 31.2 %."""
    rounded = round(float(weight), 3)
    return f"{100 * rounded:.1f} %" if rounded >= 0.001 else "< 0.1 %"


def _on(picked: bool) -> str:
    return ' class="pp-on"' if picked else ""


def looks_at(found: AttentionMap, layer: int, head: int, place: int) -> str:
    """Return in words where one token looks most."""
    row = found.weights[layer - 1, head - 1, place]
    best = np.argsort(-row, kind="stable")[:3]
    said = ", ".join(f"{found.tokens[j]} {_share(row[j])}" for j in best)
    return f"{found.tokens[place]} looks at {said}"


def sharpest(found: AttentionMap) -> tuple[int, int]:
    """Return the layer and head of the lowest entropy, from 1: the one whose lines are easiest to read."""
    layer, head = np.unravel_index(found.entropies().argmin(), found.weights.shape[:2])
    return int(layer) + 1, int(head) + 1


def telling(found: AttentionMap) -> tuple[int, int]:
    """Return the head, from 1, whose look from the first mask at one word is strongest.

    Heads that look at a neighbour or at the text's ends are plenty and say little: they count only where
    a text has nothing else, or no mask, and the sharpest one stands for them.
    """
    if not found.mask_positions:
        return sharpest(found)
    mask, last = found.mask_positions[0], len(found.tokens) - 1
    words = [j for j in range(1, last) if abs(j - mask) > 1]
    if not words:
        return sharpest(found)
    strongest = found.weights[:, :, mask, words].max(-1)  # (L, heads)
    layer, head = np.unravel_index(strongest.argmax(), strongest.shape)
    return int(layer) + 1, int(head) + 1


def heads_grid(found: AttentionMap, layer: int, head: int) -> str:
    """Return all heads as small maps to choose from, a row a layer, with their entropies."""
    entropies = found.entropies()
    most = np.log2(len(found.tokens))
    rows = []
    for one in range(found.layers):
        cells = "".join(
            action(
                "head",
                f"{one + 1}|{k + 1}",
                f'<span class="pp-map" style="--pp-map:url({_picture(found.weights[one, k])})"></span>'
                f'<span class="pp-sr">layer {one + 1}, head {k + 1}</span>',
                title=f"Layer {one + 1}, head {k + 1}: entropy {entropies[one, k]:.1f} of {most:.1f} bits",
                classes="pp-thumb" + (" pp-picked" if (one + 1, k + 1) == (layer, head) else ""),
            )
            for k in range(found.heads)
        )
        rows.append(
            f'<div class="pp-heads-row"><span class="pp-small">{one + 1}</span>{cells}</div>'
        )
    own = entropies[layer - 1, head - 1]
    sharp = sharpest(found)
    broad = np.unravel_index(entropies.argmax(), entropies.shape)
    return (
        '<div class="pp-result"><h3>All heads: pick one</h3>'
        f'<div class="pp-scroll" tabindex="0"><div class="pp-heads">{"".join(rows)}</div></div>'
        f'<p class="pp-legend">A row a layer. In each map a row of dots is where one token looks, stronger for more: '
        "a diagonal looks at the token itself or its neighbour, an upright line at one token for all. "
        f"<b>Entropy</b> says how widely a head looks, 0 bits for one token, {most:.1f} for all alike: this head {own:.1f}, "
        f"the sharpest {entropies.min():.1f} (layer {sharp[0]}, head {sharp[1]}), "
        f"the broadest {entropies.max():.1f} (layer {broad[0] + 1}, head {broad[1] + 1}).</p></div>"
    )


def _picture(weights: np.ndarray) -> str:
    """Return a small map (T, T) as a PNG for a CSS mask: the weight is its opacity."""
    from PIL import Image

    tokens = len(weights)
    if tokens > _THUMB:  # the largest weight of a block stands for it
        edges = np.linspace(0, tokens, _THUMB, endpoint=False).astype(int)
        weights = np.maximum.reduceat(np.maximum.reduceat(weights, edges, 0), edges, 1)
    alpha = np.round(np.sqrt(np.clip(weights, 0, 1)) * 255).astype(
        np.uint8
    )  # faint ones are seen too
    stream = io.BytesIO()
    Image.fromarray(np.dstack([np.zeros_like(alpha), alpha])).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


# ---- what leaves the page -----------------------------------------------------------------------


def layers_csv(view: LayerView, text: str) -> str:
    """Return each layer's likeliest tokens as CSV, a row a token; layer 0 are the embeddings."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["text", "layer", "rank", "token", "logit", "probability"])
    for layer, top in enumerate(view.layers):
        for rank, fill in enumerate(top, 1):
            numbers = [f"{fill.logit:.6g}", f"{fill.probability:.6g}"]
            writer.writerow([formula_safe(text), layer, rank, formula_safe(fill.token), *numbers])
    return stream.getvalue()


def attention_csv(found: AttentionMap, layer: int, head: int) -> str:
    """Return one head's weights as CSV: a row a token, a column for each token it looks at."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    shown = [formula_safe(token) for token in found.tokens]
    writer.writerow([f"layer {layer} head {head}", *shown])
    for token, row in zip(shown, found.weights[layer - 1, head - 1], strict=True):
        writer.writerow([token, *(f"{share:.6g}" for share in row)])
    return stream.getvalue()


def program(text: str, model: str, layer: int, head: int, tuned: str | None = None) -> str:
    """Return the Python that gives the same numbers; ``model`` is empty for the default one.

    tuned: the file of the delta that the model is opened with.
    """
    return (
        "from playground import Prompting\n\n"
        f"{model_line(model or None, tuned)}\n"
        f"text = {text!r}\n"
        "for layer, top in enumerate(prompting.layers(text).layers):  # 0: the embeddings\n"
        "    print(layer, [(fill.token, round(fill.probability, 4)) for fill in top])\n\n"
        "attention = prompting.attention(text)\n"
        "print(attention.tokens)\n"
        f"print(attention.weights[{layer - 1}, {head - 1}].round(3))  # layer {layer}, head {head}\n"
    )
