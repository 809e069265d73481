"""The row of buttons under a Classify result: link, Python, CSV, JSON and SVG."""

from __future__ import annotations

import json
from dataclasses import replace

import gradio as gr

from playground.app import tables
from playground.app.bars import svg
from playground.app.markup import notice
from playground.app.model_names import link_notice, named, tuned_file
from playground.app.registry import Registry
from playground.app.session import Inputs, download, explain, leaves, said_in
from playground.app.share import PageState
from playground.app.theme import COPY_JS, DOWNLOAD_JS, LINK_JS


def export_row(registry: Registry, inputs: list, told: gr.HTML) -> gr.Code:
    """Build and wire the buttons, and return the box that shows the Python program.

    Files are made in the browser; nothing is kept on the server.
    """
    with gr.Row(elem_classes="pp-exports"):
        link = gr.Button("Copy link", size="sm", elem_id="classify-link")
        python = gr.Button("Copy as Python", size="sm", elem_id="classify-python")
        table = gr.Button("CSV", size="sm", elem_id="classify-csv")
        card = gr.Button("JSON", size="sm", elem_id="classify-json")
        picture = gr.Button("SVG", size="sm", elem_id="classify-svg")
    code = gr.Code(
        language="python", label="Python", visible=False, interactive=False, elem_id="classify-code"
    )
    payload = gr.Textbox(visible="hidden", elem_id="classify-payload", label="Export")

    @said_in(told)
    def make_link(*values: str):
        chosen = Inputs(*values)
        prompt = chosen.prompt()
        state = PageState(
            prompt, tuple(chosen.row(prompt).values()), model=named(registry, chosen.model)
        )
        return {payload: state.token(), told: link_notice(registry, chosen.model)}

    @said_in(told)
    def make_python(*values: str):
        chosen = Inputs(*values)
        prompt = chosen.prompt()
        row = chosen.row(prompt)
        rows = [next(iter(row.values()))] if len(row) == 1 else [row]
        tuned = tuned_file(registry, chosen.model)
        program = prompt.to_python(rows, model=named(registry, chosen.model) or None, tuned=tuned)
        program += f"\n# on a file: {tables.command_line(prompt, tuned)}\n"
        said = f"Copied. It opens {tuned}, which Train downloads." if tuned else "Copied."
        return {
            payload: program,
            code: gr.update(value=program, visible=True),
            told: notice(said),
        }

    @said_in(told)
    def make_table(*values: str):
        chosen = Inputs(*values)
        prompt = chosen.prompt()
        text = tables.scores_csv(explain(registry, chosen), chosen.row(prompt), prompt)
        return {payload: download("scores.csv", "text/csv", text)}

    @said_in(told)
    def make_card(*values: str):
        chosen = Inputs(*values)
        prompt = chosen.prompt()
        kept = replace(prompt, examples=(chosen.row(prompt),) if prompt.template.fields else ())
        text = json.dumps(kept.to_json(), ensure_ascii=False, indent=2) + "\n"
        return {payload: download("prompt.json", "application/json", text)}

    @said_in(told)
    def make_picture(*values: str):
        chosen = Inputs(*values)
        title = chosen.prompt().template.fill(chosen.row(chosen.prompt()))
        found = explain(registry, chosen)
        text = svg(found.labels, found.probabilities.tolist(), title, found.prior.tolist())
        return {payload: download("scores.svg", "image/svg+xml", text)}

    for button, make, script in (
        (link, make_link, LINK_JS),
        (python, make_python, COPY_JS),
        (table, make_table, DOWNLOAD_JS),
        (card, make_card, DOWNLOAD_JS),
        (picture, make_picture, DOWNLOAD_JS),
    ):
        outputs = [code, told] if make is make_python else [told]
        leaves(button, make, inputs, outputs, payload, script)
    return code
