"""The page itself: Gradio's Blocks, whose answers always reach the browser."""

from __future__ import annotations

import re
from typing import Any

import gradio as gr

_HALF = re.compile("[\ud800-\udfff]")


class Page(gr.Blocks):
    """Blocks that send text which UTF-8 cannot hold with U+FFFD in its place.

    Half of a surrogate pair comes with a link, a card file or a JSON row. Gradio cannot encode it: it
    would break the stream of events, and with it everything that the page waits for.
    """

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        answer = await super().process_api(*args, **options)
        return {**answer, "data": sendable(answer["data"])}


def sendable(value: Any) -> Any:
    """Return a value with every half of a surrogate pair in its texts replaced by U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else _HALF.sub("\ufffd", value)
    if isinstance(value, list | tuple):
        return [sendable(one) for one in value]
    if isinstance(value, dict):
        return {sendable(name): sendable(one) for name, one in value.items()}
    return value
