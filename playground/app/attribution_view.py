"""What each word does, as shaded words and as a list for those who do not see the shades."""

from __future__ import annotations

from playground.app.markup import esc, percent
from playground.tasks.attribution import Attribution, Piece


def attribution_html(found: Attribution) -> str:
    """Return the prompt with its words shaded by what leaving them out does to the winning label."""
    most = max((abs(piece.effect or 0.0) for piece in found.pieces), default=0.0) or 1.0
    words = "".join(_shaded(piece, most) for piece in found.pieces)
    strongest = "".join(
        f"<li><b>{esc(piece.text)}</b> {points(piece.effect or 0.0)}"
        f'<span class="pp-small"> {"of the text" if piece.field else "of the template"}</span></li>'
        for piece in found.strongest()
    )
    return (
        f'<div class="pp-result"><p class="pp-legend">Each word is left out once. '
        f"<b>{esc(found.label)}</b> has {percent(found.probability)} with all of them; a word "
        '<span class="pp-for">for it</span> would be missed, a word <span class="pp-against">against '
        "it</span> would not. Words with a dotted line are the template's.</p>"
        f'<p class="pp-prompt" tabindex="0">{words}</p>'
        f'<ol class="pp-strongest">{strongest}</ol></div>'
    )


def points(effect: float) -> str:
    """Return an effect as percentage points with its sign."""
    return f"{100 * effect:+.1f} points"


def _shaded(piece: Piece, most: float) -> str:
    text = esc(piece.text)
    if piece.kind == "mask":
        return '<mark class="pp-mask">[MASK]</mark>'
    if piece.effect is None:
        return f"<span>{text}</span>"
    side = "pp-for" if piece.effect >= 0 else "pp-against"
    own = "" if piece.field else " pp-own"
    return (
        f'<span class="{side}{own}" style="--pp-share:{abs(piece.effect) / most:.2f}" '
        f'title="{points(piece.effect)}">{text}</span>'
    )
