"""The Train tab: the prompt of Classify tuned on a few rows, live, and what that was good for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from playground.app import train_view
from playground.app.markup import notice
from playground.app.model_names import base_of
from playground.app.registry import Registry
from playground.app.session import BROKEN, Halt, Inputs, Updates, ask_to_stop, quiet, said_in
from playground.app.tabs.classify import ClassifyTab
from playground.app.tabs.columns import CompareTab
from playground.app.tabs.evaluate import SETS, EvalTab
from playground.app.tabs.measure import OPEN_ROWS
from playground.app.tabs.mistakes import build_mistakes
from playground.app.tabs.race import build_race
from playground.app.tabs.train_plan import (
    METHODS_SAID,
    NOTHING,
    TYPED,
    Choices,
    plan_of,
    program,
    soft_remark,
)
from playground.app.tabs.trained import (
    Kept,
    Results,
    asked_of,
    build_results,
    keep,
    wire_file,
    wire_results,
)
from playground.app.theme import actions_js
from playground.errors import PlaygroundError
from playground.tasks.tuning.runs import SeedRun
from playground.tasks.tuning.watched import Watched, watch

log = logging.getLogger("playground")
_WAIT = 0.5  # seconds between two looks at the line
_METHOD = "lora"
_START = (60, 16, 1)  # steps, shots, seeds
_TYPED_ROWS = """\
positive: A warm and funny evening.
negative: Two hours that I want back."""


def build_train(
    registry: Registry,
    model: gr.Dropdown,
    classify: ClassifyTab,
    evaluate: EvalTab,
    compare: CompareTab,
    tabs: gr.Tabs,
    tab: gr.Tab,
) -> None:
    """Build the tab inside the current Blocks context and wire it."""
    caps = registry.settings.tune_caps
    start = dict(zip(("steps", "shots", "seeds"), map(min, _START, caps), strict=True))
    own_sets = [(shown, name) for name, shown in SETS.items()]
    with gr.Row(elem_classes="pp-columns", elem_id="train"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(_HEAD, elem_id="train-head")
            source = gr.Dropdown(
                [*own_sets, OPEN_ROWS, TYPED],
                value="reviews",
                label="Rows",
                info="A few of each label, the shots, are drawn to tune on, and as many to choose the best step by.",
                elem_id="train-source",
            )
            typed = gr.Textbox(
                _TYPED_ROWS,
                label="Typed rows",
                info="A line each: a label of the prompt, a colon, the text. From four of a label on, every "
                "fourth chooses the best step.",
                lines=5,
                max_lines=16,
                visible=False,
                elem_id="train-typed",
            )
            measured_on = gr.Dropdown(
                [*own_sets, OPEN_ROWS, NOTHING],
                value="reviews",
                label="Measured on",
                info="Rows that are among the typed ones are left out.",
                visible=False,
                elem_id="train-measured-on",
            )
            method = gr.Radio(
                list(METHODS_SAID),
                value=_METHOD,
                label="Method",
                info=METHODS_SAID[_METHOD],
                elem_id="train-method",
            )
            with gr.Row(elem_classes="pp-numbers"):
                shots = _number("Shots", start["shots"], "train-shots", caps[1])
                steps = _number("Steps", start["steps"], "train-steps", caps[0])
                seeds = _number("Seeds", start["seeds"], "train-seeds", caps[2])
            with gr.Accordion("More choices", open=False, elem_id="train-more"):
                with gr.Row(elem_classes="pp-numbers"):
                    seed = gr.Number(
                        0, label="First seed", info="It draws the rows.", elem_id="train-seed"
                    )
                    batch = gr.Number(
                        8, label="Rows in a step", info="The batch size.", elem_id="train-batch"
                    )
                with gr.Row(elem_classes="pp-numbers"):
                    rate = gr.Number(
                        0,
                        label="Learning rate",
                        info="Its peak; 0: the method's own.",
                        elem_id="train-rate",
                    )
                    patience = gr.Number(
                        0,
                        label="Early stopping",
                        info="After so many looks without a gain; 0: never.",
                        elem_id="train-patience",
                    )
            with gr.Row(elem_classes="pp-run-row"):
                go = gr.Button("Train", variant="primary", size="sm", elem_id="train-run")
                stop = gr.Button("Stop", size="sm", visible=False, elem_id="train-stop")
            estimate = gr.HTML(_NO_ESTIMATE, elem_id="train-estimate")
            chooser = gr.HTML(_chooser(registry), elem_id="train-file", js_on_load=actions_js())
        with gr.Column(scale=6, min_width=280, elem_classes="pp-panel"):
            parts = build_results()
            parts.result.value = train_view.idle(_METHOD, start["steps"], 2)
            with gr.Accordion("The rows that were drawn", open=False, elem_id="train-rows"):
                drawn = gr.HTML(_NO_ROWS, elem_id="train-drawn")
            with gr.Accordion(
                "The same as a program", open=False, elem_id="train-python"
            ) as code_fold:
                code = gr.Code(
                    language="python", label="Python", interactive=False, elem_id="train-code"
                )
                with gr.Row(elem_classes="pp-exports"):
                    renew = gr.Button("Write it again", size="sm", elem_id="train-renew")
    with gr.Accordion("What if? Classic mistakes", open=False, elem_id="train-mistakes"):
        build_mistakes(registry, classify)
    with gr.Accordion("The race from zero to few shots", open=False, elem_id="train-race"):
        build_race(registry)

    boxes = [source, typed, measured_on, method, shots, steps, seeds, seed, batch, rate, patience]
    inputs = [*boxes, *evaluate.rows, *classify.inputs]
    _wire_form(source, typed, measured_on, shots, method)
    _wire_estimate(registry, tab, boxes, inputs, estimate, drawn)
    _wire_run(registry, parts, go, stop, inputs, estimate, drawn)
    wire_results(registry, parts, model, classify, compare, tabs)
    wire_file(registry, parts, chooser, classify)

    @said_in(parts.told)
    def write(*values: Any):
        return {code: program(registry, *split(values))}

    gr.on([code_fold.expand, renew.click], write, inputs, [code, parts.told], **quiet())

    @said_in(parts.told)
    def ask_again(kept: Kept | None, *values: str):
        """Show the bars of the text that Classify holds now."""
        if kept is None:
            return {}
        asked = asked_of(registry, kept.name, Inputs(*values))
        return {parts.result: kept.drawn(registry.tuned.delta(kept.name), asked)} if asked else {}

    tab.select(ask_again, [parts.kept, *classify.inputs], [parts.result, parts.told], **quiet())


def split(values: tuple[Any, ...]) -> tuple[Choices, Inputs]:
    """Return the tab's own boxes with the rows of Eval, and the inputs of Classify."""
    count = len(Choices.__dataclass_fields__)
    return Choices(*values[:count]), Inputs(*values[count:])


