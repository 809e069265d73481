"""The folded part of Eval that opens a hub data set."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from playground.app.hub_sets import HubRows, open_dataset
from playground.app.markup import notice
from playground.app.registry import Registry
from playground.app.session import told_run
from playground.errors import shorten


def build_hub(registry: Registry, show: Callable[[HubRows], dict], outputs: list) -> None:
    """Build the part; ``show`` returns the updates of ``outputs`` for an opened data set.

    A hosted app that lists no data set has no such part.
    """
    settings = registry.settings
    if settings.hosted and not settings.dataset_names:
        return
    with gr.Accordion("A hub data set", open=False, elem_id="eval-hub"):
        if settings.hosted:
            name: gr.Dropdown | gr.Textbox = gr.Dropdown(
                list(settings.dataset_names), value=settings.dataset_names[0], label="Data set",
                elem_id="eval-hub-name",
            )  # fmt: skip
        else:
            name = gr.Textbox(
                label="Data set",
                info="Its name on the hub, or a folder of this machine.",
                placeholder="such as stanfordnlp/sst2",
                max_lines=1,
                elem_id="eval-hub-name",
            )
        with gr.Row():
            split = gr.Textbox(
                label="Split", placeholder="such as validation", max_lines=1, min_width=120,
                elem_id="eval-hub-split",
            )  # fmt: skip
            config = gr.Textbox(
                label="Configuration", placeholder="where it has several", max_lines=1,
                min_width=120, elem_id="eval-hub-config",
            )  # fmt: skip
        load = gr.Button("Load", size="sm", elem_id="eval-hub-load")
        told = gr.HTML(notice(""), elem_id="eval-hub-notice")

    def open_it(wanted: str, part: str, chosen: str):
        def steps():
            yield {told: notice(f"Opening {shorten(wanted or '')}…"), load: _busy(True)}
            found = open_dataset(settings, wanted, chosen, part)
            yield {told: notice(""), load: _busy(False), **show(found)}

        yield from told_run(steps(), told, {load: _busy(False)})

    load.click(
        open_it,
        [name, split, config],
        [told, load, *outputs],
        show_progress="hidden",
        concurrency_id="hub",
        concurrency_limit=1,
        api_visibility="private",
    )


def _busy(now: bool) -> dict:
    return gr.update(interactive=not now)
