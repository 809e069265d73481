"""``playground tune mistakes``: what it prints, its numbers, and one sentence an error."""

from __future__ import annotations

import json

import pytest

from playground.cli import main
from playground.cli.mistakes import _NAMES
from playground.tasks.tuning.mistakes import MISTAKES

FEW = ["--shots", "2", "--steps", "1", "--batch", "2", "--most", "6"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")


def test_the_command_knows_all_mistakes():
    assert list(_NAMES) == list(MISTAKES)


def test_a_mistake_is_shown_beside_the_right_way(tmp_path, capsys):
    out = tmp_path / "numbers.json"
    command = ["tune", "mistakes", "assets/examples/reviews.csv", "--prompt", "sentiment", *FEW]
    assert main([*command, "--mistake", "label-word", "mask-cut-off", "--json", str(out),
                 "--template", "{mask}: {text}"]) == 0  # fmt: skip
    shown, told = capsys.readouterr()
    assert "mask-cut-off is left out: The mask stands where no text pushes it out" in told
    found = json.loads(out.read_text(encoding="utf-8"))["mistakes"]
    assert [one["name"] for one in found] == ["label-word"]
    assert found[0]["wrong"]["after"]["accuracy"] == found[0]["wrong"]["before"]["accuracy"]
    for text in (
        "A label word encoded out of its place (label-word)",
        "step  loss, right  loss, wrong  dev, right  dev, wrong",
        found[0]["facts"]["said"],
        found[0]["outcome"],
        f"Why: {MISTAKES['label-word'].why}",
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mistake", "label-word", "label-word"], "--mistake names one of them twice; name each once."),
        (["--mistake", "mask-cut-off", "--template", "{mask}: {text}"], "The mask stands where no text pushes it out; take a template with the mask behind the text, or longer texts, to see it cut off."),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_sentence(arguments, message, capsys):
    command = ["tune", "mistakes", "assets/examples/reviews.csv", "--prompt", "sentiment", *FEW]
    assert main([*command, *arguments]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1].removeprefix("playground: ")
    assert told == message
