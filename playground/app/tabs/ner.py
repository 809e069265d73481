"""The NER tab: entities of a text by prompts, drawn in it, with types that a visitor invents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from playground import resources
from playground.app import figures, ner_view
from playground.app.markup import action, esc, notice
from playground.app.model_names import link_notice, named, tuned_file
from playground.app.ner_view import Drawing
from playground.app.registry import Registry
from playground.app.session import Inputs, download, leaves, live, quiet, said_in
from playground.app.share import PageState
from playground.app.tabs.classify import ClassifyTab
from playground.app.theme import COPY_JS, DOWNLOAD_JS, HIDE_JS, LINK_JS, actions_js
from playground.errors import PlaygroundError, shorten
from playground.prompts import Prompt, Template, Verbalizer
from playground.tasks.entities import (
    CANDIDATES,
    DECODINGS,
    PRIORS,
    THRESHOLD,
    EntityTyper,
    TypedSpans,
    decode,
    export,
)

CARD = "entity"
EXAMPLES = (
    "Maria Lopez moved from a village in Norway to Madrid, and her brother Tom stayed in Oslo.",
    "Savaş went to Paris to visit the parliament.",
    "Savaş went to Laris to visit the parliament.",
    "Washington crossed the river with his soldiers, long before Washington was a city.",
    "Google and the Red Cross wrote to Angela Merkel when she was in Berlin.",
    "my cousin d'angelo found a summer job in tulsa",
)
_MOST_TEMPLATES = 6
_OFFERED = {"candidates": CANDIDATES, "prior": PRIORS, "decoding": DECODINGS}
_RANGES = {"most_words": (1, 6), "threshold": (-2, 8)}


@dataclass(frozen=True)
class NerInputs:
    """The values of the inputs that a model run depends on, in the order in which they are wired."""

    model: str
    text: str
    types: str
    templates: str
    candidates: str
    most_words: int
    prior: str

    def prompt(self) -> Prompt:
        """Return the prompt as edited; raises PlaygroundError for what is missing or wrong."""
        lines = [line.strip() for line in (self.templates or "").splitlines() if line.strip()]
        if not lines:
            raise PlaygroundError("There is no template; write one with {span} and {mask}.")
        if len(lines) > _MOST_TEMPLATES:
            raise PlaygroundError(
                f"There are {len(lines)} templates; the page averages {_MOST_TEMPLATES} at most."
            )
        first, *others = dict.fromkeys(map(Template, lines))
        return Prompt(
            first,
            Verbalizer.from_text(self.types or ""),
            alternatives=tuple(others),
            name="entities",
            task="entity",
        )

    def typer(self, registry: Registry) -> EntityTyper:
        """Return what types the spans."""
        return EntityTyper(registry.get(self.model), self.prompt(), prior=self.prior)

    def typed_spans(self, registry: Registry, spans: Sequence[Any]) -> TypedSpans:
        """Return the scores of spans that a visitor's program gives."""
        return self.typer(registry).type_text(self.text, candidates=spans)

    def typed(self, registry: Registry) -> TypedSpans:
        """Return the scores of the text's candidate spans."""
        return self.typer(registry).type_text(
            self.text or "", candidates=self.candidates, most_words=int(self.most_words)
        )


@dataclass(frozen=True)
class Choices:
    """How scores become entities: no model runs when one of them moves."""

    threshold: float = THRESHOLD
    decoding: str = "greedy"
    nested: bool = False


@dataclass(frozen=True)
class Found:
    """The scores of a text's spans, with the inputs that they are of."""

    inputs: NerInputs
    typed: TypedSpans

    @classmethod
    def of(cls, registry: Registry, chosen: NerInputs, kept: Found | None) -> Found:
        """Return ``kept`` if it is of these inputs still, else new scores.

        A threshold may move while a text is being read: what was kept before is then another text's.
        """
        if kept is not None and kept.inputs == chosen:
            return kept
        return cls(chosen, chosen.typed(registry))


@dataclass(frozen=True)
class NerTab:
    """The components of the tab that a link sets, by the name that the link gives them, and "told"."""

    boxes: Mapping[str, Any]

    def restored(self, state: Mapping[str, Any]) -> dict:
        """Return the updates that show what a link holds of the tab, or what is wrong with it."""
        if problem := _unfit(state):  # a component with such a value would answer no event at all
            return {self.boxes["told"]: notice(problem, error=True)}
        return {box: state[name] for name, box in self.boxes.items() if name in state}


