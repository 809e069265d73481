"""``playground score``, ``eval``, ``tune`` and ``cards`` with a card of rules."""

from __future__ import annotations

import csv
import json
import re

import pytest

from playground import Prompt, RulePrompt, Template, Verbalizer, resources
from playground.cli import main
from playground.engine.tuning.files import load_delta
from playground.tasks.evaluation import read_labelled
from playground.tasks.metrics import measure
from playground.tasks.reading import read_file
from playground.tasks.tuning.runs import measured
from playground.tasks.tuning.shots import draw_shots


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")


@pytest.fixture(scope="module")
def prompt() -> RulePrompt:
    return RulePrompt.load("relations")


@pytest.fixture(scope="module")
def relations(tmp_path_factory) -> str:
    """Four rows of each relation of the shipped sample set."""
    kept: dict[str, list[dict]] = {}
    for row in resources.load_examples("relations"):
        kept.setdefault(row["label"], []).append(row)
    path = tmp_path_factory.mktemp("rows") / "relations.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "head", "tail", "label"])
        writer.writeheader()
        writer.writerows(row for rows in kept.values() for row in rows[:4])
    return str(path)


def sentence(capsys) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("playground: ")


def test_a_table_is_scored_with_rules(relations, prompt, prompting, tmp_path):
    out = tmp_path / "scored.csv"
    assert main(["score", relations, "--prompt", "relations", "-o", str(out)]) == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = prompting.classify(rows, prompt)
    assert [row["prediction"] for row in rows] == scores.predictions
    for row, expected in zip(rows, scores.probabilities, strict=True):
        shares = [float(row[f"p_{label}"]) for label in prompt.labels]
        assert shares == pytest.approx(expected.tolist(), abs=1e-4)


def test_rules_are_measured_beside_a_prompt_of_one_mask(
    relations, prompt, prompting, tmp_path, capsys
):
    one, numbers = tmp_path / "one.json", tmp_path / "numbers.json"
    words = [["born"], ["hired"], ["married"], ["raised"], ["based"], ["founded"]]
    Prompt(
        Template("{text} {head} was {mask} by {tail}."),
        Verbalizer(dict(zip(prompt.labels, words, strict=True))),
    ).save(one)
    command = ["eval", relations, "--prompt", "relations", str(one), "--ensemble"]
    assert main([*command, "--json", str(numbers)]) == 0
    shown = capsys.readouterr().out
    assert "24 rows; majority label 16.7%, at random 16.7%" in shown
    found = {one["name"]: one for one in json.loads(numbers.read_text())["results"]}
    assert len(found) == 6
    labelled = read_labelled(read_file(relations), prompt)
    for calibration in ("none", "contextual"):
        card = prompt.to_json() | {"scoring": {"calibration": calibration}}
        shares = prompting.classify(labelled.rows, RulePrompt.from_json(card)).probabilities
        name = f"relations · {prompt.template.source} · {calibration}"
        assert found[name]["accuracy"] == measure(shares, labelled.gold).accuracy


def test_rules_are_tuned_and_used(relations, prompt, prompting, tmp_path, capsys):
    out, numbers = tmp_path / "out", tmp_path / "numbers.json"
    command = ["tune", relations, "--prompt", "relations", "--method", "bias", "--shots", "1"]
    command += ["--seeds", "1", "--steps", "2", "--out", str(out), "--json", str(numbers)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "bias, mean of 1" in shown
    assert "zero-shot, calibrated" in shown
    delta = load_delta(out)
    assert delta.prompt == prompt
    labelled = read_labelled(read_file(relations), prompt)
    held_out = draw_shots(labelled, shots=1, seeds=(0,), most=2000).held_out
    expected = measured(prompting.tuned(delta), prompt, held_out, "x").metrics.accuracy
    found = json.loads(numbers.read_text())["methods"][0]["seeds"][0]["held_out"]
    assert found["accuracy"] == expected
    scored = tmp_path / "scored.csv"
    assert main(["score", relations, "--tuned", str(out), "-o", str(scored)]) == 0
    assert "p_founded_by" in scored.read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["score", "FILE", "--prompt", "relations", "--template", "{text} {mask}"], 'The template of a rule prompt is composed of its sub-prompts and cannot be "{text} {mask}"; change them in the card.'),
        (["score", "FILE", "--prompt", "relations", "--calibration", "domain"], 'The calibration is "domain"; a rule prompt takes none or contextual.'),
        (["score", "FILE", "--prompt", "relations", "--text-column", "text"], 'The template takes "text", "head", "tail"; name their columns with --columns text=COLUMN head=COLUMN tail=COLUMN.'),
        (["eval", "FILE", "--prompt", "relations", "--sensitivity"], 'The card "relations" is one of rules and --sensitivity takes prompts with one mask; leave it out.'),
        (["eval", "FILE", "--prompt", "relations", "--probe"], 'The card "relations" is one of rules and --probe takes prompts with one mask; leave it out.'),
        (["eval", "FILE", "--prompt", "sentiment", "relations", "--text-column", "text", "--labels", "born_in=positive"], "compare prompts with the same labels."),
        (["tune", "FILE", "--prompt", "relations", "--method", "cls", "--shots", "1", "--out", "OUT"], "The method cls has a head of its own and reads no rules; choose one of whole, bias, lora, soft."),
        (["tune", "pet", "FILE", "--prompt", "RULES", "--out", "OUT"], "The prompt card is one of rules, with several masks; this takes a card with one mask."),
        (["ner", "FILE", "--prompt", "RULES"], "The prompt card is one of rules, with several masks; this takes a card with one mask."),
    ],
)  # fmt: skip
def test_what_rules_cannot_do_is_one_sentence(command, message, relations, tmp_path, capsys):
    named = {
        "FILE": relations,
        "OUT": str(tmp_path / "out"),
        "RULES": str(resources.card_path("relations", "rules")),
    }
    assert main([named.get(word, word) for word in command]) == 2
    assert message in sentence(capsys)


def test_the_card_is_listed_behind_the_others_and_printed(tmp_path, prompt, capsys):
    assert main(["cards"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.split(r" {2,}", last) == ["relations", "rules", ", ".join(prompt.labels)]
    assert main(["cards", "relations"]) == 0
    (tmp_path / "mine.json").write_text(capsys.readouterr().out, encoding="utf-8")
    assert RulePrompt.load(tmp_path / "mine.json") == prompt
