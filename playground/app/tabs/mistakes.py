"""The folded breakage lab of the Train tab: a classic mistake beside the right way, live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import gradio as gr

from playground.app import mistakes_view
from playground.app.markup import notice
from playground.app.registry import Registry
from playground.app.session import BROKEN, Halt, Inputs, Updates, ask_to_stop, quiet, said_in
from playground.app.tabs.classify import ClassifyTab
from playground.app.tabs.evaluate import SETS, guessed, labelled_rows, sample
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt
from playground.tasks.evaluation import LabelledRows
from playground.tasks.tuning.mistakes import MISTAKES, side_by_side
from playground.tasks.tuning.shots import Draws, draw_shots

log = logging.getLogger("playground")
STEPS, MOST_SHOTS, MOST_HELD_OUT = 40, 16, 200
_WAIT = 0.5  # seconds between two looks at the line
_START = "double-softmax"


def build_mistakes(registry: Registry, classify: ClassifyTab) -> None:
    """Build the part inside the current Blocks context and wire it."""
    with gr.Row(elem_classes="pp-columns"):
        with gr.Column(scale=4, min_width=280):
            gr.HTML(
                '<p class="pp-legend">The prompt of Classify is tuned twice on the same few rows, in the '
                "same order, with the same dropout: the right way, and with one classic mistake. Neither is "
                "kept.</p>"
            )
            name = gr.Radio(
                [(one.title, one.name) for one in MISTAKES.values()],
                value=_START,
                label="Mistake",
                elem_id="mistakes-name",
            )
            about = gr.HTML(mistakes_view.about(MISTAKES[_START]), elem_id="mistakes-about")
            rows = gr.Dropdown(
                [(shown, one) for one, shown in SETS.items()],
                value="reviews",
                label="Rows",
                info="A few of each label are tuned on; the others measure both ways.",
                elem_id="mistakes-rows",
            )
            with gr.Row(elem_classes="pp-run-row"):
                go = gr.Button("Make it", variant="primary", size="sm", elem_id="mistakes-run")
                stop = gr.Button("Stop", size="sm", visible=False, elem_id="mistakes-stop")
        with gr.Column(scale=7, min_width=280, elem_classes="pp-panel"):
            told = gr.HTML(notice(""), elem_id="mistakes-notice")
            result = gr.HTML(
                '<p class="pp-legend">Press Make it: both ways run side by side, which takes about a '
                "minute.</p>",
                elem_id="mistakes-result",
            )
    halting = gr.State(None)

    @said_in(told)
    def explain(chosen: str):
        return {about: explained(chosen)}

    name.change(explain, name, [about, told], **quiet())

    async def run(chosen: str, source: str, *values: Any) -> AsyncIterator[Updates]:
        halt, ended = Halt(), {}
        yield {
            told: notice(""),
            halting: halt,
            stop: gr.update(visible=True),
            go: gr.update(interactive=False),
        }
        try:
            async with aclosing(tried(registry, chosen, source, Inputs(*values), halt)) as steps:
                async for html in steps:
                    yield {result: html}
        except PlaygroundError as error:
            ended = {told: notice(str(error), error=True)}
        except Exception:
            log.exception("a mistake failed")
            ended = {told: notice(BROKEN, error=True)}
        yield {stop: gr.update(visible=False), go: gr.update(interactive=True), **ended}

    go.click(
        run,
        [name, rows, *classify.inputs],
        [told, result, halting, stop, go],
        show_progress="hidden",
        concurrency_id="train",
        concurrency_limit=registry.settings.queue_size,  # they wait in our line, as all trainings
        api_visibility="private",
    )
    stop.click(ask_to_stop, halting, None, **quiet())


def explained(name: str) -> str:
    """Return what a mistake is; raises PlaygroundError for a name that is none."""
    if name not in MISTAKES:
        raise PlaygroundError(f"There is no mistake {shorten(name)}; choose one of the list.")
    return mistakes_view.about(MISTAKES[name])


async def tried(
    registry: Registry, name: str, source: str, inputs: Inputs, halt: Halt
) -> AsyncIterator[str]:
    """Yield the HTML of both ways, from the line to the end, or to where Stop was pressed.

    No thread is held between two steps. Closing it frees both copies of the model and the place in the
    line. Raises PlaygroundError for what cannot be tuned or shown.
    """
    prompt = inputs.prompt()
    drawn = drawn_rows(registry, prompt, source)
    prompting = await asyncio.to_thread(registry.get, inputs.model)
    with registry.line.place() as place:
        while ahead := place.ahead():
            yield mistakes_view.waiting(ahead)
            if halt.asked:
                raise PlaygroundError("You have left the line; press Make it to stand in it again.")
            await asyncio.sleep(_WAIT)
        steps = side_by_side(prompting, prompt, drawn.draws[0], drawn.held_out, name, steps=STEPS)
        try:
            while (trial := await asyncio.to_thread(next, steps, None)) is not None:
                yield mistakes_view.trial_html(trial, stopped=halt.asked)
                if halt.asked:
                    return
        finally:
            steps.close()


def drawn_rows(registry: Registry, prompt: Prompt, source: str) -> Draws:
    """Return a draw from one of our sample sets: a third of the rarest label's rows, at most 16."""
    opened = sample(source)
    labelled = labelled_rows(registry, prompt, opened, *guessed(tuple(opened.columns)), "")
    return draw_shots(labelled, shots=_shots(labelled), most=MOST_HELD_OUT)


def _shots(labelled: LabelledRows) -> int:
    rarest = min(int((labelled.gold == k).sum()) for k in range(len(labelled.labels)))
    return max(1, min(MOST_SHOTS, rarest // 3))
