"""The Pretrain tab: how predictions grow through training and through the layers, and where heads look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from playground.app import lapse_view, lens_view
from playground.app.markup import esc, notice
from playground.app.model_names import link_notice, named, tuned_file
from playground.app.registry import Registry
from playground.app.session import Inputs, download, leaves, live, quiet, said_in
from playground.app.share import PageState
from playground.app.tabs.classify import ClassifyTab
from playground.app.theme import (
    COPY_JS,
    DOWNLOAD_JS,
    HIDE_JS,
    LINK_JS,
    actions_js,
    pretrain_js,
)
from playground.engine import AttentionMap
from playground.errors import PlaygroundError, shorten
from playground.tasks.pretraining.timelapse import Probe, Timelapse

START = "Paris is the capital of [MASK]."
_SHOWN = 5  # predictions a layer
Pick = tuple[int, int]  # a layer and a head, from 1
_TRAINING = (
    "A masked LM learns by guessing hidden words. Here is what one guessed while it was trained, one "
    "stored checkpoint after the other: first the commonest words, then the right kind of word, then "
    "the right word."
)
_INSIDE = (
    "A prediction also grows within one look at a sentence, layer by layer. Write a text with one "
    "mask, [MASK] or {mask}."
)


@dataclass(frozen=True)
class PretrainTab:
    """The components of the tab that a link sets."""

    registry: Registry
    text: gr.Textbox
    sentence: gr.Dropdown
    picked: gr.State

    def restored(self, state: Mapping[str, Any], model: str) -> dict:
        """Return the updates that show what a link to ``model`` holds of the tab."""
        updates: dict = {}
        if "text" in state:
            updates[self.text] = state["text"]
        if "sentence" in state:  # one that is not offered would keep the box from answering at all
            *_, offered = shown_lapse(self.registry, model, "")
            if state["sentence"] in offered:
                updates[self.sentence] = gr.update(choices=offered, value=state["sentence"])
        if "layer" in state and "head" in state:
            updates[self.picked] = (state["layer"], state["head"])
        return updates

    @property
    def outputs(self) -> list:
        """What :meth:`restored` sets."""
        return [self.text, self.sentence, self.picked]


def build_pretrain(
    registry: Registry, model: gr.Dropdown, ready: gr.Textbox, classify: ClassifyTab
) -> PretrainTab:
    """Build the tab inside the current Blocks context and wire it; ``ready`` changes with a new model."""
    sentence = _training(registry, model, ready)
    gr.HTML(_head("Inside one prediction", _INSIDE), elem_id="pretrain-inside-head")
    start, problem = _drawn_at_start(registry)
    with gr.Row(elem_classes="pp-columns", elem_id="pretrain-inside"):
        with gr.Column(scale=5, min_width=280):
            text = gr.Textbox(
                START,
                label="Text",
                info="A sentence of the time-lapse comes here when you choose one.",
                lines=2,
                max_lines=6,
                elem_id="pretrain-text",
            )
            heads = gr.HTML(
                start.heads,
                elem_id="pretrain-heads",
                js_on_load=actions_js(),
            )
        with gr.Column(scale=6, min_width=280, elem_classes="pp-panel"):
            layers = gr.HTML(
                start.layers,
                elem_id="pretrain-layers-result",
                js_on_load=actions_js(),
            )
            said = gr.HTML(notice(problem, error=bool(problem)), elem_id="pretrain-notice")
            attention = gr.HTML(
                start.attention,
                elem_id="pretrain-attention-result",
                js_on_load=pretrain_js(),
            )
            picked = gr.State(start.pick, time_to_live=3600)
            _exports(registry, [model, text, picked, sentence], classify, said)

    @said_in(said)
    def look_inside(chosen: str, words: str, kept: Pick | None):
        made = drawn(registry, chosen, words or "", kept)
        return {
            layers: made.layers,
            attention: made.attention,
            heads: made.heads,
            picked: made.pick,
        }

    @said_in(said)
    def take_head(chosen: str, words: str, event: gr.EventData):
        found = registry.get(chosen).attention(words or "")
        own = head_of(str(event.arg), found)
        return {
            attention: lens_view.attention_result(found, *own),
            heads: lens_view.heads_grid(found, *own),
            picked: own,
        }

    gr.on(
        [ready.change, text.change],
        look_inside,
        [model, text, picked],
        [layers, attention, heads, picked, said],
        **live(registry),
    )
    heads.click(take_head, [model, text], [attention, heads, picked, said], **quiet())
    sentence.input(lambda one: one or gr.skip(), sentence, text, **quiet())
    return PretrainTab(registry, text, sentence, picked)


def _training(registry: Registry, model: gr.Dropdown, ready: gr.Textbox) -> gr.Dropdown:
    """Build the time-lapse: a sentence to choose, its frames, and all of them as a table."""
    gr.HTML(_head("Through training", _TRAINING), elem_id="pretrain-lapse-head")
    result_html, table_html, problem, choices = shown_lapse(registry, "", "")
    there = not problem
    with gr.Row(elem_classes="pp-columns", elem_id="pretrain-lapse"):
        with gr.Column(scale=5, min_width=280):
            sentence = gr.Dropdown(
                choices,
                value=choices[0] if choices else None,
                label="Sentence",
                visible=there,
                elem_id="pretrain-sentence",
            )
            told = gr.HTML(notice(problem), elem_id="pretrain-lapse-notice")
            table = gr.HTML(table_html, elem_id="pretrain-table")
        with gr.Column(scale=6, min_width=280, elem_classes="pp-panel"):
            result = gr.HTML(result_html, elem_id="pretrain-result", js_on_load=pretrain_js())
            with gr.Row(elem_classes="pp-exports"):
                save = gr.Button("CSV", size="sm", visible=there, elem_id="pretrain-lapse-csv")
        payload = gr.Textbox(visible="hidden", elem_id="pretrain-lapse-payload", label="Export")

    @said_in(told)
    def open_lapse(chosen: str, wanted: str | None):
        frames, rows, missing, offered = shown_lapse(registry, chosen, wanted or "")
        own = wanted if wanted in offered else next(iter(offered), None)
        return {
            result: frames,
            table: rows,
            told: notice(missing),
            sentence: gr.update(choices=offered, value=own, visible=not missing),
            save: gr.update(visible=not missing),
        }

    @said_in(told)
    def choose(chosen: str, wanted: str | None):
        frames, rows, missing, _ = shown_lapse(registry, chosen, wanted or "")
        return {result: frames, table: rows, told: notice(missing)}

    @said_in(told)
    def make_csv(chosen: str, wanted: str | None):
        lapse = lapse_of(registry, chosen)
        text = lapse_view.lapse_csv(lapse, probe_of(lapse, wanted or ""))
        return {payload: download("pretraining.csv", "text/csv", text)}

    ready.change(
        open_lapse, [model, sentence], [result, table, told, sentence, save],
        trigger_mode="always_last", **quiet(),
    )  # fmt: skip
    sentence.change(
        choose, [model, sentence], [result, table, told], trigger_mode="always_last", **quiet()
    )
    leaves(save, make_csv, [model, sentence], [told], payload, DOWNLOAD_JS)
    return sentence


def lapse_of(registry: Registry, model: str) -> Timelapse:
    """Return a model's time-lapse; PlaygroundError, in one sentence, for one that has none to show."""
    lapse = Timelapse.of(registry.get(model).backbone.source)
    if not lapse.probes:
        raise PlaygroundError("The record of this pretraining holds no sentences to look at.")
    return lapse


