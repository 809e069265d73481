"""The Eval tab: the prompt of Classify on labelled rows, with intervals, confusion and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import gradio as gr

from playground import resources
from playground.app import eval_view, opened_files
from playground.app.eval_view import Measured
from playground.app.hub_sets import HubRows
from playground.app.markup import action, notice
from playground.app.model_names import shown_name
from playground.app.registry import Registry
from playground.app.session import (
    Inputs,
    download,
    joined,
    leaves,
    quiet,
    said_in,
    still_kept,
    stoppable,
)
from playground.app.tabs.classify import ClassifyTab
from playground.app.tabs.hub import build_hub
from playground.app.theme import DOWNLOAD_JS, OLD_JS, actions_js, css
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows, candidates, evaluate_parts, read_labelled
from playground.tasks.reading import Record, Table

AS_EDITED, ALL_TEMPLATES = "as it is in Classify", "all templates of the card"
SETS = {"reviews": "our 200 reviews", "headlines": "our 100 headlines", "nli": "our 60 pairs"}
GONE = "The results are gone from the page's memory; press Run again."
_LABEL_COLUMNS = ("label", "gold_label", "gold", "class", "sentiment", "target")


@dataclass(frozen=True)
class Opened:
    """A table that a visitor has opened, its number of rows, and what is to be known of them."""

    table: Table
    rows: int
    remark: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        return self.table.columns


@dataclass(frozen=True)
class EvalTab:
    """The components of the tab that name the open rows, for other parts of the page."""

    rows: list  # the opened table, text column, second text, label column, names of the labels


def build_evaluate(registry: Registry, classify: ClassifyTab, tabs: gr.Tabs) -> EvalTab:
    """Build the tab inside the current Blocks context and wire it."""
    caps = registry.settings.table_caps
    start = sample("reviews")
    with gr.Row(elem_classes="pp-columns"):
        with gr.Column(scale=4, min_width=280):
            chooser = gr.HTML(_chooser(*caps), elem_id="eval-file", js_on_load=actions_js())
            hub = gr.Column()
            shown = gr.HTML(_preview(start), elem_id="eval-preview")
            with gr.Row():
                text = gr.Dropdown(
                    list(start.columns), value="text", label="Text column", elem_id="eval-text"
                )
                second = gr.Dropdown(
                    list(start.columns), value=None, label="Second text", elem_id="eval-text-b"
                )
                label = gr.Dropdown(
                    list(start.columns), value="label", label="Label column", elem_id="eval-label"
                )
            names = gr.Textbox(
                "",
                label="Labels of the data",
                info="Where the data has other names: a line each, such as 1 = positive.",
                placeholder="their name = a label of the prompt",
                lines=2,
                max_lines=8,
                elem_id="eval-names",
            )
            templates = gr.Radio(
                [AS_EDITED, ALL_TEMPLATES],
                value=AS_EDITED,
                label="Template",
                elem_id="eval-templates",
            )
            with gr.Row(elem_classes="pp-run-row"):
                go = gr.Button("Run", variant="primary", size="sm", elem_id="eval-run")
                stop = gr.Button("Stop", size="sm", visible=False, elem_id="eval-stop")
        with gr.Column(scale=7, min_width=280, elem_classes="pp-panel"):
            told = gr.HTML(notice(""), elem_id="eval-notice")
            result = gr.HTML(
                '<p class="pp-legend">Press Run: the prompt of Classify is measured on these rows, raw '
                "and calibrated.</p>",
                elem_id="eval-result",
                js_on_load=actions_js(),
            )
            with gr.Row(elem_classes="pp-exports"):
                save = gr.Button("CSV", size="sm", visible=False, elem_id="eval-csv")
                numbers = gr.Button("JSON", size="sm", visible=False, elem_id="eval-json")
                page = gr.Button("Report", size="sm", visible=False, elem_id="eval-report")
            payload = gr.Textbox(visible="hidden", elem_id="eval-payload", label="Export")
    opened = gr.State(start, time_to_live=3600)
    kept = gr.State(None, time_to_live=3600)

    def shows(found: Opened) -> dict:
        choices = list(found.columns)
        first, other, gold = guessed(found.columns)
        return {
            opened: found,
            shown: _preview(found),
            text: gr.update(choices=choices, value=first),
            second: gr.update(choices=choices, value=other),
            label: gr.update(choices=choices, value=gold),
        }

    @said_in(told)
    def open_rows(event: gr.EventData):
        return shows(
            sample(str(event.arg)) if event.act == "sample" else from_file(str(event.arg), *caps)
        )

    rows = [opened, shown, text, second, label]
    chooser.click(open_rows, None, [*rows, told], **quiet())
    with hub:
        build_hub(registry, lambda found: shows(from_hub(found, caps[0])), rows)

    # what stands below was measured with the prompt and the rows as they were; a text changes neither
    prompt_boxes = [classify.inputs[0], *classify.inputs[3:]]
    changed = [*(box.change for box in prompt_boxes), shown.change]
    gr.on(changed, None, None, None, js=OLD_JS, api_visibility="private")

    def make(
        found: Opened | None,
        first: str,
        other: str,
        gold: str,
        mapping: str,
        which: str,
        *values: str,
    ):
        everything = which == ALL_TEMPLATES
        return measured(registry, Inputs(*values), found, (first, other), gold, mapping, everything)

    stoppable(
        go,
        stop,
        make,
        lambda step, stopped: eval_view.report(step, stopped=stopped),
        [opened, text, second, label, names, templates, *classify.inputs],
        told=told,
        result=result,
        kept=kept,
        exports=(save, numbers, page),
    )

    @said_in(told)
    def act(found: Measured | None, event: gr.EventData):
        found = still_kept(found, GONE)
        argument = str(event.arg)
        if event.act == "row":
            texts = joined(list(found.labelled.rows[place(argument, found.done)].values()))
            return {
                **dict(zip(classify.inputs[1:3], texts, strict=True)),
                tabs: gr.update(selected="classify"),
            }
        if event.act == "choose":
            fresh = replace(found, chosen=place(argument, len(found.results)), cell=None)
        else:
            gold, _, taken = argument.partition("|")
            many = len(found.labelled.labels)
            cell = (place(gold, many), place(taken, many))
            fresh = replace(found, cell=None if cell == found.cell else cell)
        return {kept: fresh, result: eval_view.report(fresh, stopped=not fresh.finished)}

    result.click(act, kept, [kept, result, tabs, *classify.inputs[1:3], told], **quiet())

    @said_in(told)
    def make_csv(found: Measured | None):
        found = still_kept(found, GONE)
        return {payload: download("evaluated.csv", "text/csv", eval_view.rows_csv(found))}

    @said_in(told)
    def make_json(found: Measured | None):
        found = still_kept(found, GONE)
        data = {
            "rows": found.done,
            "labels": list(found.labelled.labels),
            "results": [{"name": r.name, **r.metrics.to_json()} for r in found.results],
        }
        return {
            payload: download("evaluation.json", "application/json", json.dumps(data, indent=1))
        }

    @said_in(told)
    def make_report(found: Measured | None):
        found = still_kept(found, GONE)
        text = eval_view.report_page(found, css())
        return {payload: download("evaluation.html", "text/html", text)}

    for button, make in ((save, make_csv), (numbers, make_json), (page, make_report)):
        leaves(button, make, kept, [told], payload, DOWNLOAD_JS)
    return EvalTab([opened, text, second, label, names])


def measured(
    registry: Registry,
    inputs: Inputs,
    found: Opened | None,
    columns: tuple[str | None, str | None],
    label: str | None,
    mapping: str,
    all_templates: bool,
) -> Iterator[Measured]:
    """Yield what the prompt of Classify gets on the rows, part by part."""
    prompt = inputs.prompt()
    labelled = labelled_rows(registry, prompt, found, *columns, label, mapping)
    tried = candidates([("", with_card_templates(prompt) if all_templates else prompt)],
                       templates="all" if all_templates else "first")  # fmt: skip
    model = shown_name(registry, inputs.model)
    for results in evaluate_parts(registry.get(inputs.model), tried, labelled):
        yield Measured(labelled, results, results[0].metrics.rows, prompt=prompt, model=model)


def labelled_rows(
    registry: Registry,
    prompt: Prompt,
    found: Opened | None,
    first: str | None,
    second: str | None,
    label: str | None,
    mapping: str,
) -> LabelledRows:
    """Return the open rows as ``prompt`` reads them; raises PlaygroundError as read_labelled does."""
    if found is None:
        raise PlaygroundError("The rows are gone from the page's memory; open the table again.")
    columns = zip(prompt.template.fields, (first, second), strict=False)
    return read_labelled(
        found.table,
        prompt,
        columns={field: column for field, column in columns if column},
        label_column=label or "label",
        label_names=label_names(mapping),
        limit=registry.settings.table_caps[0],
    )


def with_card_templates(prompt: Prompt) -> Prompt:
    """Return the prompt with its own template first, then those of the shipped card with its labels."""
    for name in resources.card_names():
        card = Prompt.load(resources.card_path(name))
        same = card.verbalizer.names == prompt.verbalizer.names
        if same and card.template.fields == prompt.template.fields:
            others = [t for t in card.templates if t.source != prompt.template.source]
            return replace(prompt, alternatives=tuple(others))
    return prompt


def label_names(mapping: str) -> dict[str, str]:
    """Return what the lines ``theirs = ours`` say; raises PlaygroundError for a line without a =."""
    found: dict[str, str] = {}
    for number, line in enumerate((mapping or "").splitlines(), start=1):
        if not line.strip():
            continue
        theirs, equals, ours = line.rpartition("=")
        if not equals or not theirs.strip() or not ours.strip():
            raise PlaygroundError(
                f"Line {number} of the labels is {shorten(line)}; write their name = a label of the prompt."
            )
        found[theirs.strip()] = ours.strip()
    return found


def sample(name: str) -> Opened:
    """Return one of our own sample sets as a table."""
    if name not in SETS:
        raise PlaygroundError(
            "There is no such sample set; open a file, or take one of the others."
        )
    rows = resources.load_examples(name)
    table = Table(
        SETS[name][0].upper() + SETS[name][1:], lambda: iter([Record(dict(r)) for r in rows])
    )
    return Opened(table, len(rows))


def from_file(content: str, most_rows: int, most_bytes: int = opened_files.MOST_BYTES) -> Opened:
    """Return the table in a file's text."""
    table, rows = opened_files.open_table(content, most_rows, "playground eval", most_bytes)
    return Opened(table, rows)


