"""The Classify tab: edit text, template and label words, and see the scores move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import gradio as gr

from playground import resources
from playground.app import figures
from playground.app.attribution_view import attribution_html
from playground.app.bars import classify_details, classify_result
from playground.app.head_view import head_details, head_result
from playground.app.markup import notice
from playground.app.registry import Registry
from playground.app.session import Inputs, explain, joined, live, quiet, said_in
from playground.app.tabs.cards import card_html, card_panel, first_texts, wire_cards
from playground.app.tabs.exports import export_row
from playground.app.theme import HIDE_JS, actions_js
from playground.errors import PlaygroundError
from playground.prompts import AGGREGATIONS, CALIBRATIONS, LabelWord, Prompt, Template, Verbalizer
from playground.prompts.scoring_options import FILL_ORDERS, PIECE_REDUCTIONS
from playground.tasks.attribution import leave_one_out

DEFAULT_CARD = "sentiment"


@dataclass(frozen=True)
class ClassifyTab:
    """The components of the tab that other parts of the page read or set."""

    inputs: list  # in the order of session.Inputs, the model first
    words: gr.Textbox
    result: gr.HTML
    told: gr.HTML
    card: gr.Dropdown
    panel: gr.HTML

    def restored(self, prompt: Prompt, texts: Sequence[str]) -> dict:
        """Return the updates that show the prompt of a link and its texts."""
        updates = dict(zip(self.inputs[1:], input_values(prompt, texts), strict=True))
        return {**updates, self.card: None, self.panel: card_html(prompt, "Opened from a link.")}


def default_prompt() -> Prompt:
    """Return the prompt that the page opens with: the first card, calibrated."""
    prompt = Prompt.load(DEFAULT_CARD)
    return replace(prompt, scoring=replace(prompt.scoring, calibration="contextual"))


def input_values(prompt: Prompt, texts: Sequence[str]) -> list[str]:
    """Return the values of the inputs behind the model, in the order of session.Inputs."""
    options = prompt.scoring
    return [
        *joined(texts),
        prompt.template.source,
        prompt.verbalizer.to_text(),
        options.aggregation,
        options.calibration,
        options.domain,
        "\n".join(options.prior_texts),
        options.fill_order,
        options.pieces,
    ]


def build_classify(registry: Registry, model: gr.Dropdown, ready: gr.Textbox) -> ClassifyTab:
    """Build the tab inside the current Blocks context and wire it; ``ready`` changes with a new model."""
    prompt = default_prompt()
    start = Inputs("", *input_values(prompt, first_texts(prompt)))
    opened = explain(registry, start)  # the page opens scored

    with gr.Row(elem_classes="pp-columns"):
        with gr.Column(scale=5, min_width=280):
            card = gr.Dropdown(
                resources.card_names(),
                value=DEFAULT_CARD,
                label="Prompt card",
                elem_id="classify-card",
            )
            text = gr.Textbox(
                start.text, label="Text", lines=2, max_lines=12, elem_id="classify-text"
            )
            second = gr.Textbox(
                start.second_text,
                label="Second text",
                lines=2,
                max_lines=8,
                visible=False,
                elem_id="classify-text-b",
            )
            template = gr.Textbox(
                start.template,
                label="Template",
                info="{mask} is where a label word stands; {text} is the text.",
                lines=1,
                max_lines=4,
                elem_id="classify-template",
            )
            words = gr.Textbox(
                start.label_words,
                label="Label words",
                info="A label a line; a weight as in good*0.5.",
                lines=3,
                max_lines=14,
                elem_id="classify-words",
            )
            scoring = _scoring_panel(start)
            panel = card_panel(prompt)
        with gr.Column(scale=6, min_width=280, elem_classes="pp-panel"):
            result = gr.HTML(
                classify_result(opened, start.calibration),
                elem_id="classify-result",
                js_on_load=actions_js(),
            )
            told = gr.HTML(notice(""), elem_id="classify-notice")
            details = gr.HTML(
                classify_details(opened), elem_id="classify-details", js_on_load=actions_js()
            )
            inputs = [model, text, second, template, words, *scoring]
            tab = ClassifyTab(inputs, words, result, told, card, panel)
            code = export_row(registry, inputs, told)
            with gr.Accordion(
                "What each word does", open=False, elem_id="classify-words-matter"
            ) as weigh:
                weighed = gr.HTML("", elem_id="classify-weighed")
                weigh_again = gr.Button("Weigh again", size="sm", elem_id="classify-weigh")
            with gr.Accordion("Word chart", open=False, elem_id="classify-chart") as fold:
                chart = gr.Plot(show_label=False)
                again = gr.Button("Draw again", size="sm")

    @said_in(told)
    def score(*values: str):
        chosen = Inputs(*values)
        if not registry.get(chosen.model).reads_words:
            return dict(zip((result, details), scored_by_head(registry, chosen), strict=True))
        found = explain(registry, chosen)
        return {
            result: classify_result(found, chosen.calibration),
            details: classify_details(found),
        }

    @said_in(told)
    def swap(source: str, event: gr.EventData):
        old, _, new = str(event.arg).partition("|")
        return {words: with_word_swapped(source, old, new)}

    @said_in(told)
    def draw(*values: str):
        chosen = Inputs(*values)
        title = chosen.prompt().template.fill(chosen.row(chosen.prompt()))
        return {chart: figures.word_chart(explain(registry, chosen), title)}

    @said_in(told)
    def weigh_words(*values: str):
        chosen = Inputs(*values)
        prompt = chosen.prompt()
        found = leave_one_out(registry.get(chosen.model), chosen.row(prompt), prompt)
        return {weighed: attribution_html(found)}

    gr.on(
        [weigh.expand, weigh_again.click],
        weigh_words,
        inputs,
        [weighed, told],
        concurrency_id="model",
        concurrency_limit=registry.settings.concurrency,
        **quiet(),
    )
    edited = [box.change for box in (ready, *inputs[1:])]
    gr.on(edited, score, inputs, [result, details, told], **live(registry))
    details.click(swap, words, [words, told], **quiet())
    gr.on([fold.expand, again.click], draw, inputs, [chart, told], **quiet())
    # a program on the page is of the prompt as it was: an edit takes it away, in the browser alone
    gr.on([i.change for i in inputs], None, None, code, js=HIDE_JS, api_visibility="private")
    _name_boxes(template, text, second)
    wire_cards(card, panel, told, text, second, template, words, scoring)
    return tab


def scored_by_head(registry: Registry, inputs: Inputs) -> tuple[str, str]:
    """Return the bars of a tuned model with a head of its own, and what stands under them."""
    prompting, prompt = registry.get(inputs.model), inputs.prompt()
    row, delta = inputs.row(prompt), prompting.backbone.delta
    scores = prompting.classify([row], prompt)
    if delta is None or scores.errors:
        raise PlaygroundError(scores.errors.get(0, "The model has no head; choose another."))
    most = prompting.backbone.encoder.max_tokens
    return head_result(scores), head_details(scores, delta, prompt, row, most)


def _scoring_panel(start: Inputs) -> list:
    """Build the folded choices; each radio's info says what its choice means."""

    def radio(choices: Mapping[str, str], value: str, label: str) -> gr.Radio:
        box = gr.Radio(list(choices), value=value, label=label, info=choices[value])
        box.change(lambda chosen: gr.update(info=choices[chosen]), box, box, **quiet())
        return box

    with gr.Accordion("Calibration and aggregation", open=False, elem_id="classify-scoring"):
        calibration = radio(CALIBRATIONS, start.calibration, "Calibration")
        domain = gr.Textbox(
            start.domain,
            label="Domain prompt",
            info="For domain calibration: a prompt without the text; empty takes the template.",
            visible=start.calibration == "domain",
        )
        prior_texts = gr.Textbox(
            start.prior_texts,
            label="Unlabelled texts",
            info="For corpus calibration, one a line.",
            lines=2,
            max_lines=6,
            visible=start.calibration == "corpus",
        )

        def show_boxes(chosen: str):
            return gr.update(visible=chosen == "domain"), gr.update(visible=chosen == "corpus")

        calibration.change(show_boxes, calibration, [domain, prior_texts], **quiet())
        aggregation = radio(AGGREGATIONS, start.aggregation, "Aggregation")
        order = radio(FILL_ORDERS, start.fill_order, "Words of several pieces: order")
        pieces = radio(PIECE_REDUCTIONS, start.pieces, "Words of several pieces: score")
    return [aggregation, calibration, domain, prior_texts, order, pieces]