def probe_of(lapse: Timelapse, text: str) -> Probe:
    """Return the probe with a text, or the first one."""
    return next((probe for probe in lapse.probes if probe.text == text), lapse.probes[0])


def shown_lapse(registry: Registry, model: str, text: str) -> tuple[str, str, str, list[str]]:
    """Return the frames, the table, what is missing, and the sentences of a model's time-lapse."""
    try:
        lapse = lapse_of(registry, model)
    except PlaygroundError as error:
        return "", "", str(error), []
    probe = probe_of(lapse, text)
    texts = [one.text for one in lapse.probes]
    return lapse_view.lapse_result(lapse, probe), lapse_view.lapse_table(lapse, probe), "", texts


class Drawn(NamedTuple):
    """The HTML of one text's layers and attention, and the head that is drawn."""

    layers: str
    attention: str
    heads: str
    pick: Pick | None


def drawn(registry: Registry, model: str, text: str, pick: Pick | None) -> Drawn:
    """Return a text's layers and attention; a model without attention weights says so in its place."""
    prompting = registry.get(model)
    view = prompting.layers(text, top_k=_SHOWN)
    try:
        found, own = attended(registry, model, text, pick)
    except PlaygroundError as error:
        return Drawn(lens_view.layers_result(view), notice(str(error)), "", pick)
    return Drawn(
        lens_view.layers_result(view),
        lens_view.attention_result(found, *own),
        lens_view.heads_grid(found, *own),
        own,
    )


def _drawn_at_start(registry: Registry) -> tuple[Drawn, str]:
    """Return what the tab opens with, and what is wrong with it: no model keeps the page from opening."""
    try:
        return drawn(registry, "", START, None), ""
    except PlaygroundError as error:
        return Drawn("", "", "", None), str(error)


