"""The one exception that is safe to show to a stranger."""

from __future__ import annotations

import reprlib


class PlaygroundError(Exception):
    """What a user did wrong: one clear sentence with the value, and what to do about it.

    Its message never holds a path that the user did not type, a traceback or a secret, so the app
    and the command line show it as it is. Any other exception is a defect of ours.
    """


def shorten(value: object, limit: int = 40) -> str:
    """Return ``value`` quoted on one line, cut to ``limit`` characters, for use in a message."""
    # a list or mapping of any size or depth is cut by reprlib before it is written out
    shown = reprlib.repr(value) if isinstance(value, list | tuple | dict) else str(value)
    text = " ".join(shown.split())
    return f'"{text}"' if len(text) <= limit else f'"{text[: limit - 1]}…"'
