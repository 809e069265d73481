"""A tuned model's name is a key: nothing that leaves the page holds it."""

from __future__ import annotations

import pytest

from playground.app.model_names import base_of, link_notice, named, shown_name, tuned_file
from playground.app.registry import Registry
from playground.app.share import ComparedPrompt, PageState
from playground.app.tabs.classify import default_prompt
from playground.engine.tuning.delta import Delta
from playground.errors import PlaygroundError
from playground.prompts import link
from playground.settings import Settings


@pytest.fixture
def registry() -> Registry:
    return Registry(Settings(models="org/other"))


@pytest.fixture
def keep(registry):
    def make(base: str) -> str:
        delta = Delta("bias", base, "r", default_prompt(), {})
        return registry.tuned.keep(delta, base=base, title="tuned: bias, 4 shots, seed 0")

    return make


def test_a_tuned_model_is_named_by_its_base(registry, keep):
    own, other = keep("playground-mini"), keep("org/other")
    assert [named(registry, name) for name in (own, other, "", "playground-mini", "org/other")] == [
        *("", "org/other", "", "", "org/other")
    ]
    assert base_of(registry, other) == "org/other"
    assert [tuned_file(registry, name) for name in (own, "org/other", "")] == [
        *("delta.safetensors", None, None)
    ]


def test_people_read_its_title(registry, keep):
    assert shown_name(registry, keep("org/other")) == "org/other (tuned: bias, 4 shots, seed 0)"
    assert shown_name(registry, "") == "playground-mini"


def test_a_link_says_that_it_opens_the_base(registry, keep):
    assert "The link is copied and in the address bar.</p>" in link_notice(
        registry, "", "org/other"
    )
    said = link_notice(registry, "", keep("org/other"))
    assert "It opens org/other itself: what you tuned stays on this page" in said


def test_one_that_is_gone_is_in_no_link(registry, keep):
    name = keep("org/other")
    registry.tuned.forget([name])
    for ask in (named, shown_name, link_notice):
        with pytest.raises(
            PlaygroundError, match=r"^This tuned model is gone from the page's memory"
        ):
            ask(registry, name)


def test_no_link_is_made_with_the_key_and_none_is_opened(registry, keep):
    name = keep("org/other")
    for state in (
        PageState(default_prompt(), model=name),
        PageState(default_prompt(), compared=(ComparedPrompt(default_prompt(), f" {name}"),)),
    ):
        with pytest.raises(ValueError, match=r"^a tuned model's name is the key to it"):
            state.token()
    card = default_prompt().to_json()
    for data in (
        {"card": card, "model": name},
        {"card": card, "compared": [{"card": card, "model": name}]},
        {"card": card, "classifier": name},
    ):
        with pytest.raises(
            PlaygroundError, match=r"^The link names a tuned model, which lives on the"
        ):
            PageState.from_token(link.pack(data))


def test_a_program_opens_the_file_that_train_downloads(registry):
    program = default_prompt().to_python(["x"], model="org/other", tuned="delta.safetensors")
    assert "prompting = Prompting('org/other').tuned('delta.safetensors')\n" in program
    assert ".tuned(" not in default_prompt().to_python(["x"])
