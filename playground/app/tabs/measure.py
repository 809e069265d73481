"""The lower part of Compare: the prompts of the columns on labelled rows, and whether one wins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr

from playground.app import compare_view
from playground.app.compare_view import Compared
from playground.app.eval_view import Measured, rows_csv
from playground.app.markup import notice
from playground.app.model_names import shown_name
from playground.app.registry import Registry
from playground.app.session import (
    download,
    joined,
    leaves,
    quiet,
    said_in,
    still_kept,
    stoppable,
)
from playground.app.tabs.columns import Compare, CompareTab
from playground.app.tabs.evaluate import (
    SETS,
    EvalTab,
    Opened,
    guessed,
    labelled_rows,
    place,
    sample,
)
from playground.app.theme import DOWNLOAD_JS, OLD_COMPARED_JS, actions_js
from playground.tasks.comparison import Entry, check_comparable, compare_parts

OPEN_ROWS = "the rows open in Eval"
GONE = "The results are gone from the page's memory; press Measure again."


def build_measuring(registry: Registry, page: CompareTab, evaluate: EvalTab) -> None:
    """Build the part inside the Compare tab and wire it to the rows of Eval."""
    with page.rows_panel:
        gr.HTML(
            '<div class="pp-result"><h2>Which is really better? Measure on rows</h2>'
            '<p class="pp-legend">All prompts are measured on the same labelled rows. One is called '
            "the winner only if McNemar's paired test says that its lead is not chance.</p></div>"
        )
        source = gr.Dropdown(
            [OPEN_ROWS, *((shown, name) for name, shown in SETS.items())],
            value=OPEN_ROWS,
            label="Rows",
            info="A file or data set of your own is opened in Eval.",
            elem_id="compare-source",
        )
        with gr.Row(elem_classes="pp-run-row"):
            go = gr.Button("Measure", variant="primary", size="sm", elem_id="compare-run")
            stop = gr.Button("Stop", size="sm", visible=False, elem_id="compare-stop")
        told = gr.HTML(notice(""), elem_id="compare-rows-notice")
        result = gr.HTML("", elem_id="compare-measured", js_on_load=actions_js())
        with gr.Row(elem_classes="pp-exports"):
            save = gr.Button("CSV", size="sm", visible=False, elem_id="compare-rows-csv")
            numbers = gr.Button("JSON", size="sm", visible=False, elem_id="compare-rows-json")
        payload = gr.Textbox(visible="hidden", elem_id="compare-rows-payload", label="Export")
        kept = gr.State(None, time_to_live=3600)

    boxes = [box for column in page.columns for box in column.boxes]
    changed = [*(box.change for box in boxes), source.change]
    gr.on(changed, None, None, None, js=OLD_COMPARED_JS, api_visibility="private")

    def make(chosen: str, *values: Any):
        rows, values = values[: len(evaluate.rows)], values[len(evaluate.rows) :]
        return measured(Compare(registry, *values), chosen, *rows)

    stoppable(
        go,
        stop,
        make,
        lambda step, stopped: compare_view.report(step, stopped=stopped),
        [source, *evaluate.rows, *page.inputs],
        told=told,
        result=result,
        kept=kept,
        exports=(save, numbers),
    )

    @said_in(told)
    def look_at(found: Compared | None, event: gr.EventData):
        found = still_kept(found, GONE)
        row = found.measured.labelled.rows[place(str(event.arg), found.measured.done)]
        return dict(zip(page.texts, joined(list(row.values())), strict=True))

    # the text box stands far above the table: the page goes there with the row
    result.click(look_at, kept, [*page.texts, told], **quiet()).then(
        None, None, None, js=_TO_TEXT_JS, **quiet()
    )

    @said_in(told)
    def make_rows(found: Compared | None):
        found = still_kept(found, GONE)
        return {payload: download("compared.csv", "text/csv", rows_csv(found.measured))}

    @said_in(told)
    def make_numbers(found: Compared | None):
        found = still_kept(found, GONE)
        text = json.dumps(compare_view.measured_json(found), ensure_ascii=False, indent=1)
        return {payload: download("comparison.json", "application/json", text)}

    leaves(save, make_rows, [kept], [told], payload, DOWNLOAD_JS)
    leaves(numbers, make_numbers, [kept], [told], payload, DOWNLOAD_JS)


_TO_TEXT_JS = """() => {
  const box = document.querySelector('#compare-text textarea');
  if (box) { box.scrollIntoView({ block: 'center' }); box.focus({ preventScroll: true }); }
}"""


def measured(
    chosen: Compare,
    source: str,
    opened: Opened | None,
    first: str | None,
    second: str | None,
    label: str | None,
    mapping: str,
) -> Iterator[Compared]:
    """Yield what the prompts of the columns got on the rows, part by part."""
    prompts = tuple(chosen.prompts())
    check_comparable([(f"Prompt {letter}", prompt) for letter, prompt, _ in prompts])
    if source != OPEN_ROWS:
        opened = sample(source)
        first, second, label = guessed(opened.columns)
        mapping = ""
    labelled = labelled_rows(chosen.registry, prompts[0][1], opened, first, second, label, mapping)
    models = {model for _, _, model in prompts}
    entries = []
    for letter, prompt, model in prompts:
        prompting = chosen.registry.get(model)
        shown = [letter, prompt.template.source, prompt.scoring.calibration]
        if len(models) > 1:
            shown.append(shown_name(chosen.registry, model))
        entries.append(Entry(" · ".join(shown), prompting, prompt))
    # a tuned model's own name is the key to it, which no file that leaves may hold
    told = tuple(
        (letter, p, shown_name(chosen.registry, m) if m else m) for letter, p, m in prompts
    )
    for results in compare_parts(entries, labelled):
        done = Measured(labelled, results, results[0].metrics.rows)
        yield Compared(done, told)
