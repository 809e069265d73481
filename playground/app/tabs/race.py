"""The folded race of the Train tab: what the shipped model gains from a few rows, method by method."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from playground import resources
from playground.app import race_view
from playground.app.markup import notice
from playground.app.registry import Registry
from playground.app.session import download, leaves, quiet, said_in
from playground.app.theme import DOWNLOAD_JS
from playground.errors import PlaygroundError, shorten
from playground.tasks.tuning.race import Race
from playground.tasks.tuning.race_report import to_csv


def build_race(registry: Registry, folder: Path | None = None) -> None:
    """Build the part inside the current Blocks context and wire it.

    folder: of the races, those that are shipped if None. They were measured before, so that ``registry``
    is asked for nothing: a whole race takes the better part of an hour.
    """
    races = stored_races(folder)
    if not races:
        gr.HTML(race_view.no_race(), elem_id="race-result")
        return
    first = max(races, key=lambda name: len(races[name].shots))  # the one that shows most
    chosen = gr.Radio(
        [(race.data, name) for name, race in races.items()],
        value=first,
        label="Data",
        visible=len(races) > 1,
        elem_id="race-data",
    )
    told = gr.HTML(notice(""), elem_id="race-notice")
    result = gr.HTML(race_view.race_html(races[first]), elem_id="race-result")
    with gr.Row(elem_classes="pp-exports"):
        save = gr.Button("CSV", size="sm", elem_id="race-csv")
    payload = gr.Textbox(visible="hidden", elem_id="race-payload", label="Export")

    def race_of(name: str) -> Race:
        if name not in races:
            raise PlaygroundError(f"There is no race {shorten(name)}; choose one of the list.")
        return races[name]

    @said_in(told)
    def show(name: str):
        return {result: race_view.race_html(race_of(name))}

    @said_in(told)
    def make_csv(name: str):
        race = race_of(name)
        return {payload: download(f"race-{name}.csv", "text/csv", to_csv(race))}

    chosen.change(show, chosen, [result, told], **quiet())
    leaves(save, make_csv, [chosen], [told], payload, DOWNLOAD_JS)


def stored_races(folder: Path | None = None) -> dict[str, Race]:
    """Return the stored races by name; raises PlaygroundError for one that is damaged."""
    if folder is None:
        return {name: Race.load(resources.race_path(name)) for name in resources.race_names()}
    return {path.stem: Race.load(path) for path in sorted(folder.glob("*.json"))}
