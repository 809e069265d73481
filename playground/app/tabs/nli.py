"""The NLI tab: a trained classifier of premise and hypothesis, and the cloze prompt beside it."""

from __future__ import annotations

from dataclasses import dataclass
from random import SystemRandom

import gradio as gr

from playground import resources
from playground.app import figures, nli_view, pair_table
from playground.app.bars import svg
from playground.app.markup import markdown, notice
from playground.app.model_names import link_notice, named, shown_name
from playground.app.registry import Registry
from playground.app.session import (
    Halt,
    Inputs,
    ask_to_stop,
    download,
    joined,
    leaves,
    live,
    picker_label,
    quiet,
    said_in,
    still_kept,
    texts_in,
    told_run,
)
from playground.app.share import PageState
from playground.app.tabs.classify import ClassifyTab
from playground.app.theme import COPY_JS, DOWNLOAD_JS, HIDE_JS, LINK_JS, actions_js
from playground.engine import Scores
from playground.errors import PlaygroundError
from playground.tasks.nli.about import about
from playground.tasks.nli.cloze import ask_cloze

START = nli_view.EXAMPLES[0][:2]


@dataclass(frozen=True)
class NliTab:
    """The components of the tab that other parts of the page set."""

    pair: tuple[gr.Textbox, gr.Textbox]
    classifier: gr.Dropdown

    def restored(self, pair: tuple[str, ...], classifier: str) -> dict:
        """Return the updates that show a pair and a classifier of a link."""
        updates: dict = dict(zip(self.pair, joined(pair), strict=True)) if pair else {}
        return {**updates, **({self.classifier: classifier} if classifier else {})}


def build_nli(
    registry: Registry, model: gr.Dropdown, ready: gr.Textbox, classify: ClassifyTab
) -> NliTab:
    """Build the tab inside the current Blocks context and wire it; ``ready`` changes with a new model."""
    settings = registry.settings
    opened, prompt = judged(registry, "", "", *START)
    with gr.Row(elem_classes="pp-columns"):
        with gr.Column(scale=5, min_width=280):
            premise = gr.Textbox(
                START[0], label="Premise", lines=2, max_lines=8, elem_id="nli-premise"
            )
            hypothesis = gr.Textbox(
                START[1],
                label="Hypothesis",
                info="Does it follow from the premise?",
                lines=2,
                max_lines=8,
                elem_id="nli-hypothesis",
            )
            swap = gr.Button("⇅ Swap premise and hypothesis", size="sm", elem_id="nli-swap")
            examples = gr.HTML(
                nli_view.example_buttons(), elem_id="nli-examples", js_on_load=actions_js()
            )
            classifier = gr.Dropdown(
                list(settings.nli_model_names),
                value=settings.nli_model,
                label=picker_label("Classifier", settings),
                allow_custom_value=not settings.hosted,
                elem_id="nli-model",
            )
        with gr.Column(scale=6, min_width=280, elem_classes="pp-panel"):
            result = gr.HTML(opened, elem_id="nli-result", js_on_load=actions_js())
            told = gr.HTML(notice(""), elem_id="nli-notice")
            cloze = gr.HTML(prompt, elem_id="nli-cloze")
            pair = [premise, hypothesis]
            _exports(registry, model, classifier, pair, classify, told)
            _table(registry, classifier)
            _card(registry, classifier)

    @said_in(told)
    def judge(*values: str):
        verdict, asked = judged(registry, *values)
        return {result: verdict, cloze: asked}

    @said_in(told)
    def take(event: gr.EventData):
        return dict(zip(pair, chosen_pair(event.act, str(event.arg)), strict=True))

    inputs = [model, classifier, *pair]
    edited = [box.change for box in (ready, *inputs[1:])]
    gr.on(edited, judge, inputs, [result, cloze, told], **live(registry))
    examples.click(take, None, [*pair, told], **quiet())
    swap.click(lambda one, other: (other, one), pair, pair, **quiet())
    return NliTab((premise, hypothesis), classifier)


