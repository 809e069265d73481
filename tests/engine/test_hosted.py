"""Hosted mode: listed models open, and nothing else, without a socket."""

from __future__ import annotations

import pytest

from playground import PlaygroundError, Prompting, resources
from playground.settings import Settings

HOSTED = Settings(hosted=True)


@pytest.mark.parametrize(
    "name",
    [
        "bert-base-uncased",
        "someone/else",
        "../x",
        "/etc",
        "/",
        "~",
        ".",
        "assets/models/playground-mini",
        "playground-mini/",
        "./playground-mini",
        "playground-mini/../playground-mini",
        "PLAYGROUND-MINI",
        " playground-mini",
        "playground-mini\0",
        "playground-mini,bert-base-uncased",
        "https://huggingface.co/bert-base-uncased",
        "file:///etc/passwd",
        str(resources.shipped_models()["playground-mini"]),
    ],
)
def test_a_model_that_is_not_listed_is_refused(name, no_network):
    message = r"^The model .+ is not offered here; choose one of playground-mini\.$"
    with pytest.raises(PlaygroundError, match=message):
        Prompting(name, settings=HOSTED)
    assert no_network == []


@pytest.mark.parametrize("name", ["playground-mini", None, ""])
def test_the_shipped_model_opens(name, no_network):
    assert Prompting(name, settings=HOSTED).backbone.name == "playground-mini"
    assert no_network == []


def test_a_listed_folder_opens_and_the_one_above_it_does_not(folder_of, no_network):
    folder = folder_of("bert")
    settings = Settings(hosted=True, models=f"other/model, {folder}")
    assert Prompting(str(folder), settings=settings).backbone.name == "tiny-bert"
    message = r"^The model .+ is not offered here; choose one of playground-mini, other/model, "
    with pytest.raises(PlaygroundError, match=message):
        Prompting(folder.parent, settings=settings)
    assert no_network == []


def test_the_hub_is_asked_for_a_listed_id_only(no_network):
    settings = Settings(hosted=True, models="other/model")
    with pytest.raises(PlaygroundError, match=r"^The model .+ is not offered here; choose one of"):
        Prompting("other/models", settings=settings)
    assert no_network == []
    with pytest.raises(PlaygroundError, match=r'^The model "other/model" could not be fetched'):
        Prompting("other/model", settings=settings)
    # the hub's own client may ask for more than the model, but nobody else is asked
    assert {place[:2] for place in no_network} == {("huggingface.co", 443)}


def test_the_same_names_open_nothing_else_in_local_mode(no_network):
    with pytest.raises(
        PlaygroundError, match=r'^The model "\.\./x" is neither a folder here nor a'
    ):
        Prompting("../x", settings=Settings())
    assert no_network == []
