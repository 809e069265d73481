"""``bench load``: a class that types in Classify, each request a text of its own, over plain HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from playground.bench.report import Report, Table, circumstances
from playground.bench.sentences import short_texts
from playground.bench.serving import resident, started
from playground.errors import PlaygroundError

PEOPLE, PAUSE_SECONDS, SECONDS = 50, 2.0, 60.0
_LISTENER, _TEXT = "score", "classify-text"
_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent, how long its answer took, and why there was none."""

    sent: float
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Page:
    """What the page sends when one types: its values in order, and the place of the text in them."""

    port: int
    values: tuple[Any, ...]
    place: int

    @classmethod
    def open(cls, port: int) -> Page:
        """Read the page as a browser does; PlaygroundError if it is no app of ours."""
        with contextlib.closing(_connect(port)) as line:
            line.request("GET", "/config")
            config = json.loads(line.getresponse().read())
        boxes = {box["id"]: box["props"] for box in config["components"]}
        for listener in config["dependencies"]:
            names = [boxes[box].get("elem_id") for box in listener["inputs"]]
            if listener["api_name"] == _LISTENER and _TEXT in names:
                values = tuple(boxes[box].get("value") for box in listener["inputs"])
                return cls(port, values, names.index(_TEXT))
        raise PlaygroundError("The app that was started has no Classify tab; update it.")

    def ask(self, line: http.client.HTTPConnection, text: str) -> str | None:
        """Send a text as the page does, wait for its result, and return what went wrong, if anything."""
        values = [*self.values]
        values[self.place] = text
        path = f"/gradio_api/call/{_LISTENER}"
        try:
            line.request("POST", path, json.dumps({"data": values}), _JSON)
            joined = line.getresponse()
            body = joined.read()
            if joined.status != 200:
                return f"status {joined.status}"
            line.request("GET", f"{path}/{json.loads(body)['event_id']}")
            told = line.getresponse().read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            line.close()  # the next request opens it again
            return type(error).__name__
        return None if "event: complete" in told else "no result"


_JSON = {"content-type": "application/json"}


def measure_load(
    *,
    model: str | None,
    say: Callable[[str], None],
    people: int = PEOPLE,
    seconds: float = SECONDS,
) -> Report:
    """Start the app, let ``people`` type for ``seconds``, a request every two, and say how long it took."""
    with started(model, say) as (process, address, _):
        page = Page.open(int(address.rpartition(":")[2]))
        with contextlib.closing(_connect(page.port)) as line:
            for text in short_texts(5, seed=1):  # what is loaded once is no part of it
                page.ask(line, text)
        say(f"{people} people type for {seconds:.0f} seconds")
        answers = crowd(page, people=people, seconds=seconds)
        memory = resident(process.pid)
    facts = circumstances() | {"load average": _load_average()}
    return Report(
        "load", "Prompt Playground, Classify tab", (summary(answers, people, memory),), facts
    )


def crowd(page: Page, *, people: int, seconds: float) -> list[Answer]:
    """Return every answer, of ``people`` who each send a text every two seconds, one after the other."""
    texts = short_texts(max(1, int(people * seconds / PAUSE_SECONDS)))
    end = threading.Event()

    def person(number: int) -> list[Answer]:
        found: list[Answer] = []
        with contextlib.closing(_connect(page.port)) as line:
            for turn, text in enumerate(texts[number::people]):
                due = start + PAUSE_SECONDS * (turn + number / people)
                end.wait(max(0.0, due - time.perf_counter()))
                if end.is_set():
                    break
                sent = time.perf_counter()
                error = page.ask(line, f"{text} {number} {turn}")
                found.append(Answer(sent - start, time.perf_counter() - sent, error))
        return found

    start = time.perf_counter()
    with ThreadPoolExecutor(people) as pool:
        try:
            return [answer for found in pool.map(person, range(people)) for answer in found]
        finally:
            end.set()  # Ctrl-C: nobody sends another


def summary(answers: Sequence[Answer], people: int, memory: float | None) -> Table:
    """Return the table: requests, errors, percentiles of the answers that came, memory."""
    failed = [answer.error for answer in answers if answer.error is not None]
    times = sorted(answer.seconds for answer in answers if answer.error is None)
    if not times:
        raise PlaygroundError(f"No answer came ({failed[0] if failed else 'nothing was asked'}).")
    cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    rows: list[tuple[str, float | int | None, str]] = [
        ("people", people, ""),
        ("requests", len(answers), ""),
        ("requests a second", len(answers) / max(a.sent + a.seconds for a in answers), ""),
        ("errors", len(failed), ""),
        ("answer: median", cuts[49] * 1000, "ms"),
        ("answer: 95th percentile", cuts[94] * 1000, "ms"),
        ("answer: slowest", times[-1] * 1000, "ms"),
        ("resident memory at the end", memory, "MiB"),
    ]
    notes = (
        f"Each person sends a text of its own every {PAUSE_SECONDS:.0f} seconds, and waits for the result.",
        *([f"Errors: {', '.join(sorted(set(failed)))}."] if failed else []),
    )
    kept = tuple(row for row in rows if row[1] is not None)
    return Table("A class in the app", {"": "", "measured": ",.1f", "unit": ""}, kept, notes)


def _connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)


def _load_average() -> str:
    """Return the load of the machine over the last minute: what else ran beside."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