def attended(
    registry: Registry, model: str, text: str, pick: Pick | None
) -> tuple[AttentionMap, Pick]:
    """Return a text's attention, and the head that is drawn: the one picked, or a telling one."""
    found = registry.get(model).attention(text)
    if pick is not None and 1 <= pick[0] <= found.layers and 1 <= pick[1] <= found.heads:
        return found, pick
    return found, lens_view.telling(found)


def head_of(argument: str, found: AttentionMap) -> Pick:
    """Return the layer and head that a button of ours carries, "2|3"; PlaygroundError for others."""
    layer, _, head = argument.partition("|")
    numbers = [
        int(part) for part in (layer, head) if part.isascii() and part.isdigit() and len(part) < 4
    ]
    if len(numbers) == 2 and 1 <= numbers[0] <= found.layers and 1 <= numbers[1] <= found.heads:
        return numbers[0], numbers[1]
    raise PlaygroundError(f"There is no head {shorten(argument)}; pick another.")


def _named(pick: Pick) -> dict[str, int]:
    return {"layer": pick[0], "head": pick[1]}


def _head(title: str, text: str) -> str:
    return f'<h2 class="pp-part">{esc(title)}</h2><p class="pp-caption">{esc(text)}</p>'


def _exports(registry: Registry, inputs: list, classify: ClassifyTab, told: gr.HTML) -> None:
    """Build and wire the buttons by which layers and attention leave."""
    with gr.Row(elem_classes="pp-exports"):
        link = gr.Button("Copy link", size="sm", elem_id="pretrain-link")
        python = gr.Button("Copy as Python", size="sm", elem_id="pretrain-python")
        rows = gr.Button("Layers CSV", size="sm", elem_id="pretrain-layers-csv")
        weights = gr.Button("Attention CSV", size="sm", elem_id="pretrain-attention-csv")
        both = gr.Button("JSON", size="sm", elem_id="pretrain-json")
    code = gr.Code(
        language="python", label="Python", visible=False, interactive=False, elem_id="pretrain-code"
    )
    payload = gr.Textbox(visible="hidden", elem_id="pretrain-payload", label="Export")

    @said_in(told)
    def make_link(model: str, text: str, pick: Pick | None, sentence: str | None, *values: str):
        drawn(registry, model, text or "", pick)  # a link to what does not open would be of no use
        state = {"text": text, "sentence": sentence or "", **(_named(pick) if pick else {})}
        page = PageState(
            Inputs(*values).prompt(),
            model=named(registry, model),
            tab="pretrain",
            pretrain={name: value for name, value in state.items() if value},
        )
        return {payload: page.token(), told: link_notice(registry, model)}

    @said_in(told)
    def make_python(model: str, text: str, pick: Pick | None, *_: Any):
        own, file = named(registry, model), tuned_file(registry, model)
        shown = lens_view.program(text or "", own, *(pick or (1, 1)), file)
        return {payload: shown, code: gr.update(value=shown, visible=True), told: notice("Copied.")}

    @said_in(told)
    def make_layers(model: str, text: str, *_: Any):
        view = registry.get(model).layers(text or "", top_k=_SHOWN)
        return {payload: download("layers.csv", "text/csv", lens_view.layers_csv(view, text))}

    @said_in(told)
    def make_attention(model: str, text: str, pick: Pick | None, *_: Any):
        found, own = attended(registry, model, text or "", pick)
        table = lens_view.attention_csv(found, *own)
        return {payload: download("attention.csv", "text/csv", table)}

    @said_in(told)
    def make_json(model: str, text: str, pick: Pick | None, *_: Any):
        view = registry.get(model).layers(text or "", top_k=_SHOWN)
        found, own = attended(registry, model, text or "", pick)
        data = {
            "text": text,
            "layers": view.to_json(),
            "attention": found.to_json(*own),
        }
        shown = json.dumps(data, ensure_ascii=False, indent=1)
        return {payload: download("inside.json", "application/json", shown)}

    for button, make, script in (
        (link, make_link, LINK_JS),
        (python, make_python, COPY_JS),
        (rows, make_layers, DOWNLOAD_JS),
        (weights, make_attention, DOWNLOAD_JS),
        (both, make_json, DOWNLOAD_JS),
    ):
        outputs = [code, told] if make is make_python else [told]
        leaves(button, make, [*inputs, *classify.inputs], outputs, payload, script)
    edited = [box.change for box in inputs[:2]]
    gr.on(edited, None, None, code, js=HIDE_JS, api_visibility="private")
