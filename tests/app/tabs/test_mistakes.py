"""The breakage lab's panel: it stands in the line, runs to the end or to Stop, and keeps nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from playground import PlaygroundError
from playground.app.registry import Registry
from playground.app.session import Halt, Inputs
from playground.app.tabs import mistakes
from playground.app.tabs.classify import default_prompt, input_values
from playground.settings import Settings
from tests.app.elements import texts
from tests.engine import tiny


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    folder = tiny.save("bert", tmp_path_factory.mktemp("models") / "tiny")
    return Registry(Settings(model=str(folder), threads=1))


@pytest.fixture
def inputs() -> Inputs:
    prompt = default_prompt()
    own = Inputs("", *input_values(prompt, ("A fine film.",)))
    words = "positive: great\nnegative: awful"
    return replace(own, label_words=words, template="{text} It was {mask}.")


def told(
    registry, inputs, name="label-word", source="reviews", *, halt=None, most=None
) -> list[str]:
    async def all_of() -> list[str]:
        found = []
        steps = mistakes.tried(registry, name, source, inputs, halt or Halt())
        async for html in steps:
            found.append(html)
            if most is not None and len(found) >= most:
                break
        await steps.aclose()
        return found

    return asyncio.run(all_of())


def test_both_ways_run_to_the_end(registry, inputs, monkeypatch):
    monkeypatch.setattr(mistakes, "STEPS", 2)
    found = told(registry, inputs)
    assert len(found) == 1 + 3 + 1  # before the first step, steps 0 to 2, measured
    assert "Done: step 2 of 2, both ways on the same 32 rows." in found[-1]
    assert "On 136 other rows" in texts(found[-1], "pp-verdict")[0]
    assert len(registry.line) == 0


def test_stop_ends_it_after_the_step_in_hand_and_frees_the_line(registry, inputs):
    halt = Halt(asked=True)
    found = told(registry, inputs, halt=halt)
    assert len(found) == 1
    assert "Stopped after step 0 of 40" in found[0]
    assert len(registry.line) == 0
    told(registry, inputs, most=2)  # a page that is closed
    assert len(registry.line) == 0


def test_it_waits_for_its_turn_and_may_leave(registry, inputs):
    with registry.line.place():
        assert told(registry, inputs, most=1) == [mistakes.mistakes_view.waiting(1)]
        with pytest.raises(PlaygroundError) as caught:
            told(registry, inputs, halt=Halt(asked=True))
    assert str(caught.value) == "You have left the line; press Make it to stand in it again."
    assert len(registry.line) == 0


def test_what_cannot_be_is_one_sentence(registry, inputs):
    for changed, options, message in (
        (
            {},
            {"source": "../x"},
            "There is no such sample set; open a file, or take one of the others.",
        ),
        ({}, {"name": "typo"}, 'There is no mistake "typo"; choose one of '),
        ({"label_words": "a: great\nb: awful"}, {}, "Our 200 reviews has no row that can be used."),
    ):
        with pytest.raises(PlaygroundError) as caught:
            told(registry, replace(inputs, **changed), **options)
        assert str(caught.value).startswith(message)
    with pytest.raises(
        PlaygroundError, match=r'^There is no mistake "typo"; choose one of the list\.$'
    ):
        mistakes.explained("typo")


def test_a_draw_leaves_rows_to_measure_on(registry, inputs):
    drawn = mistakes.drawn_rows(registry, inputs.prompt(), "reviews")
    assert (len(drawn.draws[0].train), len(drawn.draws[0].dev), len(drawn.held_out)) == (
        32,
        32,
        136,
    )
