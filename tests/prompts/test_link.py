"""Prompt links: what a token holds, its longest form, and why one does not open."""

from __future__ import annotations

import base64
import json
import re
import zlib

import pytest

from playground.errors import PlaygroundError
from playground.prompts.link import pack, unpack

DAMAGED = "The link is damaged: its end may have been cut when it was copied; copy it again."


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def token(raw: bytes) -> str:
    """Return a link by hand, not by ``pack``."""
    return "1." + base64.urlsafe_b64encode(zlib.compress(raw)).decode().rstrip("=")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"a": ["b", 1, 0.5, None, True], "c": {"d": ""}},
        {"text": 'naïve 🎈 \u202e\u200d \x00 \\ " </script> {mask} %s'},
        {"a lone surrogate": "\ud800", "and after a backslash": "\\\udfff"},
    ],
)
def test_what_is_packed_is_unpacked(data):
    assert unpack(pack(data)) == data


def test_a_token_is_a_version_and_deflated_json():
    packed = pack({"a": ["é"]})
    version, _, rest = packed.partition(".")
    assert version == "1"
    raw = zlib.decompress(base64.urlsafe_b64decode(rest + "=" * (-len(rest) % 4)))
    assert raw == '{"a":["é"]}'.encode()


def test_a_token_made_by_hand_opens():
    assert unpack(token(b'{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize("length", range(12))
def test_a_token_needs_no_escape_in_a_url(length):
    assert re.fullmatch(r"1\.[A-Za-z0-9_-]+", pack({"k": "ÿ?>" * length}))


def test_the_longest_link_opens_and_one_more_character_does_not(monkeypatch):
    data = {"text": "".join(chr(0x4E00 + 7 * i) for i in range(300))}
    packed = pack(data)
    monkeypatch.setenv("PLAYGROUND_MAX_LINK_CHARS", str(len(packed)))
    assert unpack(pack(data)) == data
    monkeypatch.setenv("PLAYGROUND_MAX_LINK_CHARS", str(len(packed) - 1))
    size, most = f"{len(packed):,}", f"{len(packed) - 1:,}"
    message = (
        f"The link would have {size} characters, the most is {most}; "
        "shorten the text, or save the prompt as a file."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        pack(data)
    message = f"The link has {size} characters, the most is {most}; it was not opened."
    with pytest.raises(PlaygroundError, match=exactly(message)):
        unpack(packed)


@pytest.mark.parametrize(("safe", "other"), ["-+", "_/"])
def test_a_sign_that_is_not_safe_in_a_url_is_damage(safe, other):
    packed = next(p for p in (pack({"k": "ÿ?>" * n}) for n in range(99)) if safe in p)
    assert unpack(packed)
    with pytest.raises(PlaygroundError, match=exactly(DAMAGED)):
        unpack(packed.replace(safe, other))


@pytest.mark.parametrize("version", ["0", "2", "17", "999999"])
def test_another_version_is_named(version):
    message = (
        f"The link is of version {version} and this app reads version 1; "
        "open it with the app that made it."
    )
    with pytest.raises(PlaygroundError, match=exactly(message)):
        unpack(f"{version}.{pack({})[2:]}")


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("", ""),
        ("hello", "hello"),
        ("1", "1"),
        (".abc", ".abc"),
        ("-1.abc", "-1.abc"),
        ("one.abc", "one.abc"),
        ("²." + "abc", "².abc"),
        ("١.abc", "١.abc"),
        ("9999999.abc", "9999999.abc"),
        ("9" * 5000 + ".abc", "9" * 39 + "…"),
    ],
)
def test_what_has_no_version_is_no_link(link, shown):
    message = f'The link "{shown}" is not a prompt link; copy it again.'
    with pytest.raises(PlaygroundError, match=exactly(message)):
        unpack(link)


@pytest.mark.parametrize(
    "link",
    [
        "1.",
        "1.a",
        "1.????",
        "1.éééé",
        "1. " + token(b"{}")[2:],
        token(b"{}") + "&x=1",
        token(b"{}")[:-4],
        "1.AAAA",
        token(b""),
        token(b"{"),
        token(b"\xff\xfe"),
        token(b"[]"),
        token(b"null"),
        token(b'"text"'),
        token(b"[" * 100_000),
        token(b'{"a":' * 100_000),
        token(b'{"a": ' + b"9" * 5000 + b"}"),
    ],
    ids=range(17),
)
def test_a_damaged_link_says_so(link):
    with pytest.raises(PlaygroundError, match=exactly(DAMAGED)):
        unpack(link)


def test_the_largest_content_opens_and_one_more_byte_does_not():
    frame = json.dumps({"a": ""}).encode()
    largest = (1 << 20) - len(frame)
    assert unpack(token(frame.replace(b'""', b'"%s"' % (b"x" * largest)))) == {"a": "x" * largest}
    with pytest.raises(PlaygroundError, match=exactly(DAMAGED)):
        unpack(token(frame.replace(b'""', b'"%s"' % (b"x" * (largest + 1)))))