def _unfit(state: Mapping[str, Any]) -> str:
    """Return what is wrong with a link's values of the tab, or nothing."""
    for name, value in state.items():
        if name in _OFFERED and value not in _OFFERED[name]:
            advice = f"choose one of {', '.join(_OFFERED[name])}"
        elif name in _RANGES and not _RANGES[name][0] <= value <= _RANGES[name][1]:
            advice = "it must be from {} to {}".format(*_RANGES[name])
        else:
            continue
        return f"The link's {name.replace('_', ' ')} of NER is {shorten(value)}; {advice}."
    return ""


def card_text(prompt: Prompt) -> tuple[str, str]:
    """Return a card's types and templates as the boxes show them."""
    return prompt.verbalizer.to_text(), "\n".join(t.source for t in prompt.templates)


def build_ner(
    registry: Registry, model: gr.Dropdown, ready: gr.Textbox, classify: ClassifyTab
) -> NerTab:
    """Build the tab inside the current Blocks context and wire it; ``ready`` changes with a new model."""
    types_text, templates_text = card_text(Prompt.load(CARD))
    boxes = (EXAMPLES[0], types_text, templates_text, "names", 4, "contextual")
    start = NerInputs(str(model.value or ""), *boxes)
    opened = Found.of(registry, start, None)
    shown, closely, first = drawn(registry, opened, Choices())
    with gr.Row(elem_classes="pp-columns"):
        with gr.Column(scale=5, min_width=280):
            text = gr.Textbox(start.text, label="Text", lines=3, max_lines=12, elem_id="ner-text")
            examples = gr.HTML(_examples(), elem_id="ner-examples", js_on_load=actions_js())
            types = gr.Textbox(
                start.types,
                label="Types",
                info="A type and its words a line: invent your own. none is what is no entity.",
                lines=4,
                max_lines=14,
                elem_id="ner-types",
            )
            card = gr.Dropdown(
                [n for n in resources.card_names() if Prompt.load(n).task == "entity"],
                value=CARD,
                label="Prompt card",
                elem_id="ner-card",
            )
            with gr.Accordion("Templates, candidates and prior", open=False, elem_id="ner-options"):
                templates = gr.Textbox(
                    start.templates,
                    label="Templates",
                    info="One a line, averaged. {before} and {after} stand around {span} in the text.",
                    lines=3,
                    max_lines=8,
                    elem_id="ner-templates",
                )
                candidates = _radio(CANDIDATES, start.candidates, "Candidates", "ner-candidates")
                most_words = gr.Slider(
                    *_RANGES["most_words"], start.most_words, step=1, label="Words of a span, at most (all spans)",
                    elem_id="ner-most-words",
                )  # fmt: skip
                prior = _radio(PRIORS, start.prior, "Prior", "ner-prior")
        with gr.Column(scale=6, min_width=280, elem_classes="pp-panel"):
            result = gr.HTML(shown, elem_id="ner-result", js_on_load=actions_js())
            told = gr.HTML(notice(""), elem_id="ner-notice")
            threshold = gr.Slider(
                *_RANGES["threshold"], THRESHOLD, step=0.1, elem_id="ner-threshold",
                label="Threshold: how far a type must be over none",
            )  # fmt: skip
            with gr.Row(elem_id="ner-decoding-row"):
                decoding = _radio(DECODINGS, "greedy", "Overlaps", "ner-decoding")
                nested = gr.Checkbox(
                    False, label="Nested", info="Spans may lie in spans.", elem_id="ner-nested"
                )
            panel = gr.HTML(closely, elem_id="ner-span", js_on_load=actions_js())
            inputs = [model, text, types, templates, candidates, most_words, prior]
            choices = [threshold, decoding, nested]
            code = _exports(registry, inputs, choices, classify, told)
            with gr.Accordion("All spans", open=False, elem_id="ner-all") as spans_fold:
                listed = gr.HTML("", elem_id="ner-table", js_on_load=actions_js())
            with gr.Accordion("Lattice of all spans", open=False, elem_id="ner-lattice") as fold:
                lattice = gr.Plot(show_label=False)
                redraw = gr.Button("Draw again", size="sm", elem_id="ner-redraw")
    kept = gr.State(opened, time_to_live=3600)
    looked = gr.State(first, time_to_live=3600)
    unfolded = gr.State(False, time_to_live=3600)  # whether the table is open, and follows the text

    @said_in(told)
    def find(open_table: bool | None, *values: Any):
        chosen, how = _split(values)
        found = Found.of(registry, chosen, None)
        picture, close, place = drawn(registry, found, how)
        fresh = {result: picture, panel: close, kept: found, looked: place, lattice: None}
        return {**fresh, **(listing(found, *values) if open_table else {})}

    @said_in(told)
    def draw(found: Found | None, place: int | None, open_table: bool | None, *values: Any):
        chosen, how = _split(values)
        now = Found.of(registry, chosen, found)
        picture, close, place = drawn(registry, now, how, place if now is found else None)
        fresh = {result: picture, panel: close, looked: place}
        return {**fresh, **(listing(now, *values) if open_table else {})}

    @said_in(told)
    def look(found: Found | None, event: gr.EventData, *values: Any):
        chosen, how = _split(values)
        now = Found.of(registry, chosen, found)
        picture, close, place = drawn(registry, now, how, _place(str(event.arg), now.typed))
        return {result: picture, panel: close, looked: place}

    def listing(found: Found | None, *values: Any):
        chosen, how = _split(values)
        drawing = _drawing(Found.of(registry, chosen, found), how)
        return {listed: ner_view.span_table(drawing), unfolded: True}

    @said_in(told)
    def chart(found: Found | None, *values: Any):
        chosen, _ = _split(values)
        return {lattice: figures.span_lattice(Found.of(registry, chosen, found).typed)}

    @said_in(told)
    def open_card(name: str):
        own_types, own_templates = card_text(Prompt.load(resources.card_path(name)))
        return {types: own_types, templates: own_templates}

    @said_in(told)
    def take(event: gr.EventData):
        place = _number(str(event.arg), len(EXAMPLES))
        if place is None:
            raise PlaygroundError("There is no such example; take one of the others.")
        return {text: EXAMPLES[place]}

    all_inputs = [*inputs, *choices]
    gr.on(
        [box.change for box in (ready, *inputs[1:])],
        find,
        [unfolded, *all_inputs],
        [result, panel, kept, looked, lattice, listed, unfolded, told],
        **live(registry),
    )
    gr.on(
        [box.change for box in choices],
        draw,
        [kept, looked, unfolded, *all_inputs],
        [result, panel, looked, listed, unfolded, told],
        **live(registry),
    )
    for place in (result, listed):
        place.click(look, [kept, *all_inputs], [result, panel, looked, told], **quiet())
    spans_fold.expand(
        said_in(told)(listing), [kept, *all_inputs], [listed, unfolded, told], **quiet()
    )
    spans_fold.collapse(lambda: False, None, unfolded, **quiet())
    gr.on([fold.expand, redraw.click], chart, [kept, *all_inputs], [lattice, told], **quiet())
    card.input(open_card, card, [types, templates, told], **quiet())
    examples.click(take, None, [text, told], **quiet())
    gr.on([b.change for b in all_inputs], None, None, code, js=HIDE_JS, api_visibility="private")
    names = [*(f for f in NerInputs.__annotations__ if f != "model"), *Choices.__annotations__]
    return NerTab({**dict(zip(names, all_inputs[1:], strict=True)), "told": told})


