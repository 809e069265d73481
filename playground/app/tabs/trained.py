"""What a training has left on the page: used in the other tabs, forgotten, taken away, opened again."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from playground.app import train_view
from playground.app.markup import notice
from playground.app.model_names import DELTA_FILE, base_of
from playground.app.registry import Registry
from playground.app.session import Inputs, download, leaves, quiet, said_in
from playground.app.tabs.classify import ClassifyTab, input_values
from playground.app.tabs.columns import CompareTab
from playground.app.theme import DOWNLOAD_JS, actions_js
from playground.app.train_view import Asked
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.files import delta_bytes, delta_from_bytes
from playground.errors import PlaygroundError
from playground.prompts import Prompt, RulePrompt
from playground.tasks.tuning.card import delta_card
from playground.tasks.tuning.watched import Watched

NONE_YET = "Nothing has been trained on this page yet, or it is gone; press Train, or open a file."
_REPORTED = (
    "recipe",
    "rows",
    "dev_rows",
    "steps",
    "best_step",
    "dev_accuracy",
    "start_dev_accuracy",
)
_NUMBERS = ("batch_size", "seed", "learning_rate")
Names = tuple[str, ...]  # what this page has put into its own model picker


@dataclass(frozen=True)
class Kept:
    """What the tab shows: the name of the tuned model in the store, and the training, if it was here."""

    name: str
    found: Watched | None = None

    def drawn(self, delta: Delta, asked: Sequence[Asked]) -> str:
        """Return the right side of the tab."""
        if self.found is None:
            return train_view.opened(delta, asked)
        return train_view.report(self.found, asked)


@dataclass(frozen=True)
class Results:
    """The components that show what was trained, and the buttons that do something with it."""

    told: gr.HTML
    result: gr.HTML
    kept: gr.State
    mine: gr.State
    use: gr.Button
    forget: gr.Button
    save: gr.Button
    card: gr.Button
    payload: gr.Textbox

    @property
    def buttons(self) -> list:
        return [self.use, self.forget, self.save, self.card]

    def shown(self, visible: bool) -> dict:
        """Return the updates that show the buttons, or hide them."""
        return {button: gr.update(visible=visible) for button in self.buttons}


def keep(registry: Registry, delta: Delta, base: str, owner: str) -> str:
    """Put what was tuned into the store, and return the name that its page alone gets to know."""
    return registry.tuned.keep(delta, base=base, title=train_view.title(delta), owner=owner)


def titled(registry: Registry, names: Names) -> list[tuple[str, str]]:
    """Return the titles and names of a page's tuned models that are still there, no title twice."""
    found: list[tuple[str, str]] = []
    count: dict[str, int] = {}
    for name in names:
        try:
            title = registry.tuned.title(name)
        except PlaygroundError:
            continue  # it is gone, and is offered no longer
        count[title] = count.get(title, 0) + 1
        found.append((title if count[title] == 1 else f"{title} ({count[title]})", name))
    return found


def asked_of(registry: Registry, name: str, inputs: Inputs) -> tuple[Asked, ...]:
    """Return what the text of Classify gets before and after tuning; nothing where that cannot be said."""
    try:
        delta = registry.tuned.delta(name)
        prompt = inputs.prompt()
        row = inputs.row(prompt)
        found = []
        if not prompt.template.soft_tokens:
            base = registry.get(registry.tuned.base(name))
            said = f"Before tuning (calibration {prompt.scoring.calibration})"
            found.append((said, base.classify([row], prompt, words=False)))
        tuned = registry.get(name).classify([row], delta.prompt)
        found.append(("After tuning", tuned))
    except PlaygroundError:  # Classify says what is missing there
        return ()
    if any(scores.errors for _, scores in found):
        return ()
    return tuple(
        Asked(said, scores.labels, tuple(scores.probabilities[0].tolist()))
        for said, scores in found
    )


