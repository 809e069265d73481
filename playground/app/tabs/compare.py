"""The Compare tab: up to four prompts on one text, side by side, scored while one types."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from playground.app import compare_view
from playground.app.markup import notice
from playground.app.model_names import DELTA_FILE, link_notice, named
from playground.app.registry import Registry
from playground.app.session import (
    Inputs,
    download,
    explain,
    joined,
    leaves,
    live,
    quiet,
    said_in,
)
from playground.app.share import ComparedPrompt, PageState
from playground.app.tabs.cards import card_html, first_texts
from playground.app.tabs.classify import ClassifyTab, default_prompt, input_values
from playground.app.tabs.columns import (
    FEWEST,
    LETTERS,
    OPTIONS,
    SHOWN,
    Column,
    Compare,
    CompareTab,
    Shown,
    starting_prompts,
)
from playground.app.theme import COPY_JS, DOWNLOAD_JS, HIDE_JS, LINK_JS, actions_js
from playground.errors import PlaygroundError
from playground.prompts import CALIBRATIONS, Prompt, ScoringOptions, Template


def build_compare(
    registry: Registry, model: gr.Dropdown, classify: ClassifyTab, tabs: gr.Tabs, tab: gr.Tab
) -> CompareTab:
    """Build the tab inside the current Blocks context and wire it, but for the rows."""
    start = default_prompt()
    texts = joined(first_texts(start))
    prompts = starting_prompts(start)
    with gr.Row():
        text = gr.Textbox(
            texts[0], label="Text", info="All prompts read it.", lines=2, max_lines=6,
            elem_id="compare-text",
        )  # fmt: skip
        second = gr.Textbox(
            texts[1], label="Second text", info="For templates with two slots.", lines=2,
            max_lines=6, visible=False, elem_id="compare-text-b",
        )  # fmt: skip
    values: list = [SHOWN, OPTIONS, *texts]
    for prompt in prompts:
        values += [prompt.template.source, prompt.verbalizer.to_text(), registry.settings.model,
                   prompt.scoring.calibration]  # fmt: skip
    agreed = gr.HTML(
        compare_view.agreement(Compare(registry, *values).sides()),
        elem_id="compare-agreement",
        js_on_load=actions_js(),
    )
    told = gr.HTML(notice(""), elem_id="compare-notice")
    shown, options, untouched = gr.State(SHOWN), gr.State(OPTIONS), gr.State(True)
    add = gr.Button("Add a prompt", size="sm", elem_id="compare-add", render=False)
    with gr.Row(elem_classes="pp-columns pp-sides pp-compare"):
        columns = [
            _column(registry, letter, prompt, texts, shown=on)
            for letter, prompt, on in zip(LETTERS, prompts, SHOWN, strict=True)
        ]
    gr.HTML(compare_view.LEGEND, elem_id="compare-legend")
    rows_panel = gr.Column(elem_id="compare-rows", elem_classes="pp-panel", render=False)
    page = CompareTab(registry, [text, second], shown, options, untouched, columns, rows_panel)
    _exports(page, add, told)
    rows_panel.render()
    _wire(page, model, classify, tabs, tab, add, told, agreed)
    return page


def _column(
    registry: Registry, letter: str, prompt: Prompt, texts: tuple[str, str], *, shown: bool
) -> Column:
    name = letter.lower()
    with gr.Column(min_width=250, elem_classes="pp-panel", visible=shown) as whole:
        head = gr.HTML(
            compare_view.head(letter, ScoringOptions()),
            elem_id=f"compare-head-{name}",
            js_on_load=actions_js(),
        )
        template = gr.Textbox(
            prompt.template.source, label=f"Template {letter}", lines=2, max_lines=2,
            elem_id=f"compare-template-{name}",
        )  # fmt: skip
        words = gr.Textbox(
            prompt.verbalizer.to_text(), label=f"Label words {letter}", lines=5, max_lines=5,
            elem_id=f"compare-words-{name}",
        )  # fmt: skip
        settings = registry.settings
        with gr.Row(elem_classes="pp-choices"):
            model = gr.Dropdown(
                list(settings.model_choices), value=settings.model, label=f"Model {letter}",
                allow_custom_value=not settings.hosted, min_width=150,
                elem_id=f"compare-model-{name}",
            )  # fmt: skip
            calibration = gr.Dropdown(
                list(CALIBRATIONS), value=prompt.scoring.calibration, min_width=150,
                label=f"Calibration {letter}", elem_id=f"compare-calibration-{name}",
            )  # fmt: skip
        found = explain(registry, Inputs(settings.model, *input_values(prompt, texts)))
        told = gr.HTML(notice(compare_view.column_note(found)), elem_id=f"compare-notice-{name}")
        result = gr.HTML(compare_view.column(found), elem_id=f"compare-result-{name}")
    return Column(letter, whole, head, [template, words, model, calibration], told, result)


def _wire(
    page: CompareTab,
    model: gr.Dropdown,
    classify: ClassifyTab,
    tabs: gr.Tabs,
    tab: gr.Tab,
    add: gr.Button,
    told: gr.HTML,
    agreed: gr.HTML,
) -> None:
    registry, columns, count = page.registry, page.columns, len(page.inputs)

    @said_in(told)
    def contrast(*values: Any):
        chosen = Compare(registry, *values)
        updates: dict = {}
        sides = []
        for place, _ in chosen.places():
            column = columns[place]
            try:
                side = chosen.side(place)
            except PlaygroundError as error:  # the others are scored all the same
                updates[column.told] = notice(str(error), error=True)
                continue
            sides.append(side)
            updates[column.told] = notice(compare_view.column_note(side.found))
            updates[column.result] = compare_view.column(side.found)
        return {**updates, agreed: compare_view.agreement(sides)}

    gr.on(
        [box.change for box in page.inputs],
        contrast,
        page.inputs,
        [*(part for column in columns for part in (column.told, column.result)), agreed, told],
        **live(registry),
    )
    _name_second(page)

    @said_in(told)
    def first_time(untouched: bool | None, *values: Any):
        if not untouched:
            return {}
        now = dict(zip(page.inputs, values[:count], strict=True))
        try:
            chosen = Inputs(*values[count:])
            prompts = starting_prompts(chosen.prompt())
        except PlaygroundError:  # Classify says what is missing there; the shipped prompts stay
            return {page.untouched: False}
        updates: dict = {page.untouched: False}
        for column, prompt in zip(columns, prompts, strict=True):
            updates |= column.filled(prompt, chosen.model)
        updates |= dict(zip(page.texts, (chosen.text, chosen.second_text), strict=True))
        # what is as it should be is left alone: the visitor may be typing in it already
        updates = {box: value for box, value in updates.items() if now.get(box) != value}
        return {**updates, **page.with_options([prompt.scoring for prompt in prompts])}

    everything = [*page.outputs, told]
    tab.select(first_time, [page.untouched, *page.inputs, *classify.inputs], everything, **quiet())

    @said_in(told)
    def show_another(shown: Shown | None):
        now = [*(shown or SHOWN)]
        if all(now):
            raise PlaygroundError(f"{len(now)} prompts fit side by side; remove one first.")
        now[now.index(False)] = True
        return page.with_columns(tuple(now))

    add.click(show_another, page.shown, everything, **quiet())

    def wire_head(place: int) -> None:
        @said_in(told)
        def act(event: gr.EventData, *values: Any):
            chosen = Compare(registry, *values[:count])
            if event.act == "remove":
                if sum(chosen.shown) <= FEWEST:
                    raise PlaygroundError("Two prompts are the fewest to compare.")
                return page.with_columns(
                    tuple(on and k != place for k, on in enumerate(chosen.shown))
                )
            if event.act == "open":
                inputs = chosen.inputs(place)
                texts = tuple(inputs.row(inputs.prompt()).values())
                return {
                    **classify.restored(inputs.prompt(), texts),
                    classify.panel: card_html(
                        inputs.prompt(), f"Prompt {LETTERS[place]} of Compare."
                    ),
                    model: inputs.model or gr.skip(),
                    tabs: gr.update(selected="classify"),
                }
            inputs = Inputs(*values[count:])
            prompt = inputs.prompt()
            options = [*chosen.options]
            options[place] = prompt.scoring
            return {**columns[place].filled(prompt, inputs.model), **page.with_options(options)}

        columns[place].head.click(
            act,
            [*page.inputs, *classify.inputs],
            [*everything, *classify.inputs, classify.card, classify.panel, tabs],
            **quiet(),
        )

    for place in range(len(columns)):
        wire_head(place)


def _name_second(page: CompareTab) -> None:
    """Show the second text box where a template of the page takes two."""
    two = gr.State(False)
    templates = [column.boxes[0] for column in page.columns]

    def look(shown: Shown | None, before: bool, *sources: str):
        wanted = False
        for source, on in zip(sources, shown or SHOWN, strict=True):
            try:
                wanted |= on and len(Template(source or "").fields) > 1
            except PlaygroundError:  # the column says what is wrong with it
                wanted |= before
        if wanted == before:
            return {two: before}
        return {two: wanted, page.texts[1]: gr.update(visible=wanted)}

    gr.on(
        [page.shown.change, *(template.change for template in templates)],
        look,
        [page.shown, two, *templates],
        [two, page.texts[1]],
        trigger_mode="always_last",
        **quiet(),
    )


def _exports(page: CompareTab, add: gr.Button, told: gr.HTML) -> None:
    registry = page.registry
    with gr.Row(elem_classes="pp-exports"):
        add.render()
        link = gr.Button("Copy link", size="sm", elem_id="compare-link")
        python = gr.Button("Copy as Python", size="sm", elem_id="compare-python")
        scores = gr.Button("JSON", size="sm", elem_id="compare-json")
    code = gr.Code(
        language="python", label="Python", visible=False, interactive=False, elem_id="compare-code"
    )
    payload = gr.Textbox(visible="hidden", elem_id="compare-payload", label="Export")

    @said_in(told)
    def make_link(*values: Any):
        chosen = Compare(registry, *values)
        prompts = chosen.prompts()
        compared = tuple(ComparedPrompt(p, named(registry, model)) for _, p, model in prompts)
        state = PageState(prompts[0][1], tab="compare", compared=compared,
                          compared_texts=chosen.used_texts())  # fmt: skip
        return {
            payload: state.token(),
            told: link_notice(registry, *(model for _, _, model in prompts)),
        }

    @said_in(told)
    def make_python(*values: Any):
        chosen = Compare(registry, *values)
        asked = chosen.prompts()
        prompts = [(letter, p, named(registry, model)) for letter, p, model in asked]
        tuned = {letter: DELTA_FILE for letter, _, m in asked if registry.tuned.is_tuned(m)}
        text = compare_view.program(prompts, chosen.used_texts(), tuned)
        return {payload: text, code: gr.update(value=text, visible=True), told: notice("Copied.")}

    @said_in(told)
    def make_scores(*values: Any):
        chosen = Compare(registry, *values)
        data = compare_view.scores_json(chosen.sides(), chosen.texts)
        text = json.dumps(data, ensure_ascii=False, indent=1)
        return {payload: download("compared.json", "application/json", text)}

    for button, make, script in (
        (link, make_link, LINK_JS),
        (python, make_python, COPY_JS),
        (scores, make_scores, DOWNLOAD_JS),
    ):
        outputs = [code, told] if make is make_python else [told]
        leaves(button, make, page.inputs, outputs, payload, script)
    edited = [box.change for box in page.inputs]
    gr.on(edited, None, None, code, js=HIDE_JS, api_visibility="private")