def judged(
    registry: Registry, model: str, classifier: str, premise: str, hypothesis: str
) -> tuple[str, str]:
    """Return the HTML of the classifier's verdict and of the cloze prompt's."""
    scores = one_pair(registry, classifier, premise, hypothesis)
    found = ask_cloze(registry.get(model), premise, hypothesis)
    return nli_view.verdict(scores), nli_view.cloze(found, shown_name(registry, model))


def one_pair(registry: Registry, classifier: str, premise: str, hypothesis: str) -> Scores:
    """Return the classifier's scores of one pair; raises PlaygroundError for one that has none."""
    scores = registry.classifier(classifier).classify([(premise or "", hypothesis or "")])
    if scores.errors:
        raise PlaygroundError(scores.errors[0])
    return scores


def chosen_pair(act: str, argument: str) -> tuple[str, str]:
    """Return the pair behind an example's button, or one drawn from the sample set."""
    if act == "draw":
        rows = [row for row in resources.load_examples("nli") if row["kind"] == argument]
        if not rows:
            raise PlaygroundError("There is no such sample; pick another.")
        row = SystemRandom().choice(rows)
        return row["premise"], row["hypothesis"]
    return joined(texts_in(argument, "type a pair"))


def _exports(
    registry: Registry,
    model: gr.Dropdown,
    classifier: gr.Dropdown,
    pair: list[gr.Textbox],
    classify: ClassifyTab,
    told: gr.HTML,
) -> None:
    with gr.Row(elem_classes="pp-exports"):
        link = gr.Button("Copy link", size="sm", elem_id="nli-link")
        python = gr.Button("Copy as Python", size="sm", elem_id="nli-python")
        table = gr.Button("CSV", size="sm", elem_id="nli-csv")
        picture = gr.Button("SVG", size="sm", elem_id="nli-svg")
    code = gr.Code(
        language="python", label="Python", visible=False, interactive=False, elem_id="nli-code"
    )
    payload = gr.Textbox(visible="hidden", elem_id="nli-payload", label="Export")

    @said_in(told)
    def make_link(chosen: str, premise: str, hypothesis: str, *values: str):
        inputs = Inputs(*values)
        prompt = inputs.prompt()
        own = "" if chosen == registry.settings.nli_model else chosen
        state = PageState(
            prompt,
            tuple(inputs.row(prompt).values()),
            model=named(registry, inputs.model),
            tab="nli",
            pair=(premise or "", hypothesis or ""),
            classifier=own,
        )
        return {payload: state.token(), told: link_notice(registry, inputs.model)}

    @said_in(told)
    def make_python(chosen: str, premise: str, hypothesis: str, *_: str):
        own = "" if chosen == registry.settings.nli_model else chosen
        text = nli_view.program(premise or "", hypothesis or "", own)
        return {payload: text, code: gr.update(value=text, visible=True), told: notice("Copied.")}

    @said_in(told)
    def make_table(chosen: str, premise: str, hypothesis: str, *_: str):
        scores = one_pair(registry, chosen, premise, hypothesis)
        text = nli_view.pair_csv(scores, premise, hypothesis)
        return {payload: download("pair.csv", "text/csv", text)}

    @said_in(told)
    def make_picture(chosen: str, premise: str, hypothesis: str, *_: str):
        scores = one_pair(registry, chosen, premise, hypothesis)
        text = svg(scores.labels, scores.probabilities[0].tolist(), f"{premise} / {hypothesis}")
        return {payload: download("pair.svg", "image/svg+xml", text)}

    inputs = [classifier, *pair, *classify.inputs]
    for button, make, script in (
        (link, make_link, LINK_JS),
        (python, make_python, COPY_JS),
        (table, make_table, DOWNLOAD_JS),
        (picture, make_picture, DOWNLOAD_JS),
    ):
        outputs = [code, told] if make is make_python else [told]
        leaves(button, make, inputs, outputs, payload, script)
    gr.on(
        [i.change for i in (classifier, *pair)],
        None,
        None,
        code,
        js=HIDE_JS,
        api_visibility="private",
    )


