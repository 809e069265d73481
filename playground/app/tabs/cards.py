"""The lower left of Classify: what a prompt card says, its templates, examples and sample rows."""

from __future__ import annotations

import json
from collections.abc import Iterable

import gradio as gr

from playground import resources
from playground.app import samples
from playground.app.markup import action, esc
from playground.app.session import joined, quiet, said_in, texts_in
from playground.app.theme import actions_js
from playground.errors import PlaygroundError
from playground.prompts import Prompt


def card_panel(prompt: Prompt) -> gr.HTML:
    """Build the panel that shows a card."""
    return gr.HTML(card_html(prompt), elem_id="classify-about", js_on_load=actions_js())


def first_texts(prompt: Prompt) -> tuple[str, ...]:
    """Return the texts of a card's first example, in the order of the template's fields."""
    return tuple(prompt.template.bind(prompt.examples[0]).values()) if prompt.examples else ()


def wire_cards(
    card: gr.Dropdown,
    panel: gr.HTML,
    told: gr.HTML,
    text: gr.Textbox,
    second: gr.Textbox,
    template: gr.Textbox,
    words: gr.Textbox,
    scoring: list,
) -> None:
    """Let the picker open cards, and the panel's buttons set texts and templates."""
    aggregation, calibration, domain, prior_texts, order, pieces = scoring

    def texts(values: tuple[str, ...]) -> dict:
        return dict(zip((text, second), joined(values), strict=True))

    def opened(prompt: Prompt, remark: str = "") -> dict:
        return {
            **texts(first_texts(prompt)),
            template: prompt.template.source,
            words: prompt.verbalizer.to_text(),
            panel: card_html(prompt, remark),
        }

    @said_in(told)
    def choose(name: str):
        return opened(Prompt.load(resources.card_path(name)))

    @said_in(told)
    def act(event: gr.EventData):
        argument = str(event.arg)
        if event.act == "open":
            prompt = card_from_file(argument)
            options = prompt.scoring
            return {
                **opened(prompt, f"Opened the card {prompt.name}."),
                aggregation: options.aggregation,
                calibration: options.calibration,
                domain: options.domain,
                prior_texts: "\n".join(options.prior_texts),
                order: options.fill_order,
                pieces: options.pieces,
                card: None,
            }
        if event.act == "template":
            return {template: argument}
        if event.act == "sample":
            name, _, kind = argument.partition("|")
            sample = samples.pick(name, kind)
            shown = card_html(Prompt.load(resources.card_path(name)), sample.remark)
            return {**texts(sample.texts), panel: shown}
        return texts(texts_in(argument, "pick the card again"))

    outputs = [text, second, template, words, *scoring, card, panel, told]
    card.input(choose, card, outputs, **quiet())
    panel.click(act, None, outputs, **quiet())


def card_html(prompt: Prompt, remark: str = "") -> str:
    """Return a card's description, templates, examples and sample rows as buttons.

    The buttons carry what they set, so that they need no state. ``remark`` says what was drawn or opened.
    """

    def buttons(name: str, choices: Iterable[tuple[str, str]], tip: str) -> str:
        made = (
            action(name, argument, esc(shown), title=tip, classes="pp-example")
            for argument, shown in choices
        )
        return f'<div class="pp-examples">{"".join(made)}</div>'

    rows = [list(prompt.template.bind(example).values()) for example in prompt.examples]
    noun, kinds = samples.kinds(prompt.name)
    parts = [
        f'<p class="pp-caption">{esc(prompt.description)}</p>' if prompt.description else "",
        '<p class="pp-caption">Templates</p>',
        buttons("template", ((t.source, t.source) for t in prompt.templates), "Take this template"),
    ]
    if rows:
        parts += [
            '<p class="pp-caption">Examples</p>',
            buttons("example", ((json.dumps(r), " · ".join(r)) for r in rows), "Take this example"),
        ]
    if kinds:
        choices = ((f"{prompt.name}|{kind}", kind) for kind in kinds)
        parts += [
            f'<p class="pp-caption">Draw a {esc(noun)} from our sample set</p>',
            buttons("sample", choices, f"Draw a {noun} at random"),
        ]
    if remark:
        parts.append(f'<p class="pp-caption pp-remark">{esc(remark)}</p>')
    parts.append(
        '<div class="pp-examples"><label class="pp-file">Open a card file…'
        '<input type="file" accept=".json,application/json"></label></div>'
    )
    if prompt.source:
        parts.append(f'<p class="pp-caption">Source: {esc(prompt.source)}</p>')
    return "".join(parts)


def card_from_file(content: str) -> Prompt:
    """Return the prompt of a card file's content; PlaygroundError says what is wrong with it."""
    if len(content) > 1 << 20:
        raise PlaygroundError("The card is larger than 1 MiB; it was not opened.")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise PlaygroundError("The file is not a prompt card: it is not JSON.") from None
    return Prompt.from_json(data)