async def trained(
    registry: Registry, chosen: Choices, inputs: Inputs, halt: Halt, owner: str
) -> AsyncIterator[tuple[str, Kept | Watched | None]]:
    """Yield the HTML of a training, from the line to its end, with how far it is; at the end, what is kept.

    It waits without holding a thread, so that a class in the line keeps nobody from scoring. Closing it
    frees the copy of the model and its place in the line. Raises PlaygroundError as :func:`plan_of` does.
    """
    plan = await asyncio.to_thread(plan_of, registry, chosen, inputs)
    labels, base = len(plan.prompt.verbalizer.names), base_of(registry, inputs.model)
    prompting = await asyncio.to_thread(registry.get, base)

    def asked() -> bool:
        wished, halt.asked = halt.asked, False
        return wished

    with registry.line.place() as place:
        while ahead := place.ahead():
            yield train_view.waiting(ahead, plan.recipe.method, plan.recipe.steps, labels), None
            if asked():
                raise PlaygroundError("You have left the line; press Train to stand in it again.")
            await asyncio.sleep(_WAIT)
        steps = watch(prompting, plan, asked=asked)
        found = None
        try:
            while (now := await asyncio.to_thread(next, steps, None)) is not None:
                found = now
                if found.doing != "done":
                    yield train_view.report(found), found
        finally:
            steps.close()
    if found is None:
        return
    own = replace(found, delta=None)  # a page keeps numbers; the delta lies in the store alone
    yield train_view.report(own), own  # its numbers stay, should there be no room to keep it
    if found.delta is None:
        return
    name = keep(registry, found.delta, base, owner)
    bars = await asyncio.to_thread(asked_of, registry, name, inputs)
    yield train_view.report(own, bars), Kept(name, own)


def _wire_run(
    registry: Registry,
    parts: Results,
    go: gr.Button,
    stop: gr.Button,
    inputs: list,
    estimate: gr.HTML,
    drawn: gr.HTML,
) -> None:
    halting = gr.State(None)
    idle: Updates = {stop: gr.update(visible=False), go: gr.update(interactive=True)}

    async def run(
        request: gr.Request, kept: Kept | None, mine: tuple[str, ...], *values: Any
    ) -> AsyncIterator[Updates]:
        halt = Halt()
        yield {
            parts.told: notice(""),
            halting: halt,
            stop: gr.update(visible=True),
            go: gr.update(interactive=False),
        }
        ended: Updates = {}
        begun = told = False
        try:
            chosen, own = split(values)
            steps = trained(registry, chosen, own, halt, request.session_hash or "")
            async with aclosing(steps):
                async for html, state in steps:
                    updates: Updates = {parts.result: html}
                    if (
                        not begun
                    ):  # what was wrong with a box would have been said: the old one goes
                        begun = True
                        updates |= {parts.kept: None, **parts.shown(False)}
                        if kept is not None and kept.name not in (mine or ()):
                            registry.tuned.forget([kept.name])  # nothing leads to it any more
                    if isinstance(state, Kept):
                        ended = {parts.kept: state, **parts.shown(True)}
                    elif state is not None and not told and state.estimate is not None:
                        told = True
                        updates |= {
                            estimate: _estimated(registry, state, own),
                            drawn: train_view.drawn_rows(state.plan.draws),
                        }
                    yield updates
        except PlaygroundError as error:
            ended = {parts.told: notice(str(error), error=True)}
        except Exception:
            log.exception("a training failed")
            ended = {parts.told: notice(BROKEN, error=True)}
        yield {**idle, **ended}

    go.click(
        run,
        [parts.kept, parts.mine, *inputs],
        [
            *(parts.told, parts.result, parts.kept, *parts.buttons),
            *(halting, stop, go, estimate, drawn),
        ],
        show_progress="hidden",
        concurrency_id="train",
        concurrency_limit=registry.settings.queue_size,  # they wait in our line, where they see their place
        api_visibility="private",
    )
    stop.click(ask_to_stop, halting, None, **quiet())


