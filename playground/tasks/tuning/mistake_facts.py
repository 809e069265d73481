"""What the breakage lab measures of a mistake beside its two runs: a small table and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from playground.engine.backbone import Backbone
from playground.engine.label_words import Vocabulary
from playground.engine.tuning.loop import cross_entropy
from playground.errors import PlaygroundError
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows
from playground.tasks.tuning.broken import (
    CutNetwork,
    LabTuner,
    double_softmax,
    gradient_left,
    loss_floor,
    word_pieces,
)

_SHOWN = 6
_LONGEST = 60  # characters of a text in a table


@dataclass(frozen=True)
class Facts:
    """Measured facts: the heads of a table, its rows of texts, and a sentence; all may be empty."""

    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    said: str = ""


def gradients(right: LabTuner, wrong: LabTuner) -> Facts:
    """Return loss and gradient of rows by both losses at the same untuned weights, surest mistakes first.

    The table shows rows from the least to the greatest probability of their right label.
    """
    gold = right.targets.argmax(-1).tolist()
    shares = [_share_of(right, place, label) for place, label in enumerate(gold)]
    order = np.argsort(shares)
    rows = []
    for k in np.linspace(0, len(gold) - 1, min(_SHOWN, len(gold))).round().astype(int):
        place = int(order[k])
        log_probs, target = right.log_probs_of(place)[None], right.targets[[place]]
        losses = [float(loss(log_probs, target)) for loss in (cross_entropy, double_softmax)]
        norms = [right.gradient_norm(place, loss) for loss in (cross_entropy, double_softmax)]
        rows.append((shares[place], *losses, *norms))
    worst, _, _, worst_once, worst_twice = rows[0]
    labels = right.targets.shape[1]
    said = (
        f"With {labels} labels the loss cannot fall below {loss_floor(labels):.3f}, however right the model "
        f"is. On the row that is furthest from right, P = {worst:.2f}, the second softmax leaves "
        f"{worst_twice / worst_once:.0%} of the gradient. At P = 0.01 it would leave "
        f"{gradient_left(0.01, labels):.1%}."
    )
    return Facts(
        ("P(right label)", "loss", "loss, softmax twice", "gradient", "gradient, softmax twice"),
        tuple(
            (f"{p:.3f}", f"{a:.3f}", f"{b:.3f}", f"{c:.3g}", f"{d:.3g}") for p, a, b, c, d in rows
        ),
        said,
    )


def moved(right: LabTuner, wrong: LabTuner) -> Facts:
    """Return how far each way has moved the weights: the change's norm, in percent of the weights'."""
    rows = []
    for part in ("embeddings", "attention", "other layers"):
        own = [name for name in right.network.tuned if _part(name) == part]
        rows.append((part, *(f"{_moved(tuner, own):.2%}" for tuner in (right, wrong))))
    everything = list(right.network.tuned)
    shares = [_moved(tuner, everything) for tuner in (right, wrong)]
    return Facts(
        ("weights moved by", "right", "wrong"),
        tuple(rows),
        f"The right way moved the weights by {shares[0]:.2%} of their size, the wrong one by "
        f"{shares[1]:.1%}.",
    )


def cut(train: LabelledRows, right: LabTuner, wrong: LabTuner) -> Facts:
    """Return the first label's probability of rows whose mask is cut off, before any tuning."""
    pairs = enumerate(zip(right.rows, wrong.rows, strict=True))
    lost = [place for place, (own, other) in pairs if own.mask_positions != other.mask_positions]
    label = train.labels[0]
    rows = [
        (
            _text(train.rows[place]),
            str(len(right.rows[place]) + right.rows[place].dropped),
            train.labels[int(train.gold[place])],
            f"{_share_of(right, place, 0):.3f}",
            f"{_share_of(wrong, place, 0):.3f}",
        )
        for place in lost[:_SHOWN]
    ]
    network = wrong.network
    room = network.room if isinstance(network, CutNetwork) else 0
    return Facts(
        ("text", "tokens", "label", f"P({label}), right", f"P({label}), at [CLS]"),
        tuple(rows),
        f"Of {len(train)} rows to tune on, {len(lost)} lose their mask where {room} tokens are read; "
        "what is read instead is the first token, and no error says so.",
    )


