"""The Pretrain tab's own functions: what is drawn, which head, and models that lack a part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from playground import PlaygroundError, resources
from playground.app import build
from playground.app.registry import Registry
from playground.app.tabs.pretrain import (
    START,
    attended,
    drawn,
    head_of,
    lapse_of,
    probe_of,
    shown_lapse,
)
from playground.settings import Settings
from playground.tasks.pretraining.timelapse import FILE
from tests.app.elements import texts
from tests.tasks.pretraining.lapses import TEXTS, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The shipped model with a small record of a pretraining beside it."""
    place = tmp_path_factory.mktemp("models") / "mine"
    shutil.copytree(resources.shipped_models()["playground-mini"], place)
    (place / "SHA256SUMS").unlink(missing_ok=True)
    small().save(place / FILE)
    return place


@pytest.fixture(scope="module")
def registry(folder) -> Registry:
    return Registry(Settings(model=str(folder)))


def test_the_lapse_of_the_chosen_model_is_shown(registry):
    frames, table, missing, offered = shown_lapse(registry, "", TEXTS[1])
    assert (missing, offered) == ("", list(TEXTS))
    assert texts(frames, "pp-name") == ["<i>", "##s"]
    assert texts(table, "pp-guess")[:1] == ["a"]
    assert probe_of(small(), "no such sentence").text == TEXTS[0]


def test_a_model_without_a_record_says_so(registry, tmp_path):
    place = tmp_path / "bare"
    shutil.copytree(registry.settings.model, place)
    (place / FILE).unlink()
    assert shown_lapse(registry, str(place), "") == (
        "", "",
        'The model "bare" brings no record of its pretraining; choose one that playground pretrain has made.',
        [],
    )  # fmt: skip


def test_a_hostile_record_is_one_sentence(registry, tmp_path):
    place = tmp_path / "odd"
    shutil.copytree(registry.settings.model, place)
    (place / FILE).write_text(json.dumps({"format": "<b>"}), encoding="utf-8")
    frames, table, missing, offered = shown_lapse(registry, str(place), "")
    assert (frames, table, offered) == ("", "", [])
    assert missing.startswith("The model's pretraining.json cannot be shown: the file lacks")
    assert str(tmp_path) not in missing


def test_a_record_without_sentences_says_so(registry, tmp_path):
    place = tmp_path / "mute"
    shutil.copytree(registry.settings.model, place)
    data = small().to_json() | {"probes": []}
    (place / FILE).write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(PlaygroundError, match="holds no sentences to look at"):
        lapse_of(registry, str(place))


def test_what_is_drawn_is_the_engines(registry, prompting):
    made = drawn(registry, "", START, (2, 3))
    view = prompting.layers(START, top_k=5)
    assert texts(made.layers, "pp-guess") == [f.token for row in view.layers for f in row]
    assert "Attention: layer 2, head 3" in made.attention
    assert made.pick == (2, 3)
    assert texts(made.attention, "pp-from") == list(prompting.attention(START).tokens)


@pytest.mark.parametrize("pick", [None, (0, 1), (50, 1), (1, 50), (99, 99), (-1, 2)])
def test_a_head_that_is_not_there_becomes_a_telling_one(registry, pick):
    found, own = attended(registry, "", START, pick)
    assert 1 <= own[0] <= found.layers
    assert 1 <= own[1] <= found.heads
    assert own == attended(registry, "", START, None)[1]


def test_a_button_carries_a_head(registry):
    found = registry.get().attention(START)
    assert head_of("4|1", found) == (4, 1)


@pytest.mark.parametrize("argument", ["", "1", "1|", "|1", "0|1", "50|1", "1|50", "-1|1", "1|1|1", "²|1", "9" * 99, "a|b", "1|1e1"])  # fmt: skip
def test_what_is_no_head_is_refused(registry, argument):
    found = registry.get().attention(START)
    with pytest.raises(PlaygroundError, match=r"There is no head .*; pick another"):
        head_of(argument, found)


def test_a_model_without_attention_weights_still_shows_its_layers(registry, monkeypatch):
    def none(_text):
        raise PlaygroundError("The model has none; choose another.")

    monkeypatch.setattr(registry.get(), "attention", none)
    made = drawn(registry, "", START, (1, 2))
    assert texts(made.layers, "pp-final")[-1]
    assert texts(made.attention, "pp-notice") == ["The model has none; choose another."]
    assert (made.heads, made.pick) == ("", (1, 2))


def test_no_model_keeps_the_page_from_opening(folder):
    """Three tokens are too few for the first sentence: the tab says so, and all others are there."""
    registry = Registry(Settings(model=str(folder), max_lens_tokens=3))
    page = build(registry)
    said = [
        block.value
        for block in page.blocks.values()
        if getattr(block, "elem_id", "") == "pretrain-notice"
    ]
    assert texts(said[0], "pp-error") == [
        "The text has 9 tokens and layers and attention are read for at most 3; shorten it."
    ]


def test_a_link_restores_only_what_is_offered(folder):
    registry = Registry(Settings(model=str(folder)))
    from playground.app.tabs.pretrain import PretrainTab

    tab = PretrainTab(registry, "text", "sentence", "picked")  # type: ignore[arg-type]
    state = {"text": "a [MASK]", "sentence": TEXTS[1], "layer": 3, "head": 2}
    updates = tab.restored(state, "")
    assert (updates["text"], updates["picked"]) == ("a [MASK]", (3, 2))
    assert (updates["sentence"]["value"], updates["sentence"]["choices"]) == (TEXTS[1], list(TEXTS))
    assert tab.restored({"sentence": "another [MASK]"}, "") == {}
    assert tab.restored({"layer": 3}, "") == {}
    assert tab.restored({}, "") == {}
