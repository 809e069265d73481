"""The folded part of Eval that finds label words from a few of the open rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from playground.app.markup import notice
from playground.app.registry import Registry
from playground.app.session import (
    Halt,
    Inputs,
    ask_to_stop,
    quiet,
    said_in,
    texts_in,
    told_run,
)
from playground.app.tabs.classify import ClassifyTab, with_word_added
from playground.app.tabs.evaluate import EvalTab, labelled_rows
from playground.app.theme import actions_js
from playground.app.words_view import learned_html
from playground.errors import PlaygroundError
from playground.tasks.held_out import changes, split_rows
from playground.tasks.word_search import (
    METHODS,
    LearnedWords,
    search_label_words,
)

MOST_SHOTS, MOST_WORDS = 64, 10
STOPPED = "Stopped before the words were measured; nothing is kept."


def build_learned_words(registry: Registry, classify: ClassifyTab, evaluate: EvalTab) -> None:
    """Build the part inside the current Blocks context and wire it."""
    with gr.Accordion("Find label words", open=False, elem_id="eval-words"):
        gr.HTML(
            '<p class="pp-legend">A few rows of each label tell which words the model expects after one '
            "label's texts and not after another's. All other rows measure whether they are better.</p>"
        )
        with gr.Row():
            shots = gr.Slider(
                1, MOST_SHOTS, value=16, step=1, label="Rows of each label", min_width=180,
                elem_id="words-shots",
            )  # fmt: skip
            count = gr.Slider(
                1, MOST_WORDS, value=5, step=1, label="Words for each label", min_width=180,
                elem_id="words-count",
            )  # fmt: skip
            seed = gr.Slider(
                0, 99, value=0, step=1, label="Seed of the draw", min_width=180,
                elem_id="words-seed",
            )  # fmt: skip
        method = gr.Radio(
            list(METHODS), value=next(iter(METHODS)), label="Method",
            info=" ".join(f"{name}: {about}" for name, about in METHODS.items()),
            elem_id="words-method",
        )  # fmt: skip
        with gr.Row(elem_classes="pp-run-row"):
            go = gr.Button("Find label words", variant="primary", size="sm", elem_id="words-run")
            stop = gr.Button("Stop", size="sm", visible=False, elem_id="words-stop")
        told = gr.HTML(notice(""), elem_id="words-notice")
        result = gr.HTML("", elem_id="words-result", js_on_load=actions_js())
        kept = gr.State(None, time_to_live=3600)
        halting = gr.State(None)

    idle = {stop: gr.update(visible=False), go: gr.update(interactive=True)}

    def run(*values: Any):
        yield from told_run(parts(*values), told, idle)

    def parts(many: int, each: int, start: int, how: str, *values: Any):
        rows, inputs = values[: len(evaluate.rows)], Inputs(*values[len(evaluate.rows) :])
        halt = Halt()
        yield {
            told: notice("Looking for words…"),
            stop: gr.update(visible=True),
            go: gr.update(interactive=False),
            halting: halt,
        }

        def watch(_done: int, _all: int) -> None:
            if halt.asked:
                raise PlaygroundError(STOPPED)

        prompt = inputs.prompt()
        labelled = labelled_rows(registry, prompt, *rows)
        prompting = registry.get(inputs.model)
        split = split_rows(labelled, shots=int(many), seed=int(start))
        learned = search_label_words(
            prompting, prompt, split.search.rows, split.search.gold, method=how,
            count=int(each), progress=watch,
        )  # fmt: skip
        watch(0, 0)
        yield {told: notice(f"Measuring them on {len(split.held_out):,} other rows…")}
        found = changes(
            prompting,
            prompt,
            replace(prompt, verbalizer=learned.verbalizer),
            split.held_out,
            searched=learned.searched,
            progress=watch,
        )
        yield {
            result: learned_html(learned, found, split, prompt),
            kept: learned,
            told: notice(""),
            **idle,
        }

    go.click(
        run,
        [shots, count, seed, method, *evaluate.rows, *classify.inputs],
        [told, result, kept, halting, stop, go],
        show_progress="hidden",
        concurrency_id="tables",
        concurrency_limit=1,
        api_visibility="private",
    )
    stop.click(ask_to_stop, halting, None, **quiet())

    @said_in(told)
    def add_word(source: str, found: LearnedWords | None, event: gr.EventData):
        if event.act == "all":
            if found is None:
                raise PlaygroundError("The words are gone from the page's memory; find them again.")
            return {
                classify.words: found.verbalizer.to_text(),
                told: notice("They are the label words of Classify now."),
            }
        label, word = (*texts_in(str(event.arg), "find the words again"), "", "")[:2]
        return {
            classify.words: with_word_added(source, label, word),
            told: notice(f"Added {word} to {label} in Classify."),
        }

    result.click(add_word, [classify.words, kept], [classify.words, told], **quiet())
