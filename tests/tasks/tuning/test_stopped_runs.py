"""Runs that are killed again and again, at moments drawn by chance, end in the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from playground.cli import main
from playground.tasks.tuning import keeping
from tests.processes import PROCESSES
from tests.tasks.tuning.conftest import PLACES, THINGS


@pytest.fixture(scope="module")
def given(model, prompt, tmp_path_factory) -> list[str]:
    """The rows, the card and the tiny model, as arguments of both commands."""
    folder = tmp_path_factory.mktemp("given")
    lines = [
        f"A {word} {thing} {place} that I {verb}.,{label}\n"
        for word, verb, label in (("good", "loved", "positive"), ("bad", "hated", "negative"))
        for thing in THINGS
        for place in PLACES
    ]
    (folder / "rows.csv").write_text(f"text,label\n{''.join(lines)}", encoding="utf-8")
    prompt.save(folder / "card.json")
    named = ["--prompt", str(folder / "card.json"), "--model", str(model.backbone.source.location)]
    return [str(folder / "rows.csv"), *named, "--shots", "4"]


class Ended(NamedTuple):
    """How a process ended: its status, or minus the signal; and what it printed."""

    status: int
    shown: str
    told: str


def run(command: list[str], logs: Path, *, fatal: int = 0, after: float = 0.0) -> Ended:
    """Run a command in a process of its own, which dies ``after`` seconds from its ``fatal``-th fsync.

    It dies of SIGALRM, which nobody handles: at any instruction, with no more ado than of SIGKILL, and
    at that moment however busy the machine is.
    """
    process = PROCESSES.Process(target=_run, args=(command, logs, fatal, after))
    process.start()
    process.join(120)
    shown, told = ((logs / name).read_text(encoding="utf-8") for name in ("shown", "told"))
    assert process.exitcode is not None
    return Ended(process.exitcode, shown, told)


def _run(command: list[str], logs: Path, fatal: int, after: float) -> None:
    keeping._SAVE_SECONDS = 0.0  # the state is saved after each step, not each 20 seconds
    os.environ["PLAYGROUND_THREADS"] = "1"
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    plain, seen = os.fsync, 0

    def counted(file: int) -> None:
        nonlocal seen
        seen += 1
        if seen == fatal:
            signal.setitimer(signal.ITIMER_REAL, after)
        plain(file)

    os.fsync = counted
    shown, told = ((logs / name).open("w", encoding="utf-8") for name in ("shown", "told"))
    with shown, told, redirect_stdout(shown), redirect_stderr(told):
        sys.exit(main(command))


def killed_at(command: list[str], logs: Path, fatal: list[int], rng: random.Random) -> None:
    """Run a command once for each of ``fatal``, and see it killed within 5 ms of that fsync."""
    for number in fatal:
        ended = run(command, logs, fatal=number, after=rng.uniform(1e-6, 5e-3))
        assert ended.status == -signal.SIGALRM, ended


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_tuning_that_is_killed_again_and_again_ends_in_the_same_bytes(given, tmp_path):
    command = ["tune", *given, "--seeds", "2", "--steps", "40", "--learning-rate", "1e-3", "--out"]
    whole = run([*command, str(tmp_path / "whole")], tmp_path)
    assert whole.status == 0, whole
    command.append(str(tmp_path / "out"))
    rng = random.Random(7)
    killed_at(command, tmp_path, [1, *(rng.randint(2, 24) for _ in range(3))], rng)
    last = run(command, tmp_path)
    assert last.status == 0, last
    assert "going on at step " in last.told
    assert last.shown == whole.shown
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert len(files(tmp_path / "out")) == 3 + 2 * 4


def test_a_pet_that_is_killed_ends_in_the_same_bytes(given, tmp_path):
    command = ["tune", "pet", *given, "--unlabelled", "12", "--steps", "12", "--last-steps", "30"]
    command += ["--generations", "1", "--out"]
    whole = run([*command, str(tmp_path / "whole")], tmp_path)
    assert whole.status == 0, whole
    command.append(str(tmp_path / "out"))
    # 13 states and 4 files a model: in the second template, and then in the generation's first
    killed_at(command, tmp_path, [25, 33], random.Random(3))
    last = run(command, tmp_path)
    assert last.status == 0, last
    assert "templates: {text} It was {mask}.: done by an earlier run" in last.told
    assert "going on at step " in last.told
    assert last.shown == whole.shown
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert len(files(tmp_path / "out")) == 4 * (1 + 2 * 3)
