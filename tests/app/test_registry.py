"""The models of a running app: each is loaded once, a few are kept, a wrong name costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from playground.app.registry import Registry
from playground.engine import Prompting
from playground.errors import PlaygroundError
from playground.settings import Settings
from tests.engine import tiny

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of three tiny models."""
    parent = tmp_path_factory.mktemp("registry")
    for name in NAMES:
        tiny.save("bert", parent / name)
    return parent


@pytest.fixture
def opened(folder) -> Callable[..., Registry]:
    def make(**changes: object) -> Registry:
        return Registry(replace(Settings(), model=str(folder / "one"), **changes))

    return make


def together(count: int, ask: Callable[[], object]) -> list:
    """Return what ``count`` threads that start at once get, or the sentence of their error."""
    gate = threading.Barrier(count)

    def run(_: int) -> object:
        gate.wait()
        try:
            return ask()
        except PlaygroundError as error:
            return str(error)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_a_model_is_loaded_once(opened, folder):
    registry = opened()
    first = registry.get(str(folder / "two"))
    assert isinstance(first, Prompting)
    assert registry.get(str(folder / "two")) is first
    assert registry.get(f"  {folder / 'two'} ") is first


@pytest.mark.parametrize("name", [None, "", "   "])
def test_no_name_is_the_default_model(opened, folder, name):
    registry = opened()
    assert registry.get(name) is registry.get(str(folder / "one"))
    assert registry.get(name).backbone.name == "one"


def test_the_least_recently_used_model_goes_first(opened, folder):
    registry = opened(model_slots=2)
    one, two, three = (str(folder / name) for name in NAMES)
    first, second = registry.get(one), registry.get(two)
    assert registry.get(one) is first  # now two is the older
    third = registry.get(three)
    assert registry.get(one) is first
    assert registry.get(three) is third
    assert registry.get(two) is not second


def test_one_slot_keeps_the_last_model(opened, folder):
    registry = opened(model_slots=1)
    first = registry.get()
    second = registry.get(str(folder / "two"))
    assert registry.get(str(folder / "two")) is second
    assert registry.get() is not first


def test_those_who_ask_at_once_get_one_model(opened):
    for _ in range(5):
        registry = opened()
        found = together(8, registry.get)
        assert isinstance(found[0], Prompting)
        assert len({id(prompting) for prompting in found}) == 1


def test_those_who_ask_at_once_for_different_models_get_them(opened, folder):
    """Two loads at a time leave transformers broken for the rest of the process."""
    registry = opened(model_slots=3)
    names = iter(str(folder / name) for name in NAMES)
    found = together(3, lambda: registry.get(next(names)))
    assert sorted(prompting.backbone.name for prompting in found) == sorted(NAMES)


def test_nobody_waits_for_a_model_that_takes_long(opened, folder):
    registry, arrived = opened(), threading.Event()
    kept, read = registry.get(), registry._models._load

    def slowly(name: str) -> Prompting:
        arrived.wait(60)
        return read(name)

    registry._models._load = slowly  # as if a large model were on its way
    two = str(folder / "two")
    for _ in range(2):
        with pytest.raises(PlaygroundError) as error:
            registry.get(two, patience=0.01)
        assert (
            str(error.value) == f'The model "{two}" is still being loaded; try again in a moment.'
        )
    assert registry.get() is kept
    arrived.set()
    assert registry.status(two)[0].startswith("two · ")
    assert registry.get(two) is registry.get(two)


def test_an_error_of_the_load_itself_is_told_as_it_is(opened):
    registry = opened()

    def fails(name: str) -> Prompting:
        raise TimeoutError("the hub is slow")

    registry._models._load = fails
    with pytest.raises(TimeoutError, match="the hub is slow"):
        registry.get()


def test_a_wrong_name_loses_nothing(opened, folder):
    registry = opened(model_slots=1)
    kept = registry.get()
    message = f'The folder "{folder}" has no config.json; give a folder written by save_pretrained.'
    for _ in range(3):  # a failed load does not stay locked
        with pytest.raises(PlaygroundError) as error:
            registry.get(str(folder))
        assert str(error.value) == message
    assert registry.get() is kept


def test_all_who_ask_for_a_wrong_name_are_told(opened):
    registry = opened()
    found = together(6, lambda: registry.get("no such model!"))
    assert set(found) == {
        'The model "no such model!" is neither a folder here nor a hub id such as '
        "bert-base-uncased; shipped models: playground-mini."
    }


def test_a_hosted_registry_loads_only_what_is_listed(opened, folder):
    registry = opened(hosted=True)
    assert registry.get().backbone.name == "one"
    with pytest.raises(
        PlaygroundError, match=r'^The model ".*" is not offered here; choose one of'
    ):
        registry.get(str(folder / "two"))


def test_a_class_opens_no_folder_that_is_not_listed(opened, folder):
    one, two = str(folder / "one"), str(folder / "two")
    registry = opened(host="0.0.0.0", models=two)
    assert registry.get(two).backbone.name == "two"
    assert registry.get(one).backbone.name == "one"  # the default one
    told = set()
    for name in (str(folder / "three"), "/etc/ssl", "/no/such/place", "../x", "~"):
        with pytest.raises(
            PlaygroundError, match=r'^The model ".*" is no hub id, and folders'
        ) as error:
            registry.get(name)
        with pytest.raises(PlaygroundError, match="is no hub id"):
            registry.classifier(name)
        told.add(str(error.value).replace(name, ""))
    assert len(told) == 1  # what is there reads as what is not
    assert opened(host="127.0.0.1").get(str(folder / "three")).backbone.name == "three"


def test_the_status_of_a_model_without_a_warning(prompting):
    line, sane = Registry(Settings()).status()
    assert (line, sane) == ("playground-mini · 8.5 M parameters · cpu fp32 · 512 tokens", True)


def test_the_status_names_what_is_wrong(opened, folder):
    registry = opened()
    line, sane = registry.status(str(folder / "missing!"))
    assert line.startswith('The model "')
    assert line.endswith("; shipped models: playground-mini.")
    assert not sane