def drawn(
    registry: Registry, found: Found, how: Choices, place: int | None = None
) -> tuple[str, str, int | None]:
    """Return the text with its entities, one span closely, and which span that is; no model runs."""
    drawing, typed = _drawing(found, how), found.typed
    if place is None or place >= len(typed):
        place = drawing.place(drawing.entities[0].span) if drawing.entities else 0
    if not len(typed):
        return ner_view.drawn_text(drawing), ner_view.span_panel(drawing, None, ()), None
    prompts = found.inputs.typer(registry).explain(typed, place)
    return ner_view.drawn_text(drawing, place), ner_view.span_panel(drawing, place, prompts), place


def _drawing(found: Found, how: Choices) -> Drawing:
    entities = decode(found.typed, **asdict(how))
    templates = len(found.inputs.prompt().templates)
    rest = found.inputs.candidates != "all"
    return Drawing(found.typed, entities, templates, rest, how.threshold)


def _exports(
    registry: Registry, inputs: list, choices: list, classify: ClassifyTab, told: gr.HTML
) -> gr.Code:
    """Build and wire the buttons by which a result leaves, and return the box of the program."""
    with gr.Row(elem_classes="pp-exports"):
        link = gr.Button("Copy link", size="sm", elem_id="ner-link")
        python = gr.Button("Copy as Python", size="sm", elem_id="ner-python")
        table = gr.Button("CSV", size="sm", elem_id="ner-csv")
        numbers = gr.Button("JSON", size="sm", elem_id="ner-json")
        spacy = gr.Button("spaCy", size="sm", elem_id="ner-spacy")
    code = gr.Code(
        language="python", label="Python", visible=False, interactive=False, elem_id="ner-code"
    )
    payload = gr.Textbox(visible="hidden", elem_id="ner-payload", label="Export")
    count = len(inputs) + len(choices)

    @said_in(told)
    def make_link(*values: Any):
        chosen, how = _split(values[:count])
        chosen.prompt()  # a link to what does not open would be of no use
        state = {k: v for k, v in {**asdict(chosen), **asdict(how)}.items() if k != "model"}
        page = PageState(
            Inputs(*values[count:]).prompt(),
            model=named(registry, chosen.model),
            tab="ner",
            ner=state,
        )
        return {payload: page.token(), told: link_notice(registry, chosen.model)}

    @said_in(told)
    def make_python(*values: Any):
        chosen, how = _split(values[:count])
        program = export.to_python(
            chosen.prompt(),
            chosen.text,
            model=named(registry, chosen.model) or None,
            tuned=tuned_file(registry, chosen.model),
            prior=chosen.prior,
            candidates=chosen.candidates,
            most_words=int(chosen.most_words),
            **asdict(how),
        )
        shown = gr.update(value=program, visible=True)
        return {payload: program, code: shown, told: notice("Copied.")}

    def found(values: Sequence[Any]):
        chosen, how = _split(values[:count])
        typed = chosen.typed(registry)
        return typed, decode(typed, **asdict(how)), how

    @said_in(told)
    def make_csv(*values: Any):
        typed, entities, _ = found(values)
        return {payload: download("spans.csv", "text/csv", export.spans_csv(typed, entities))}

    @said_in(told)
    def make_json(*values: Any):
        typed, entities, how = found(values)
        data = {"text": typed.text, "entities": export.entities_json(entities), **asdict(how)}
        text = json.dumps(data, ensure_ascii=False, indent=1)
        return {payload: download("entities.json", "application/json", text)}

    @said_in(told)
    def make_spacy(*values: Any):
        typed, entities, how = found(values)
        line = json.dumps(export.spacy_example(typed.text, entities, nested=how.nested))
        return {payload: download("spacy.jsonl", "application/json", f"{line}\n")}

    for button, make, script in (
        (link, make_link, LINK_JS),
        (python, make_python, COPY_JS),
        (table, make_csv, DOWNLOAD_JS),
        (numbers, make_json, DOWNLOAD_JS),
        (spacy, make_spacy, DOWNLOAD_JS),
    ):
        outputs = [code, told] if make is make_python else [told]
        everything = [*inputs, *choices, *classify.inputs]
        leaves(button, make, everything, outputs, payload, script)
    return code


def _split(values: Sequence[Any]) -> tuple[NerInputs, Choices]:
    most = len(NerInputs.__annotations__)
    threshold, decoding, nested = values[most:]
    return NerInputs(*values[:most]), Choices(float(threshold or 0), decoding, bool(nested))


def _place(argument: str, typed: TypedSpans) -> int:
    place = _number(argument, len(typed))
    if place is None:
        raise PlaygroundError("The text has changed since; click again.")
    return place


def _number(argument: str, below: int) -> int | None:
    """Return the number that a button of ours carries; None for what cannot be from one."""
    sane = argument.isascii() and argument.isdigit() and len(argument) <= len(str(below))
    return int(argument) if sane and int(argument) < below else None


def _radio(choices: Mapping[str, str], value: str, label: str, name: str) -> gr.Radio:
    box = gr.Radio(list(choices), value=value, label=label, info=choices[value], elem_id=name)
    box.change(lambda chosen: gr.update(info=choices[chosen]), box, box, **quiet())
    return box


def _examples() -> str:
    buttons = "".join(
        action("example", k, esc(text), title="Take this text", classes="pp-example")
        for k, text in enumerate(EXAMPLES)
    )
    return f'<div class="pp-examples">{buttons}</div>'
