"""A stranger after another visitor's tuned model: names guessed, mangled and worn out, at every endpoint."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from playground import Prompt, app
from playground.app.registry import Registry
from playground.app.tuned_models import PREFIX, TunedModels, size_of
from playground.engine.tuning.delta import Delta
from playground.errors import PlaygroundError
from playground.settings import Settings
from tests.app.serving import Site, served
from tests.attacks.test_app_server import DEFAULTS, NER

PROMPT = Prompt.load("sentiment").with_template("{text} It was {mask}.")
GONE = (
    "This tuned model is gone from the page's memory; tune it again or open its file, or choose another "
    "model."
)


class Victim(NamedTuple):
    """The app with one visitor's tuned model in it, and that one's name."""

    site: Site
    registry: Registry
    name: str


@pytest.fixture(scope="module")
def victim(prompting) -> Iterator[Victim]:
    made: list[Registry] = []

    class Seen(Registry):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "Registry", Seen)
        with served(threads=1) as site:
            registry = made[-1]
            bias = torch.zeros(prompting.backbone.vocabulary_size)
            (awful,) = prompting.backbone.encoder.pieces("awful")
            bias[awful] = 20.0
            base = registry.get().backbone
            one = Delta(
                "bias", base.name, base.revision, PROMPT, {"change:cls.predictions.bias": bias}
            )
            yield Victim(
                site, registry, registry.tuned.keep(one, base=base.name, title="secret film")
            )


def guesses(name: str) -> list[str]:
    """Return names that are near a real one, or odd."""
    token = name.removeprefix(PREFIX)
    rng = random.Random(5)
    letters = string.ascii_letters + string.digits + "-_"
    found = [PREFIX + "".join(rng.choices(letters, k=32)) for _ in range(200)]
    found += [PREFIX + token[:k] for k in range(len(token))]
    found += [PREFIX + token[:k] + other + token[k + 1 :] for k in (0, 15, 31) for other in "a*%"
              if token[k] != other]  # fmt: skip
    found += [name + more for more in ("a", "=", "\0", "/", "/../x", "%00", "\u200b", "\ud800")]
    found += [PREFIX + odd for odd in ("", " ", "*", ".*", "..", "None", "__class__", "x" * 100_000, "\u202e", "ａ")]  # fmt: skip
    found += [PREFIX * 2 + token, PREFIX + " " + token, PREFIX + token.swapcase()]
    return found


def test_no_guess_finds_anything_and_none_is_said_again(victim):
    tuned = victim.registry.tuned
    for guess in guesses(victim.name):
        for ask in (tuned.delta, tuned.base, tuned.title, victim.registry.get):
            with pytest.raises(PlaygroundError) as error:
                ask(guess)
            assert str(error.value) == GONE
    tuned.forget(guesses(victim.name))
    assert tuned.title(victim.name) == "secret film"


def test_fifty_visitors_with_whole_models_stay_under_the_cap():
    settings = replace(Settings(), tuned_mb=64)
    tuned = TunedModels(settings)
    change = torch.zeros(8_400_000, dtype=torch.float16)  # as many as the shipped model has
    one = Delta("whole", "x", "y", PROMPT, {"change:a.weight": change})
    names = []
    for visitor in range(50):
        names.append(tuned.keep(one, base="x", title="", owner=str(visitor)))
        assert tuned.nbytes <= 64 << 20
    left = (64 << 20) // size_of(one)
    assert len(tuned) == left == 3
    for name in names[:-left]:
        with pytest.raises(PlaygroundError) as error:
            tuned.delta(name)
        assert str(error.value) == GONE
    assert all(tuned.delta(name) is one for name in names[-left:])


def calls(model: object) -> dict[str, list[object]]:
    """Return the values that ask each endpoint for ``model``."""
    compared = {"template": "{text} It was {mask}.", "label_words": "good: great\nbad: awful"}
    return {
        "classify": list(
            ({"text": "A film."} | DEFAULTS | {"calibration": "none", "model": model}).values()
        ),
        "fill": ["It was [MASK].", 3, model],
        "ner": ["Ana is in Rome.", *({**NER, "model": model}).values()],
        "compare": ["A film.", [compared | {"model": model}], ""],
        "nli": ["A man sleeps.", "A man is awake.", model],
        "layers": ["It was [MASK].", 3, model],
        "attention": ["It was good.", 1, 1, model],
    }


@pytest.mark.parametrize("endpoint", list(calls("")))
def test_a_wrong_name_is_refused_at_every_endpoint_without_being_said_again(endpoint, victim):
    token = "Q" * 32
    for model in (PREFIX + token, victim.name[:-1], f" {PREFIX}{token}\n", victim.name + "\u200b"):
        state, answer = victim.site.call(endpoint, calls(model)[endpoint])
        told = json.dumps(answer)
        assert state == "error", told
        assert token not in told
        assert victim.name[len(PREFIX) : -1] not in told
        expected = GONE if endpoint != "nli" else "A tuned prompt is no NLI classifier; "
        assert expected in told, told


@pytest.mark.parametrize("model", [[], {}, 7, True, ["tuned:x"], {"tuned:x": 1}])
def test_a_name_that_is_no_text_is_refused(model, victim):
    for endpoint, values in calls(model).items():
        state, answer = victim.site.call(endpoint, values)
        assert state == "error", (endpoint, answer)
        assert "Traceback" not in json.dumps(answer)


def test_nothing_lists_or_tells_of_a_tuned_model(victim):
    token = victim.name.removeprefix(PREFIX)
    told = [victim.site.call("models", []), victim.site.call("cards", [])]
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/startup-events", "/theme.css"):
        told.append(victim.site.get(path)[1].decode(errors="replace"))
    assert token not in json.dumps(told)
    assert "secret film" not in json.dumps(told)


def test_its_own_page_gets_it_and_nobody_else_s_answers_change(victim):
    mine, others = (calls(model)["classify"] for model in (victim.name, ""))
    _, before = victim.site.call("classify", others)
    state, found = victim.site.call("classify", mine)
    assert (state, found[0]["label"]) == ("complete", "bad")
    assert found[0]["scores"]["bad"] > 0.99
    assert token_free(found, victim.name)
    assert victim.site.call("classify", others)[1] == before
    victim.registry.tuned.forget([victim.name])
    state, answer = victim.site.call("classify", mine)
    assert (state, GONE in json.dumps(answer)) == ("error", True)
    assert victim.site.call("classify", others)[1] == before


def token_free(answer: object, name: str) -> bool:
    return name.removeprefix(PREFIX) not in json.dumps(answer)
