"""HTML that is built as strings: everything from outside is escaped here, in one place."""

from __future__ import annotations

import html
from collections.abc import Sequence

from markdown_it import MarkdownIt

Place = tuple[float, float]  # x and y in a picture

_TEMPLATE_SIGNS = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})


def esc(text: object) -> str:
    """Return text safe inside an element or a quoted attribute, template signs included."""
    return html.escape(str(text)).translate(_TEMPLATE_SIGNS)


def markdown(text: str) -> str:
    """Return Markdown as HTML: tables too, but no HTML of its own, no pictures, no odd links.

    Tables and programs scroll in boxes of their own, which the keyboard reaches.
    """
    made = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text)
    made = made.replace("<pre>", '<pre tabindex="0">')
    made = made.replace("<table>", '<div class="pp-scroll" tabindex="0"><table>')
    made = made.replace("</table>", "</table></div>")
    return f'<div class="pp-text">{made.translate(_TEMPLATE_SIGNS)}</div>'


def percent(share: float) -> str:
    """Return a share as people read it: 62.1 %, 0.04 %, < 0.01 %."""
    if share >= 0.1:
        return f"{share:.1%}".replace("%", " %")
    if share >= 0.0001:
        return f"{share:.2%}".replace("%", " %")
    return "< 0.01 %"


def width(share: float) -> str:
    """Return a CSS width for a share of the full bar."""
    return f"width:{max(0.0, min(1.0, share)) * 100:.2f}%"


def action(name: str, argument: object, inner: str, *, title: str = "", classes: str = "") -> str:
    """Return a button that reports ``name`` and ``argument`` to the component's click listener.

    ``inner`` is HTML and must be escaped already.
    """
    tip = f' title="{esc(title)}"' if title else ""
    return (
        f'<button type="button" class="pp-action {classes}" data-act="{esc(name)}" '
        f'data-arg="{esc(argument)}"{tip}>{inner}</button>'
    )


def notice(text: str, *, error: bool = False) -> str:
    """Return the line that says what is missing or what has been done; empty text keeps its place."""
    kind = "pp-error" if error else "pp-note"
    role = ' role="alert"' if error else ""
    return f'<p class="pp-notice {kind if text else ""}"{role}>{esc(text)}</p>'


def polyline(kind: str, places: Sequence[Place]) -> str:
    """Return a line through places as SVG, of a class of the style sheet."""
    return f'<polyline class="{kind}" points="{points(places)}"/>'


def points(places: Sequence[Place]) -> str:
    """Return the corners of a line as SVG writes them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