def _table(registry: Registry, classifier: gr.Dropdown) -> None:
    """Build the part that classifies a whole table, with progress, Stop and a download."""
    caps = registry.settings.table_caps
    with gr.Accordion("A table of pairs", open=False, elem_id="nli-table"):
        chooser = gr.HTML(_chooser(*caps), elem_id="nli-file", js_on_load=actions_js())
        said = gr.HTML(notice(""), elem_id="nli-table-notice")
        progress = gr.HTML("", elem_id="nli-progress")
        with gr.Row(elem_classes="pp-exports"):
            stop = gr.Button("Stop", size="sm", visible=False, elem_id="nli-stop")
            save = gr.Button("Download results", size="sm", visible=False, elem_id="nli-save")
        kept = gr.State(None, time_to_live=1800)
        halting = gr.State(None)
        payload = gr.Textbox(visible="hidden", elem_id="nli-table-payload", label="Export")

    def run(chosen: str, event: gr.EventData):
        yield from told_run(parts(chosen, event), said, {stop: gr.update(visible=False)})

    def parts(chosen: str, event: gr.EventData):
        source = (
            pair_table.sample_pairs()
            if event.act == "sample"
            else pair_table.open_pairs(str(event.arg), *caps)
        )
        steps = pair_table.classify_table(registry.classifier(chosen), *source)
        halt = Halt()
        yield {
            said: notice(""),
            stop: gr.update(visible=True),
            save: gr.update(visible=False),
            halting: halt,
        }
        for found in steps:
            drawn = pair_table.progress_html(found, stopped=halt.asked)
            yield {progress: drawn, kept: found}
            if halt.asked:
                break
        yield {stop: gr.update(visible=False), save: gr.update(visible=True)}

    @said_in(said)
    def make_file(found: pair_table.Progress | None):
        found = still_kept(
            found, "The results are gone from the page's memory; run the table again."
        )
        return {payload: download("answers.csv", "text/csv", found.csv.decode("utf-8"))}

    chooser.click(
        run,
        classifier,
        [said, progress, stop, save, kept, halting],
        show_progress="hidden",
        concurrency_id="tables",
        concurrency_limit=1,
        api_visibility="private",
    )
    stop.click(ask_to_stop, halting, None, **quiet())
    leaves(save, make_file, kept, [said], payload, DOWNLOAD_JS)


def _chooser(most_rows: int, most: int) -> str:
    return (
        f'<p class="pp-caption">A CSV, TSV or JSON Lines file of up to {most_rows:,} rows and {most >> 20} MiB with the '
        "columns premise and hypothesis (or sentence1 and sentence2); with a column label, accuracy is "
        "counted too. It is read in the browser; its results are kept for this page alone, half an hour "
        "at most.</p>"
        '<div class="pp-examples"><label class="pp-file">Open a file…'
        f'<input type="file" data-most="{most}" accept=".csv,.tsv,.jsonl,.txt"></label>'
        '<button type="button" class="pp-action pp-example" data-act="sample" data-arg="">'
        "Our 60 sample pairs</button></div>"
    )


def _card(registry: Registry, classifier: gr.Dropdown) -> None:
    """Build the folded card: how the classifier was trained and what it scores."""
    with gr.Accordion(
        "How it was trained, and how good it is", open=False, elem_id="nli-card"
    ) as fold:
        curve = gr.Plot(show_label=False, visible=False)
        card = gr.HTML("", elem_id="nli-card-text")

    def show(chosen: str):
        try:
            found = about(registry.classifier(chosen).source)
        except PlaygroundError as error:
            return {card: notice(str(error), error=True), curve: gr.update(visible=False)}
        shown = {card: markdown(found.card)}
        if found.curve is None:
            return {**shown, curve: gr.update(visible=False)}
        drawn = figures.training_curve(found.curve)
        return {**shown, curve: gr.update(value=drawn, visible=True)}

    fold.expand(show, classifier, [card, curve], **quiet())
