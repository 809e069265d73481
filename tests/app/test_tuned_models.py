"""Deltas of visitors: found by their name alone, under caps of bytes, number and time, from any thread."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from playground import Prompt
from playground.app.registry import Registry
from playground.app.tuned_models import PREFIX, TunedModels, size_of
from playground.engine.tuning.delta import Delta
from playground.errors import PlaygroundError
from playground.settings import Settings
from tests.engine import tiny

GONE = (
    "This tuned model is gone from the page's memory; tune it again or open its file, or choose another "
    "model."
)
PROMPT = Prompt.load("sentiment").with_template("{text} It was {mask}.")


def delta(nbytes: int = 400, base: str = "tiny", revision: str = "x") -> Delta:
    change = torch.zeros(nbytes // 4, dtype=torch.float32)
    return Delta("whole", base, revision, PROMPT, {"change:some.bias": change})


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(clock):
    def make(**changes: int) -> TunedModels:
        return TunedModels(replace(Settings(), **changes), clock=clock)

    return make


def gone(tuned: TunedModels, name: str) -> bool:
    try:
        tuned.delta(name)
    except PlaygroundError as error:
        return str(error) == GONE
    return False


def test_what_is_kept_is_found_by_its_name(made):
    tuned, one = made(), delta()
    name = tuned.keep(one, base="tiny", title="reviews")
    assert re.fullmatch(rf"{PREFIX}[\w-]{{32}}", name)
    assert tuned.delta(name) is one
    assert (tuned.base(f" {name} "), tuned.title(name)) == ("tiny", "reviews")
    assert (tuned.nbytes, len(tuned)) == (size_of(one), 1)
    assert 400 < size_of(one) < 20_000
    tuned.forget([name, name, "tuned:other"])
    assert gone(tuned, name)
    assert (tuned.nbytes, len(tuned)) == (0, 0)


def test_names_are_never_given_twice(made):
    tuned = made()
    names = [tuned.keep(delta(4), base="tiny", title="") for _ in range(2000)]
    assert len(set(names)) == 2000


def test_where_room_is_short_the_least_recently_used_goes(made):
    tuned = made(tuned_mb=1)
    part = 300 << 10
    names = [tuned.keep(delta(part), base="tiny", title=str(k)) for k in range(3)]
    tuned.title(names[0])
    names.append(tuned.keep(delta(part), base="tiny", title="3"))
    assert [gone(tuned, name) for name in names] == [False, True, False, False]
    whole = tuned.keep(delta(1000 << 10), base="tiny", title="all")
    assert [gone(tuned, name) for name in names] == [True] * 4
    message = (
        "What was tuned has 2 MiB and this app keeps 1 MiB for all visitors; download it, or choose a "
        "smaller method such as lora."
    )
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        tuned.keep(delta(2 << 20), base="tiny", title="")
    assert not gone(tuned, whole)  # what was refused pushed nothing out


def test_a_report_counts_as_much_as_tensors(made):
    tuned = made(tuned_mb=1)
    long = replace(delta(4), report={"recipe": "x" * 60_000})
    names = [tuned.keep(long, base="tiny", title="") for _ in range(3)]
    assert [gone(tuned, name) for name in names] == [True, True, False]


def test_a_visitor_pushes_out_its_own_first(made):
    tuned = made(tuned_each=2)
    other = tuned.keep(delta(), base="tiny", title="", owner="b")
    own = [tuned.keep(delta(), base="tiny", title="", owner="a") for _ in range(3)]
    assert [gone(tuned, name) for name in own] == [True, False, False]
    assert not gone(tuned, other)


def test_what_a_visitor_tuned_goes_with_the_page_and_nothing_else(made):
    tuned = made()
    own = [tuned.keep(delta(), base="tiny", title="", owner="a") for _ in range(2)]
    others = [tuned.keep(delta(), base="tiny", title="", owner=owner) for owner in ("b", "")]
    tuned.forget_owner("a")
    assert [gone(tuned, name) for name in (*own, *others)] == [True, True, False, False]
    for nobody in ("", None, "a"):
        tuned.forget_owner(nobody)
    assert (len(tuned), tuned.nbytes) == (2, 2 * size_of(delta()))


def test_what_is_idle_goes(made, clock):
    tuned = made(tuned_minutes=60)
    first, second = (tuned.keep(delta(), base="tiny", title="") for _ in range(2))
    clock.seconds = 3599
    assert not gone(tuned, second)
    clock.seconds = 3601
    assert gone(tuned, first)
    assert not gone(tuned, second)
    clock.seconds = 3599 + 3601 + 3601
    assert (tuned.nbytes, len(tuned)) == (0, 0)


def test_a_tuned_model_is_not_tuned_again(made):
    """Opening it would wait for itself, and all others with it."""
    tuned = made()
    message = "A tuned model cannot be tuned again; choose the model that it was made from."
    with pytest.raises(PlaygroundError, match=f"^{message}$"):
        tuned.keep(delta(), base=tuned.keep(delta(), base="tiny", title=""), title="")


def test_caps_hold_at_every_moment_while_threads_keep_find_and_forget(made):
    tuned = made(tuned_mb=1, tuned_each=4)
    over, wrong, stop = [], [], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if tuned.nbytes > 1 << 20:
                over.append(tuned.nbytes)

    def visit(number: int) -> None:
        for turn in range(60):
            mine = delta(4 * (number + 1) << 10)
            name = tuned.keep(mine, base="tiny", title="", owner=str(number))
            try:
                found: object = tuned.delta(name)
            except PlaygroundError as error:
                found = str(error)
            if found is not mine and found != GONE:  # it may have been pushed out meanwhile
                wrong.append(found)
            if turn % 3 == 0:
                tuned.forget([name])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(16) as visitors:
            list(visitors.map(visit, range(16)))
    finally:
        stop.set()
        watcher.join()
    assert not over
    assert not wrong
    assert len(tuned) <= 16 * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(tiny.save("bert", tmp_path_factory.mktemp("tuned") / "tiny"))


def test_a_hundred_opens_from_threads_keep_as_many_open_as_there_are_slots(folder):
    registry = Registry(replace(Settings(), model=folder, tuned_slots=2, threads=1))
    base = registry.get()
    weight = "cls.predictions.bias"
    names = []
    for k in range(4):
        change = torch.full((base.backbone.vocabulary_size,), float(k))
        change[0] = 5.0
        one = Delta("bias", "tiny", base.backbone.revision, PROMPT, {f"change:{weight}": change})
        names.append(registry.tuned.keep(one, base=folder, title=str(k)))
    plain = base.backbone.model.get_output_embeddings().bias.clone()

    def ask(turn: int) -> bool:
        found = registry.get(names[turn % 4]).backbone.model.get_output_embeddings().bias
        return torch.allclose(found[1:] - plain[1:], torch.tensor(float(turn % 4)), atol=1e-5)

    with ThreadPoolExecutor(4) as visitors:
        assert all(visitors.map(ask, range(32)))
    assert len(registry.tuned._open) == 2
    registry.tuned.forget(names)
    assert len(registry.tuned._open) == 0
    for name in names:
        with pytest.raises(PlaygroundError, match=f"^{re.escape(GONE)}$"):
            registry.get(name)
