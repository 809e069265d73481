"""``playground layers`` and ``attention``: the engine's numbers in a terminal, and as JSON."""

from __future__ import annotations

import json

import pytest

from playground.cli import main

TEXT = "Paris is the capital of [MASK]."


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")
    monkeypatch.setenv("PLAYGROUND_DEVICE", "cpu")


def test_layers_are_a_line_each(prompting, capsys):
    assert main(["layers", TEXT, "--top", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    view = prompting.layers(TEXT, top_k=2)
    assert head.split() == ["layer", view.winner, "likeliest"]
    assert len(lines) == len(view)
    for layer, (line, top) in enumerate(zip(lines, view.layers, strict=True)):
        first, second = top
        assert line.split() == [
            str(layer), f"{view.probabilities[layer]:.3%}", f"#{view.ranks[layer]:,}",
            first.token, f"{first.probability:.1%}", second.token, f"{second.probability:.1%}",
        ]  # fmt: skip


def test_a_head_is_a_table(prompting, capsys):
    assert main(["attention", TEXT, "--layer", "2", "--head", "3"]) == 0
    head, *lines, last = capsys.readouterr().out.splitlines()
    found = prompting.attention(TEXT)
    assert head.split() == list(found.tokens)
    for line, token, row in zip(lines, found.tokens, found.weights[1, 2], strict=True):
        assert line.split() == [token, *(f"{100 * share:.1f}" for share in row)]
    bits = found.entropies()[1, 2]
    assert last == f"layer 2 of {found.layers}, head 3 of {found.heads}: {bits:.2f} bits"


def test_both_are_json(prompting, capsys):
    assert main(["layers", TEXT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == prompting.layers(TEXT).to_json()
    assert main(["attention", TEXT, "--json", "--head", "4"]) == 0
    assert json.loads(capsys.readouterr().out) == prompting.attention(TEXT).to_json(1, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "no gap"], '"no gap" has no mask; write {mask} where a word is missing.'),
        (["layers", "{mask} {mask}"], "The text has 2 masks and the layers are read at one; write {mask} once."),
        (["attention", TEXT, "--layer", "99"], "The layer is 99; this model has {layers}."),
        (["attention", TEXT, "--head", "77"], "The head is 77; this model has {heads}."),
        (["layers", TEXT, "--model", "/no/such"], 'The model "/no/such" is neither a folder here nor a hub id'),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence(arguments, message, prompting, capsys):
    assert main(arguments) == 2
    found = prompting.attention(TEXT)
    for name, number in (("{layers}", found.layers), ("{heads}", found.heads)):
        message = message.replace(name, str(number))
    assert capsys.readouterr().err.startswith(f"playground: {message}")


@pytest.mark.parametrize("arguments", [["layers", TEXT, "--top", "0"], ["attention", TEXT, "--head", "-1"]])  # fmt: skip
def test_a_wrong_number_is_refused(arguments, capsys):
    assert main(arguments) == 2
    assert "is not a whole number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["layers", "attention"])
def test_each_command_is_explained_with_examples(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"examples:\n  playground {command}" in capsys.readouterr().out
