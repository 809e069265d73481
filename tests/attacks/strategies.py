"""What attacks are drawn from, and how one is judged: a result or one clear error, soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from playground.errors import PlaygroundError
from playground.prompts import LabelWord, Verbalizer

BUDGET = 0.05  # CPU seconds for one template, card or link
LONGEST_MESSAGE = 600  # characters

# lone high surrogates beside what Hypothesis draws: texts may come from anywhere
texts = st.text(st.one_of(st.characters(), st.sampled_from("\ud800{}[]<>%$\\'\"\u202e\u200d\x00")))
pieces_of_attacks = st.sampled_from(
    [
        *("{", "}", "{{", "}}", "{text}", "{mask}", "{sep}", "{span}", "{text_a}", "[MASK]"),
        *("<mask>", "[SEP]", "{0}", "{0.__class__}", "{text.__class__.__init__.__globals__}"),
        *("{text!r:>99999999}", "{text:{text}}", "{mask:99999999}", "{text[0]}", "{}", "{ mask }"),
        *("%s", "%(text)s", "%99999999d", "%", "%%", "${text}", "$text", "{{ 7*7 }}", "{% if %}"),
        *("{{ ''.__class__.__mro__ }}", "{# #}", "<%= 1 %>", "\\{", "\\N{DASH}", "\x00", "\ud800"),
        *("{" * 500, "}" * 500, "{a" * 300, "{ " * 500, "[MASK" * 200, "\n", " ", "a"),
    ]
)
attacks = st.lists(st.one_of(pieces_of_attacks, st.text(max_size=5)), max_size=12).map("".join)


def outcome(call: Callable[[], Any], *, budget: float = BUDGET) -> Any:
    """Return what ``call`` returns, or its PlaygroundError; fails if it is slow or raises another.

    The best of three tries counts, so that a collection of garbage in one of them does not.
    """
    for _ in range(3):
        started = time.thread_time()
        try:
            result = call()
        except PlaygroundError as error:
            result = error
        seconds = time.thread_time() - started
        if seconds < budget:
            break
    else:
        pytest.fail(f"took {seconds:.3f} s of CPU time")
    assert not refused(result) or len(str(result)) <= LONGEST_MESSAGE
    return result


def refused(result: object) -> bool:
    return isinstance(result, PlaygroundError)


literals = texts.filter(lambda text: text and "[MASK]" not in text and "<mask>" not in text)


def plain(forbidden: str) -> st.SearchStrategy[str]:
    """Return texts as a verbalizer keeps them: white space joined, no sign of the text form."""
    kept = texts.map(lambda t: " ".join("".join(c for c in t if c not in forbidden).split()))
    return kept.filter(lambda t: 0 < len(t) <= 60)


weights = st.one_of(
    st.just(1.0), st.integers(1, 10**6), st.floats(0, 1e6, exclude_min=True, allow_nan=False)
)


@st.composite
def verbalizers(draw: st.DrawFn) -> Verbalizer:
    names = draw(st.lists(plain(":"), min_size=2, max_size=5, unique=True))
    words = draw(st.lists(plain(",:*"), min_size=len(names), max_size=12, unique=True))
    labels: dict[str, list[LabelWord]] = {name: [] for name in names}
    for k, word in enumerate(words):
        labels[names[k % len(names)]].append(LabelWord(word, draw(weights)))
    return Verbalizer(labels)  # type: ignore[arg-type]
