"""The folded part of Eval that tries every way to write the prompt on the open rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from playground.app import sensitivity_view
from playground.app.markup import notice
from playground.app.registry import Registry
from playground.app.session import (
    Inputs,
    download,
    leaves,
    quiet,
    said_in,
    still_kept,
    stoppable,
)
from playground.app.tabs.cards import card_html
from playground.app.tabs.classify import ClassifyTab, input_values
from playground.app.tabs.evaluate import EvalTab, labelled_rows, place, with_card_templates
from playground.app.theme import DOWNLOAD_JS, actions_js
from playground.tasks.sensitivity import Sensitivity, sensitivity_parts, variants

GONE = "The grid is gone from the page's memory; press the button again."


def build_sensitivity(
    registry: Registry, classify: ClassifyTab, evaluate: EvalTab, tabs: gr.Tabs
) -> None:
    """Build the part inside the current Blocks context and wire it."""
    with gr.Accordion("How sensitive is it?", open=False, elem_id="eval-sensitive"):
        gr.HTML(
            '<p class="pp-legend">Every template of the card, with all label words and with each word '
            "alone, raw and calibrated, on the open rows: how much of the accuracy is the wording's.</p>"
        )
        with gr.Row(elem_classes="pp-run-row"):
            go = gr.Button("Try them all", variant="primary", size="sm", elem_id="sensitive-run")
            stop = gr.Button("Stop", size="sm", visible=False, elem_id="sensitive-stop")
            save = gr.Button("CSV", size="sm", visible=False, elem_id="sensitive-csv")
        told = gr.HTML(notice(""), elem_id="sensitive-notice")
        result = gr.HTML("", elem_id="sensitive-result", js_on_load=actions_js())
        payload = gr.Textbox(visible="hidden", elem_id="sensitive-payload", label="Export")
        kept = gr.State(None, time_to_live=3600)

    def make(*values: Any):
        rows, inputs = values[: len(evaluate.rows)], Inputs(*values[len(evaluate.rows) :])
        return tried(registry, inputs, *rows)

    stoppable(
        go,
        stop,
        make,
        lambda step, stopped: sensitivity_view.grid(step, stopped=stopped),
        [*evaluate.rows, *classify.inputs],
        told=told,
        result=result,
        kept=kept,
        exports=(save,),
    )

    @said_in(told)
    def open_cell(found: Sensitivity | None, event: gr.EventData):
        found = still_kept(found, GONE)
        variant = found.variants[place(str(event.arg), len(found.variants))]
        values = input_values(variant.prompt, ())[2:]  # the texts stay
        return {
            **dict(zip(classify.inputs[3:], values, strict=True)),
            classify.card: None,
            classify.panel: card_html(variant.prompt, "From the grid of Eval."),
            classify.told: notice(f"Opened from the grid: {variant.words}."),
            tabs: gr.update(selected="classify"),
        }

    result.click(
        open_cell,
        kept,
        [*classify.inputs[3:], classify.card, classify.panel, classify.told, tabs, told],
        **quiet(),
    )

    @said_in(told)
    def make_grid(found: Sensitivity | None):
        found = still_kept(found, GONE)
        text = sensitivity_view.grid_csv(found)
        return {payload: download("sensitivity.csv", "text/csv", text)}

    leaves(save, make_grid, [kept], [told], payload, DOWNLOAD_JS)


def tried(registry: Registry, inputs: Inputs, *rows: Any) -> Iterator[Sensitivity]:
    """Yield what every way to write the prompt of Classify gets on the rows, part by part."""
    prompt = with_card_templates(inputs.prompt())
    labelled = labelled_rows(registry, prompt, *rows)
    yield from sensitivity_parts(
        registry.get(inputs.model), variants(prompt), labelled, rows_at_once=128
    )