def from_file(registry: Registry, content: str, model: str) -> tuple[Delta, str]:
    """Return the delta in a file that the browser read, as base64, and the model that it changes.

    The model is the page's own choice, never one that the file names. Raises PlaygroundError, in one
    sentence, for a file that is too large, damaged, hostile, or of another model.
    """
    most = registry.settings.max_tuned_file_mb << 20
    if len(content) > 4 * (most // 3 + 1):
        raise PlaygroundError(
            f"The file is larger than {most >> 20} MiB; open it with playground score --tuned on a machine "
            "of your own."
        )
    try:
        data = base64.b64decode(content.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise PlaygroundError("The file did not arrive whole; open it again.") from None
    delta = delta_from_bytes(data)
    if isinstance(delta.prompt, RulePrompt):
        raise PlaygroundError(
            "The file holds a prompt with rules, which the page does not take; use it with "
            "playground score --tuned."
        )
    delta = _bare(delta)
    base = base_of(registry, model)
    tuned = registry.get(base).tuned(delta)
    row = dict.fromkeys(delta.prompt.template.fields, "A film.")
    scores = tuned.classify([row], delta.prompt)
    if scores.errors or not bool(np.isfinite(scores.probabilities).all()):
        raise PlaygroundError(
            "The file's numbers break the model: it scores a plain text with none; get the file again."
        )
    return delta, base


def _bare(delta: Delta) -> Delta:
    """Return a delta without what nobody reads of it, which the store's cap would not count."""
    if len(delta.base) > 500 or not delta.base.isprintable():
        raise PlaygroundError("The file names no model that it was tuned on; get it again.")
    prompt, report = delta.prompt, {n: delta.report[n] for n in _REPORTED if n in delta.report}
    numbers = {n: v for n, v in report.get("recipe", {}).items() if n in _NUMBERS}
    return replace(
        delta,
        prompt=Prompt(prompt.template, prompt.verbalizer, prompt.scoring),
        report={**report, "recipe": numbers},
    )


def build_results() -> Results:
    """Build the right side of the tab inside the current column."""
    told = gr.HTML(notice(""), elem_id="train-notice")
    result = gr.HTML("", elem_id="train-result", js_on_load=actions_js())
    with gr.Row(elem_classes="pp-exports"):
        use = gr.Button(
            "Use it in the other tabs",
            variant="primary",
            size="sm",
            visible=False,
            elem_id="train-use",
        )
        save = gr.Button("Download", size="sm", visible=False, elem_id="train-save")
        card = gr.Button("Card", size="sm", visible=False, elem_id="train-card")
        forget = gr.Button("Forget it", size="sm", visible=False, elem_id="train-forget")
    payload = gr.Textbox(visible="hidden", elem_id="train-payload", label="Export")
    kept, mine = gr.State(None, time_to_live=3600), gr.State(())
    return Results(told, result, kept, mine, use, forget, save, card, payload)


def wire_results(
    registry: Registry,
    parts: Results,
    model: gr.Dropdown,
    classify: ClassifyTab,
    compare: CompareTab,
    tabs: gr.Tabs,
) -> None:
    """Wire the buttons under a training."""
    pickers = [model, *(column.boxes[2] for column in compare.columns)]

    def offered(names: Names) -> list[Any]:
        return [*registry.settings.model_choices, *titled(registry, names)]

    @said_in(parts.told)
    def use(kept: Kept | None, mine: Names, *values: str):
        name = _name(kept)
        delta = registry.tuned.delta(name)
        names = tuple(dict.fromkeys([*(mine or ()), name]))
        inputs = Inputs(*values)
        choices = gr.update(choices=offered(names))
        filled = input_values(delta.prompt, (inputs.text, inputs.second_text))
        return {
            parts.mine: names,
            **dict(zip(classify.inputs[1:], filled, strict=True)),
            **dict.fromkeys(pickers, choices),
            model: gr.update(choices=offered(names), value=name),
            tabs: gr.update(selected="classify"),
        }

    parts.use.click(
        use,
        [parts.kept, parts.mine, *classify.inputs],
        [parts.told, parts.mine, *classify.inputs[1:], *pickers, tabs],
        **quiet(),
    )

    @said_in(parts.told)
    def forget(kept: Kept | None, mine: Names, *chosen: str):
        name = _name(kept)
        try:
            base = registry.tuned.base(name)
        except PlaygroundError:
            base = registry.settings.model
        registry.tuned.forget([name])
        names = tuple(one for one in mine or () if one != name)
        updates: dict[Any, Any] = {}
        for picker, value in zip(pickers, chosen, strict=True):
            change = {"value": base} if value == name else {}
            updates[picker] = gr.update(choices=offered(names), **change)
        return {
            **updates,
            parts.kept: None,
            parts.mine: names,
            **parts.shown(False),
            parts.told: notice("It is forgotten; its numbers stay here until the next training."),
        }

    parts.forget.click(
        forget,
        [parts.kept, parts.mine, *pickers],
        [parts.told, parts.kept, parts.mine, *parts.buttons, *pickers],
        **quiet(),
    )

    # What was tuned goes from memory to the browser as base64 within the answer to the visitor's own
    # click, whatever its size up to the cap: no file is made on this machine and no address leads to it,
    # so that nobody else has anything to fetch or to guess.
    @said_in(parts.told)
    def make_file(kept: Kept | None):
        delta = registry.tuned.delta(_name(kept))
        most = registry.settings.max_tuned_file_mb
        if delta.nbytes > most << 20:
            raise PlaygroundError(
                f"What was tuned has {train_view.size(delta.nbytes)} and the page hands out {most} MiB; "
                "playground tune, as below, writes it to a folder."
            )
        return {parts.payload: download_bytes(DELTA_FILE, delta_bytes(delta))}

    @said_in(parts.told)
    def make_card(kept: Kept | None):
        text = delta_card(registry.tuned.delta(_name(kept)))
        return {parts.payload: download("tuned-prompt.md", "text/markdown", text)}

    for button, make in ((parts.save, make_file), (parts.card, make_card)):
        leaves(button, make, [parts.kept], [parts.told], parts.payload, DOWNLOAD_JS)


def wire_file(registry: Registry, parts: Results, chooser: gr.HTML, classify: ClassifyTab) -> None:
    """Wire the opening of a file of a tuned prompt."""

    @said_in(parts.told)
    def open_file(event: gr.EventData, request: gr.Request, *values: str):
        inputs = Inputs(*values)
        if event.act == "large":
            most = registry.settings.max_tuned_file_mb
            raise PlaygroundError(
                f"The file is larger than {most} MiB; open it with playground score --tuned on a machine "
                "of your own."
            )
        delta, base = from_file(registry, str(event.arg), inputs.model)
        kept = Kept(keep(registry, delta, base, request.session_hash or ""))
        asked = asked_of(registry, kept.name, inputs)
        return {
            parts.kept: kept,
            parts.result: kept.drawn(delta, asked),
            parts.told: notice("It is open. Use it in the other tabs, or look at it here."),
            **parts.shown(True),
        }

    chooser.click(
        open_file,
        classify.inputs,
        [parts.told, parts.result, parts.kept, *parts.buttons],
        concurrency_id="tuned-files",
        concurrency_limit=1,
        **quiet(),
    )


def download_bytes(name: str, data: bytes) -> str:
    """Return what the page's download script takes, for a file that is no text."""
    coded = base64.b64encode(data).decode("ascii")
    return json.dumps({"name": name, "type": "application/octet-stream", "base64": coded})


def _name(kept: Kept | None) -> str:
    if kept is None:
        raise PlaygroundError(NONE_YET)
    return kept.name