def words(backbone: Backbone, prompt: Prompt, right: LabTuner, wrong: LabTuner) -> Facts:
    """Return the piece that stands at the mask and the one that is read, word by word.

    Raises PlaygroundError where they are the same.
    """
    pieces = word_pieces(backbone, prompt)
    other = [one for one in pieces if one.right != one.wrong]
    if not other:
        raise PlaygroundError(
            f"The model {backbone.name} reads the label words alike alone and at the mask, so this mistake "
            "does nothing here; take a byte-level model such as roberta-base."
        )
    spelled = Vocabulary(backbone).tokens
    unknown = backbone.tokenizer.unk_token_id
    lost = sum(one.wrong == unknown for one in other)
    told = f"{len(other)} of {len(pieces)} label words are read at another piece"
    told += f", {lost} of them at the unknown one" if lost else ""
    kept = {one.wrong for one in pieces}
    return Facts(
        ("label word", "at the mask", "id", "looked up alone", "its id"),
        tuple(
            (one.word, spelled([one.right])[0], str(one.right), spelled([one.wrong])[0], str(one.wrong))
            for one in pieces
        ),
        f"{told}."
        + (
            " All labels read the same piece, so every row gets the same share for each: the loss cannot "
            "move and nothing is learned."
            if len(kept) == 1
            else ""
        ),
    )  # fmt: skip


def padding(train: LabelledRows, right: LabTuner, wrong: LabTuner) -> Facts:
    """Return the first label's probability of rows alone and beside the longest row, before any tuning."""
    lengths = [len(one) for one in right.rows]
    longest = int(np.argmax(lengths))
    order = [i for i in np.argsort(lengths).tolist() if i != longest]
    spread = np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).round().astype(int)
    rows, shifts = [], []
    for place in (order[k] for k in spread):
        shares = [
            _share_of(tuner, place, 0, beside)
            for tuner in (right, wrong)
            for beside in (None, longest)
        ]
        shifts.append((abs(shares[1] - shares[0]), abs(shares[3] - shares[2])))
        filled = lengths[longest] - lengths[place]
        rows.append(
            (_text(train.rows[place]), str(filled), *(f"{share:.3f}" for share in shares[1:]))
        )
    sound, broken = (max(shift[k] for shift in shifts) for k in (0, 1))
    label = train.labels[0]
    return Facts(
        ("text", "padding", f"P({label}), with a mask", "without, alone", "without, in a batch"),
        tuple(rows),
        f"Beside the longest row a probability moves by up to {broken:.3f} without a mask, and by "
        f"{sound:.0e} with one.",
    )


# ---- parts ----------------------------------------------------------------------------------------


def _share_of(tuner: LabTuner, place: int, label: int, beside: int | None = None) -> float:
    """Return P(label) of a row to train on, alone or in a batch with the row ``beside``."""
    return float(tuner.log_probs_of(place, beside)[label].double().exp())


def _moved(tuner: LabTuner, names: Sequence[str]) -> float:
    """Return the norm of the change since the start over the norm of the weights, of what is tuned."""
    now = {name: tuner.network.tuned[name].detach().double() for name in names}
    before = {name: tuner.start[name].double() for name in names}
    change = sum(float((now[name] - before[name]).square().sum()) for name in names)
    size = sum(float(before[name].square().sum()) for name in names)
    return (change / size) ** 0.5


def _part(name: str) -> str:
    if "embeddings" in name:
        return "embeddings"
    return "attention" if "attention" in name else "other layers"


def _text(row: dict[str, str]) -> str:
    text = " · ".join(row.values())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