def _wire_estimate(
    registry: Registry, tab: gr.Tab, boxes: list, inputs: list, estimate: gr.HTML, drawn: gr.HTML
) -> None:
    """Say what a training would take whenever a choice changes, unless someone trains just then."""

    def look(*values: Any):
        try:
            chosen, own = split(values)
            plan = plan_of(registry, chosen, own)
            rows = train_view.drawn_rows(plan.draws)
            prompting = registry.get(base_of(registry, own.model))
            with registry.line.place() as place:
                if place.ahead():
                    return {estimate: _BUSY, drawn: rows}
                cost = SeedRun(prompting, plan.prompt, plan.draws[0], plan.recipe).tuner.estimate()
        except PlaygroundError as error:
            return {estimate: f'<div class="pp-fits">{notice(str(error), error=True)}</div>'}
        except Exception:
            log.exception("an estimate failed")
            return {estimate: _NO_ESTIMATE}
        said = train_view.estimate(cost, len(plan.draws), prompting.backbone.parameters)
        return {estimate: said + _remark(chosen.method, own), drawn: rows}

    source, _, measured_on, *choices = boxes
    gr.on(
        [tab.select, *(box.change for box in (source, measured_on, *choices))],
        look,
        inputs,
        [estimate, drawn],
        trigger_mode="always_last",
        show_progress="hidden",
        concurrency_id="estimate",
        concurrency_limit=registry.settings.queue_size,  # one measures, the others are told at once
        api_visibility="private",
    )


def _estimated(registry: Registry, found: Watched, inputs: Inputs) -> str:
    if found.estimate is None:
        return _NO_ESTIMATE
    total = registry.get(base_of(registry, inputs.model)).backbone.parameters
    said = train_view.estimate(found.estimate, len(found.plan.draws), total)
    return said + _remark(found.plan.recipe.method, inputs)


def _remark(method: str, inputs: Inputs) -> str:
    said = soft_remark(method, inputs)
    return train_view.remark(said) if said else ""


def _wire_form(
    source: gr.Dropdown,
    typed: gr.Textbox,
    measured_on: gr.Dropdown,
    shots: gr.Number,
    method: gr.Radio,
) -> None:
    def choose(chosen: str):
        own = chosen == TYPED
        shown, hidden = gr.update(visible=own), gr.update(interactive=not own)
        return {typed: shown, measured_on: shown, shots: hidden}

    source.change(choose, source, [typed, measured_on, shots], **quiet())
    method.change(
        lambda chosen: gr.update(info=METHODS_SAID.get(chosen, "")), method, method, **quiet()
    )


def _number(label: str, value: object, name: str, most: int) -> gr.Number:
    return gr.Number(value, label=label, info=f"1 to {most:,}", min_width=90, elem_id=name)


def _chooser(registry: Registry) -> str:
    most = registry.settings.max_tuned_file_mb << 20
    return (
        '<p class="pp-caption">A tuned prompt that was downloaded opens again, on the model that it was '
        'tuned on.</p><div class="pp-examples"><label class="pp-file">Open a tuned prompt…'
        f'<input type="file" data-binary data-most="{most}" accept=".safetensors"></label></div>'
    )


_HEAD = (
    '<p class="pp-caption">The prompt of Classify is tuned on a few labelled rows, on a copy of the model '
    "that lives as long as the training. What it learned is yours alone: it stays on this page, an hour "
    "without use at most, or leaves as a file.</p>"
)
_NO_ESTIMATE = '<p class="pp-caption">What it takes is told here before it starts.</p>'
_BUSY = (
    '<p class="pp-caption">A training runs just now, so that nothing can be timed; press Train to stand in '
    "the line.</p>"
)
_NO_ROWS = '<p class="pp-legend">They are drawn when a training, or its estimate, starts.</p>'
