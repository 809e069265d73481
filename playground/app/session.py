"""What the page's listeners share: reading the inputs, scoring, and turning errors into one line."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import gradio as gr

from playground.app.markup import notice
from playground.app.registry import Registry
from playground.engine import Explanation
from playground.errors import PlaygroundError
from playground.prompts import Prompt, ScoringOptions, Template, Verbalizer
from playground.settings import Settings

T = TypeVar("T")
log = logging.getLogger("playground")
BROKEN = "Something went wrong on our side; your text is untouched. Please try again."


@dataclass(frozen=True)
class Inputs:
    """The values of the Classify inputs, in the order in which they are wired."""

    model: str
    text: str
    second_text: str
    template: str
    label_words: str
    aggregation: str
    calibration: str
    domain: str
    prior_texts: str
    fill_order: str
    pieces: str

    def prompt(self) -> Prompt:
        """Return the prompt as edited; raises PlaygroundError for what is missing or wrong."""
        return Prompt(
            Template(self.template or ""),
            Verbalizer.from_text(self.label_words or ""),
            ScoringOptions(
                aggregation=self.aggregation,
                calibration=self.calibration,
                domain=(self.domain or "").strip(),
                prior_texts=tuple(t for t in (self.prior_texts or "").splitlines() if t.strip()),
                fill_order=self.fill_order,
                pieces=self.pieces,
            ),
        )

    def row(self, prompt: Prompt) -> dict[str, str]:
        """Return the texts by field, for a template with up to two fields."""
        fields = prompt.template.fields
        if len(fields) > 2:
            raise PlaygroundError(
                f"The template takes {len(fields)} texts and the page has two; use the Python API."
            )
        return dict(zip(fields, (self.text or "", self.second_text or ""), strict=False))


def explain(registry: Registry, inputs: Inputs) -> Explanation:
    """Return the live result of Classify. No visitor's state is kept."""
    prompt = inputs.prompt()
    return registry.get(inputs.model).explain(inputs.row(prompt), prompt)


Updates = dict[Any, Any]
Listener = Callable[..., Updates]


def said_in(told: gr.HTML) -> Callable[[Listener], Listener]:
    """Decorate a listener that returns updates by component: what went wrong is said in ``told``.

    After an error no other component changes, so that the last result stays on the page.
    """

    def decorate(listener: Listener) -> Listener:
        @functools.wraps(listener)
        def guarded(*args: Any, **kwargs: Any) -> Updates:
            try:
                return {told: notice(""), **listener(*args, **kwargs)}
            except PlaygroundError as error:
                return {told: notice(str(error), error=True)}
            except Exception:
                log.exception("a listener failed")
                return {told: notice(BROKEN, error=True)}

        return guarded

    return decorate


def download(name: str, kind: str, text: str) -> str:
    """Return what the page's download script takes: a file's name, MIME type and text."""
    return json.dumps({"name": name, "type": kind, "text": text})


def still_kept(found: T | None, gone: str) -> T:
    """Return what a page's state holds; PlaygroundError with the sentence ``gone`` once it has expired."""
    if found is None:
        raise PlaygroundError(gone)
    return found


def picker_label(kind: str, settings: Settings) -> str:
    """Return the label of a box that names a model, with what may be typed into it."""
    if settings.hosted:
        return kind
    return (
        f"{kind}: shipped, a hub id or a folder"
        if settings.alone
        else f"{kind}: shipped or a hub id"
    )


def live(registry: Registry) -> dict[str, Any]:
    """Return the wiring of live events: the newest edit always wins, and nothing flickers."""
    return {
        "trigger_mode": "always_last",
        "show_progress": "hidden",
        "concurrency_id": "model",
        "concurrency_limit": registry.settings.concurrency,
        "api_visibility": "private",
    }


def quiet() -> dict[str, Any]:
    """Return the wiring of a click that is no public endpoint."""
    return {"show_progress": "hidden", "api_visibility": "private"}


@dataclass
class Halt:
    """A visitor's wish to stop a run, which looks at it after each part.

    A run that Gradio cancels may still paint its last part over what Stop has painted.
    """

    asked: bool = False


def ask_to_stop(halt: Halt | None) -> None:
    """Ask the run that holds ``halt`` to stop; the listener of a Stop button."""
    if halt is not None:
        halt.asked = True


def told_run(steps: Iterator[Updates], told: gr.HTML, idle: Updates) -> Iterator[Updates]:
    """Yield the updates of a run; what goes wrong is said in ``told``, and ``idle`` ends the run."""
    try:
        yield from steps
    except PlaygroundError as error:
        yield {told: notice(str(error), error=True), **idle}
    except Exception:
        log.exception("a run failed")
        yield {told: notice(BROKEN, error=True), **idle}


def stoppable(
    go: gr.Button,
    stop: gr.Button,
    make: Callable[..., Iterator[Any]],
    draw: Callable[[Any, bool], str],
    inputs: list,
    *,
    told: gr.HTML,
    result: gr.HTML,
    kept: gr.State,
    exports: Sequence[gr.Button] = (),
) -> None:
    """Wire a run over rows: ``go`` starts it, ``stop`` ends it after the part in hand.

    ``make`` takes the inputs and yields what there is so far, which ``draw`` shows (and is told whether
    Stop was pressed) and ``kept`` keeps. ``exports`` appear when it ends.
    """
    halting = gr.State(None)  # for as long as the run takes
    idle = {stop: gr.update(visible=False), go: gr.update(interactive=True)}

    def parts(*values: Any) -> Iterator[Updates]:
        steps, halt = make(*values), Halt()
        yield {
            told: notice(""),
            stop: gr.update(visible=True),
            go: gr.update(interactive=False),
            halting: halt,
        }
        for step in steps:
            yield {result: draw(step, halt.asked), kept: step}
            if halt.asked:
                break
        yield {**idle, **{button: gr.update(visible=True) for button in exports}}

    def run(*values: Any) -> Iterator[Updates]:
        yield from told_run(parts(*values), told, idle)

    go.click(
        run,
        inputs,
        [told, result, kept, halting, stop, go, *exports],
        show_progress="hidden",
        concurrency_id="tables",
        concurrency_limit=1,
        api_visibility="private",
    )
    stop.click(ask_to_stop, halting, None, **quiet())


def leaves(
    button: gr.Button, make: Listener, inputs: Any, outputs: list, payload: gr.Textbox, script: str
) -> None:
    """Wire a button whose result leaves the page: ``make`` fills ``payload``, ``script`` takes it.

    The payload is cleared first, so that an error leaves nothing for the script to take.
    """
    clear = button.click(lambda: "", None, payload, queue=False, **quiet())
    clear.then(make, inputs, [payload, *outputs], **quiet()).then(
        None, payload, None, js=script, **quiet()
    )


def texts_in(argument: str, advice: str) -> tuple[str, ...]:
    """Return the list of texts that a button of ours carries; raises PlaygroundError for another."""
    try:
        values = json.loads(argument)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise PlaygroundError(f"That example cannot be read; {advice}.")
    return tuple(values)


def joined(values: Sequence[str]) -> tuple[str, str]:
    """Return the first two of ``values``, missing ones empty."""
    first, second, *_ = [*values, "", ""]
    return first, second