def from_hub(found: HubRows, most_rows: int) -> Opened:
    """Return the first rows of a hub data set, with a remark where they are not all."""
    if not found.cut:
        return Opened(found.table, found.rows)
    total = f" of {found.total:,}" if found.total else ""
    lifted = "; PLAYGROUND_MAX_TABLE_ROWS sets the most" if found.rows >= most_rows else ""
    remark = f"The first {found.rows:,}{total} rows are measured{lifted}."
    return Opened(found.table, found.rows, remark)


def guessed(columns: tuple[str, ...]) -> tuple[str | None, str | None, str | None]:
    """Return which columns are likely the text, the second text and the label."""
    gold = next((name for name in _LABEL_COLUMNS if name in columns), columns[-1])
    rest = [name for name in columns if name != gold]
    first = next(
        (n for n in ("text", "premise", "sentence1", "sentence", "text_a") if n in rest), None
    )
    first = first or (rest[0] if rest else None)
    other = next((n for n in ("hypothesis", "sentence2", "text_b") if n in rest), None)
    return first, other, gold


def place(text: str, below: int) -> int:
    """Return the number below ``below`` that a button of ours carries."""
    if text.isascii() and text.isdigit() and int(text) < below:
        return int(text)
    raise PlaygroundError("The results have changed since; click again.")


def _preview(found: Opened) -> str:
    rows: list[dict[str, Any]] = [r.values for r in islice(found.table.records(), 4)]
    return eval_view.preview(found.table, rows, found.rows, found.remark)


def _chooser(most_rows: int, most_bytes: int) -> str:
    buttons = "".join(
        action("sample", name, f"{shown[0].upper()}{shown[1:]}", classes="pp-example")
        for name, shown in SETS.items()
    )
    return (
        f'<p class="pp-caption">Labelled rows: one of our sample sets, or a CSV, TSV or JSON Lines file of '
        f"up to {most_rows:,} rows and {most_bytes >> 20} MiB. It is kept for this page alone, an hour at most.</p>"
        f'<div class="pp-examples">{buttons}<label class="pp-file">Open a file…'
        f'<input type="file" data-most="{most_bytes}" accept=".csv,.tsv,.jsonl,.txt"></label></div>'
    )