def _name_boxes(template: gr.Textbox, text: gr.Textbox, second: gr.Textbox) -> None:
    """Name the text boxes after the template's fields, and show the second where it has one."""
    shown = gr.State(("text",))

    def rename(source: str, before: Sequence[str]):
        try:
            fields = Template(source or "").fields
        except PlaygroundError:
            return {shown: before}
        if list(fields) == list(before):
            return {shown: before}
        first, other = joined(fields)
        return {
            shown: fields,
            text: gr.update(label=_box_title(first) or "Text"),
            second: gr.update(label=_box_title(other) or "Second text", visible=bool(other)),
        }

    template.change(
        rename, [template, shown], [text, second, shown], trigger_mode="always_last", **quiet()
    )


def _box_title(field: str) -> str:
    return field.replace("_", " ").capitalize()


def with_word_swapped(source: str, old: str, new: str) -> str:
    """Return the label words as text with ``old`` replaced by ``new``, its weight kept."""
    verbalizer = Verbalizer.from_text(source)
    return Verbalizer(
        {
            label: tuple(LabelWord(new, w.weight) if w.text == old else w for w in words)
            for label, words in verbalizer.labels.items()
        }
    ).to_text()


def with_word_added(source: str, label: str, word: str) -> str:
    """Return the label words as text with ``word`` added to ``label``."""
    verbalizer = Verbalizer.from_text(source)
    if label not in verbalizer.labels:
        raise PlaygroundError(
            f"There is no label {label}; the labels are {', '.join(verbalizer.names)}."
        )
    words = {**verbalizer.labels, label: (*verbalizer.labels[label], LabelWord(word))}
    return Verbalizer(words).to_text()
