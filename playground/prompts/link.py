"""Prompt links: a JSON object, compressed into one URL-safe word with a version in front."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any

from playground.errors import PlaygroundError, shorten
from playground.settings import settings

VERSION = 1
_MAX_JSON_BYTES = 1 << 20


def pack(data: Mapping[str, Any]) -> str:
    """Return ``data`` as ``"1.<base64url of deflated JSON>"``; PlaygroundError if it is too long."""
    raw = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # a lone surrogate becomes \udXXX, its JSON escape, so that any text comes back as it was
    deflated = zlib.compress(raw.encode("utf-8", "backslashreplace"), 9)
    packed = base64.urlsafe_b64encode(deflated).rstrip(b"=").decode("ascii")
    token = f"{VERSION}.{packed}"
    limit = settings().max_link_chars
    if len(token) > limit:
        raise PlaygroundError(
            f"The link would have {len(token):,} characters, the most is {limit:,}; "
            "shorten the text, or save the prompt as a file."
        )
    return token


def unpack(token: str) -> dict[str, Any]:
    """Return what :func:`pack` packed; PlaygroundError says why a link does not open."""
    limit = settings().max_link_chars
    if len(token) > limit:
        raise PlaygroundError(
            f"The link has {len(token):,} characters, the most is {limit:,}; it was not opened."
        )
    version, dot, packed = token.partition(".")
    if not dot or not version.isascii() or not version.isdigit() or len(version) > 6:
        raise PlaygroundError(f"The link {shorten(token)} is not a prompt link; copy it again.")
    if int(version) != VERSION:
        raise PlaygroundError(
            f"The link is of version {int(version)} and this app reads version {VERSION}; "
            "open it with the app that made it."
        )
    try:
        if "+" in packed or "/" in packed:  # which b64decode reads like - and _
            raise ValueError("not URL-safe")
        compressed = base64.b64decode(
            packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True
        )
        inflater = zlib.decompressobj()
        raw = inflater.decompress(compressed, _MAX_JSON_BYTES)
        if inflater.unconsumed_tail or not inflater.eof:
            raise ValueError("too large or cut")
        data = json.loads(raw.decode("utf-8"))
        if not isinstance(data, dict):
            raise ValueError("not an object")
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        raise PlaygroundError(
            "The link is damaged: its end may have been cut when it was copied; copy it again."
        ) from None
    return data
