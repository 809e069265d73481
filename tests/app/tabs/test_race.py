"""The race panel: stored races are those of the shipped model, and a damaged one is told at the start."""

from __future__ import annotations

import gradio as gr
import pytest

from playground import PlaygroundError, resources
from playground.app.registry import Registry
from playground.app.tabs.race import build_race, stored_races
from playground.settings import Settings
from playground.tasks.tuning.race import Race
from tests.tasks.tuning.races import small


def components(folder) -> dict[str, gr.components.Component]:
    with gr.Blocks() as demo:
        build_race(Registry(Settings()), folder)
    return {
        block.elem_id: block for block in demo.blocks.values() if getattr(block, "elem_id", None)
    }


def test_any_number_of_races_is_shown(tmp_path):
    shown = components(tmp_path)
    assert list(shown) == ["race-result"]
    assert "No race is stored" in shown["race-result"].value
    small(data="One").save(tmp_path / "one.json")
    shown = components(tmp_path)
    assert shown["race-data"].visible is False
    assert "One, tiny" in shown["race-result"].value
    small(data="Two").save(tmp_path / "two.json")
    shown = components(tmp_path)
    assert shown["race-data"].visible is True
    assert shown["race-data"].choices == [("One", "one"), ("Two", "two")]


def test_a_damaged_race_is_told(tmp_path):
    (tmp_path / "one.json").write_text("{}", encoding="utf-8")
    with pytest.raises(
        PlaygroundError, match=r"^The race cannot be shown: it is no race of this version"
    ):
        stored_races(tmp_path)


def test_the_stored_races_are_of_the_shipped_model(prompting):
    for race in stored_races().values():
        assert race.model == prompting.backbone.name
        assert race.revision == prompting.backbone.revision


def test_a_race_that_is_not_there_is_told():
    with pytest.raises(
        PlaygroundError, match=r'^There is no stored race "no-such"; the races are '
    ):
        resources.race_path("no-such")
    for name in resources.race_names():
        assert Race.load(resources.race_path(name)).runs
