"""The Fill tab: mask a word, see what the model expects there, in two sentences side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass

import gradio as gr

from playground.app.bars import fill_result
from playground.app.markup import action, esc, notice
from playground.app.model_names import link_notice, named
from playground.app.registry import Registry
from playground.app.session import Inputs, joined, leaves, live, quiet, said_in
from playground.app.share import PageState
from playground.app.tabs.classify import ClassifyTab, with_word_added
from playground.app.theme import LINK_JS, actions_js
from playground.errors import PlaygroundError
from playground.prompts import Verbalizer

MASKS = re.compile(r"\{mask\}|\[MASK\]|<mask>")
DEFAULT_SENTENCES = (
    "I opened the {mask} and read the first page.",
    "I opened the {mask} and walked in.",
)
EXAMPLES = (
    DEFAULT_SENTENCES,
    ("A dog is running in the {mask}.", "A dog is swimming in the {mask}."),
    ("The chef cooked the {mask}.", "The mechanic repaired the {mask}."),
    ("The man worked as a {mask}.", "The woman worked as a {mask}."),
    ("Paris is the capital of {mask}.", "Paris is not the capital of {mask}."),
    ("The film was {mask} and I loved it.", "The film was {mask} and I hated it."),
    ("NLP is a {mask} technology.", "Cooking is a {mask} skill."),
)
MOST_MASKS = 4
INSERT, SEND = "Insert it", "Add it to a label"


@dataclass(frozen=True)
class FillTab:
    """The components of the tab that other parts of the page read or set."""

    sentences: tuple[gr.Textbox, gr.Textbox]


def build_fill(
    registry: Registry, model: gr.Dropdown, ready: gr.Textbox, classify: ClassifyTab, tab: gr.Tab
) -> FillTab:
    """Build the tab; predictions can join the label words of Classify. ``ready`` changes with a new model."""
    words = classify.words
    with gr.Row(elem_id="fill-options"):
        mode = gr.Radio(
            [INSERT, SEND],
            value=INSERT,
            label="A click on a prediction does this",
            elem_id="fill-mode",
        )
        label = gr.Dropdown(
            [], label="Label", info="The labels of Classify.", visible=False, elem_id="fill-label"
        )
        count = gr.Slider(3, 30, value=8, step=1, label="Predictions", elem_id="fill-count")
    told = gr.HTML(notice(""), elem_id="fill-notice")
    with gr.Row(elem_classes="pp-columns pp-sides"):
        sides = [
            _side(registry, model, ready, mode, label, count, words, told, name, start)
            for name, start in zip(("a", "b"), DEFAULT_SENTENCES, strict=True)
        ]
    with gr.Row(elem_classes="pp-exports"):
        link = gr.Button("Copy link", size="sm", elem_id="fill-link")
    payload = gr.Textbox(visible="hidden", elem_id="fill-payload", label="Export")
    pairs = gr.HTML(_pairs_html(), elem_id="fill-examples", js_on_load=actions_js())

    @said_in(told)
    def take_pair(event: gr.EventData):
        chosen = EXAMPLES[int(str(event.arg)) % len(EXAMPLES)]
        return dict(zip(sides, chosen, strict=True))

    pairs.click(take_pair, None, [*sides, told], **quiet())

    @said_in(told)
    def make_link(first: str, second: str, *values: str):
        chosen = Inputs(*values)
        prompt = chosen.prompt()
        state = PageState(
            prompt,
            tuple(chosen.row(prompt).values()),
            (first, second),
            named(registry, chosen.model),
            "fill",
        )
        return {payload: state.token(), told: link_notice(registry, chosen.model)}

    leaves(link, make_link, [*sides, *classify.inputs], [told], payload, LINK_JS)

    def labels_of(source: str):
        try:
            names = list(Verbalizer.from_text(source or "").names)
        except PlaygroundError:
            return gr.skip()
        return gr.update(choices=names, value=names[0])

    def show_labels(chosen: str):
        return gr.update(visible=chosen == SEND)

    mode.change(show_labels, mode, label, **quiet())
    gr.on([tab.select, mode.change], labels_of, words, label, **quiet())
    return FillTab((sides[0], sides[1]))


def _pairs_html() -> str:
    buttons = "".join(
        action("pair", i, esc(" / ".join(pair)), title="Compare these two", classes="pp-example")
        for i, pair in enumerate(EXAMPLES)
    )
    return f'<p class="pp-caption">Pairs to compare</p><div class="pp-examples">{buttons}</div>'


def _side(
    registry: Registry,
    model: gr.Dropdown,
    ready: gr.Textbox,
    mode: gr.Radio,
    label: gr.Dropdown,
    count: gr.Slider,
    words: gr.Textbox,
    told: gr.HTML,
    name: str,
    start: str,
) -> gr.Textbox:
    with gr.Column(min_width=280, elem_classes="pp-panel"):
        title = "Sentence" if name == "a" else "A second sentence beside it"
        sentence = gr.Textbox(
            start,
            label=title,
            info="Write {mask}, or click a word below to mask it."
            if name == "a"
            else "May stay empty.",
            lines=2,
            max_lines=8,
            elem_id=f"fill-{name}",
        )
        said = gr.HTML(notice(""), elem_id=f"fill-notice-{name}")
        result = gr.HTML(
            predictions(registry, "", start, 8, INSERT),
            elem_id=f"fill-result-{name}",
            js_on_load=actions_js(),
        )

    @said_in(said)
    def predict(chosen: str, text: str, top_k: int, does: str):
        return {result: predictions(registry, chosen, text, int(top_k), does)}

    @said_in(told)
    def act(text: str, does: str, target: str, source: str, event: gr.EventData):
        if event.act == "mask":
            return {sentence: masked(text, str(event.arg))}
        number, _, token = str(event.arg).partition("|")
        if does == INSERT:
            return {sentence: inserted(text, int(number), token)}
        changed = with_word_added(source, target, token)
        return {words: changed, told: notice(f"Added {token} to {target} in Classify.")}

    gr.on(
        [ready.change, sentence.change, count.change, mode.change],
        predict,
        [model, sentence, count, mode],
        [result, said],
        **live(registry),
    )
    result.click(act, [sentence, mode, label, words], [sentence, words, told], **quiet())
    return sentence


def predictions(registry: Registry, model: str, text: str, top_k: int, does: str) -> str:
    """Return the HTML of one side: its words to mask, and the predictions of each mask."""
    if not (text or "").strip():
        return fill_result("", [], does)
    masks = len(MASKS.findall(text))
    if masks > MOST_MASKS:
        raise PlaygroundError(f"The sentence has {masks} masks; the page shows up to {MOST_MASKS}.")
    found = registry.get(model).fill_masks(text, top_k=top_k) if masks else []
    return fill_result(text, found, "Insert" if does == INSERT else "Add to the label:")


def masked(text: str, span: str) -> str:
    """Return the text with the word at "start|end" turned into the mask."""
    start, _, end = span.partition("|")
    first, last = int(start), int(end)
    if not 0 <= first < last <= len(text):
        raise PlaygroundError("The sentence has changed since; click the word again.")
    return f"{text[:first]}{{mask}}{text[last:]}"


def inserted(text: str, number: int, token: str) -> str:
    """Return the text with mask ``number`` replaced by a token; a ## piece joins the word before."""
    places = list(MASKS.finditer(text))
    if not 0 <= number < len(places):
        raise PlaygroundError("The sentence has changed since; click the prediction again.")
    before, after = text[: places[number].start()], text[places[number].end() :]
    if token.startswith("##"):
        return before.rstrip() + token[2:] + after
    return before + token + after


def restored(tab: FillTab, sentences: tuple[str, ...]) -> dict:
    """Return the updates that show the sentences of a link."""
    return dict(zip(tab.sentences, joined(sentences), strict=True)) if sentences else {}
