"""Prompts on labelled rows: the engine's own numbers, forward passes shared, and clear refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from playground import Prompt, Template, Verbalizer
from playground.cli import main
from playground.errors import PlaygroundError
from playground.tasks.evaluation import (
    Candidate,
    candidates,
    ensemble,
    evaluate,
    read_labelled,
    versus,
)
from playground.tasks.reading import Record, Table, read_file

TEXTS = [
    *("I love this film.", "A wonderful evening.", "It was a great and happy day."),
    *("A terrible waste of time.", "I hated every minute.", "The food was awful."),
]
GOLD = ["positive"] * 3 + ["negative"] * 3


@pytest.fixture
def prompt() -> Prompt:
    return Prompt.load("sentiment")


def table(rows, **more) -> Table:
    return Table("The test", lambda: iter([Record(dict(row)) for row in rows]), **more)


def labelled(prompt, texts=TEXTS, gold=GOLD, **options):
    rows = [{"text": text, "label": label} for text, label in zip(texts, gold, strict=True)]
    return read_labelled(table(rows), prompt, **options)


# ---- rows ---------------------------------------------------------------------------------------


def test_labels_are_found_by_name(prompt):
    rows = labelled(prompt, gold=["Positive", " positive", "POSITIVE", *GOLD[3:]])
    assert rows.labels == ("positive", "negative")
    assert rows.gold.tolist() == [0, 0, 0, 1, 1, 1]
    assert rows.rows[0] == {"text": TEXTS[0]}


def test_labels_that_differ_in_case_alone_stay_apart():
    countries = Prompt(
        Template("{text} {mask}"), Verbalizer({"US": ["country"], "us": ["we"], "It": ["it"]})
    )
    rows = labelled(countries, gold=["US", "us", "it", "IT", "us", "US"])
    assert rows.gold.tolist() == [0, 1, 2, 2, 1, 0]
    rows = labelled(
        countries, gold=["Us", "us", "us", "us", "us", "them"], label_names={"them": "US"}
    )
    assert (rows.gold.tolist(), rows.faulty) == ([1, 1, 1, 1, 0], 1)
    assert rows.problems[0].startswith('row 1: The label "Us" is none of the prompt')


def test_a_label_of_thousands_of_digits_costs_its_row_alone(prompt):
    rows = labelled(prompt, gold=["9" * 5000, *GOLD[1:]])
    assert (len(rows), rows.faulty) == (5, 1)


def test_labels_take_the_names_that_one_gives(prompt):
    names = {"pos": "positive", "0": "negative"}
    rows = labelled(prompt, gold=["pos"] * 3 + [0, "0", 0], label_names=names)
    assert rows.gold.tolist() == [0, 0, 0, 1, 1, 1]


def test_numbers_take_the_names_of_the_data_set(prompt):
    rows = [{"text": t, "label": k} for t, k in zip(TEXTS, [1, 1, 1, 0, 0, 0], strict=True)]
    made = table(rows, label_names={"label": ("negative", "positive")})
    assert read_labelled(made, prompt).gold.tolist() == [0, 0, 0, 1, 1, 1]


def test_rows_that_cannot_be_used_are_counted_and_told(prompt):
    gold: list[object] = ["positive", "great", None, 7, "negative", "negative"]
    texts = [*TEXTS[:4], None, TEXTS[5]]
    rows = labelled(prompt, texts, gold)
    assert (len(rows), rows.faulty) == (2, 4)
    assert rows.problems[0] == (
        'row 2: The label "great" is none of the prompt\'s (positive, negative); '
        "say which of them it is, as in great=positive, or take a prompt for it."
    )
    assert rows.problems[-1] == 'row 5: text is "None" (NoneType); it must be text.'


@pytest.mark.parametrize(
    ("options", "gold", "sentence"),
    [
        (
            {"label_column": "stars"},
            GOLD,
            r'^There is no column "stars" for the label; the columns',
        ),
        ({"columns": {"text": "body"}}, GOLD, r'^There is no column "body"; the columns are'),
        (
            {"label_names": {"x": "nice"}},
            GOLD,
            r'^The prompt has no label "nice"; it has positive,',
        ),
        ({}, ["?"] * 6, r'^The test has no row that can be used\. row 1: The label "\?" is none'),
    ],
)
def test_data_that_cannot_be_used_says_why(prompt, options, gold, sentence):
    with pytest.raises(PlaygroundError, match=sentence):
        labelled(prompt, gold=gold, **options)


def test_a_limit_reads_no_further(prompt):
    assert len(labelled(prompt, limit=2)) == 2


# ---- candidates and their results ---------------------------------------------------------------


@pytest.mark.parametrize("calibration", ["none", "contextual", "domain"])
def test_the_numbers_are_the_engines(prompting, prompt, calibration):
    rows = labelled(prompt)
    (result,) = evaluate(prompting, candidates([("", prompt)], calibrations=[calibration]), rows)
    chosen = replace(prompt, scoring=replace(prompt.scoring, calibration=calibration))
    expected = prompting.classify(TEXTS, chosen)
    assert result.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    right = [a == b for a, b in zip(expected.predictions, GOLD, strict=True)]
    assert result.metrics.accuracy == pytest.approx(np.mean(right))


def test_raw_and_calibrated_share_their_forward_passes(prompting, prompt):
    rows = labelled(prompt)
    evaluate(prompting, candidates([("", prompt)]), rows)  # priors are remembered
    before = prompting.runner.prompts_run
    results = evaluate(prompting, candidates([("", prompt)]), rows)
    assert prompting.runner.prompts_run - before == len(rows)
    assert not np.allclose(results[0].probabilities, results[1].probabilities)


def test_every_template_is_a_candidate_under_each_calibration(prompt):
    found = candidates([("a", prompt), ("b", prompt)], templates="all")
    assert len(found) == 2 * len(prompt.templates) * 2
    assert found[0].name == f"a · {prompt.templates[0].source} · none"
    assert len({candidate.name for candidate in found}) == len(found)
    assert len(candidates([("a", prompt)], calibrations=["none"])) == 1


def test_progress_ends_at_the_whole(prompting, prompt):
    told: list[tuple[int, int]] = []
    rows = labelled(prompt)
    list(evaluate(prompting, candidates([("", prompt)]), rows, progress=lambda *n: told.append(n)))
    assert told[-1] == (12, 12)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_other_labels_are_refused(prompting, prompt):
    other = Candidate(
        "mine", Prompt(Template("{text} {mask}"), Verbalizer({"a": ["x"], "b": ["y"]}))
    )
    message = (
        r'^The prompt "mine" has the labels a, b and the rows have positive, negative; compare'
    )
    with pytest.raises(PlaygroundError, match=message):
        list(evaluate(prompting, [other], labelled(prompt)))


# ---- ensembles ----------------------------------------------------------------------------------


def test_an_ensemble_is_the_mean_of_log_probabilities(prompting, prompt):
    rows = labelled(prompt)
    members = list(evaluate(prompting, candidates([("", prompt)], templates="all"), rows))[:3]
    weights = [0.5, 0.3, 0.2]
    logs = sum(w * np.log(m.probabilities) for w, m in zip(weights, members, strict=True))
    expected = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    made = ensemble(members, rows.gold, weights=[5, 3, 2])
    assert made.probabilities == pytest.approx(expected)
    assert ensemble(members[:1], rows.gold).probabilities == pytest.approx(members[0].probabilities)
    assert versus(made, made, rows.gold).p_value == 1.0


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_that_are_none_are_refused(prompting, prompt, weights):
    rows = labelled(prompt)
    members = evaluate(prompting, candidates([("", prompt)]), rows)
    with pytest.raises(
        PlaygroundError, match=r"^An ensemble needs one weight of 0 or more for each"
    ):
        ensemble(members, rows.gold, weights=weights)
    with pytest.raises(PlaygroundError, match=r"^An ensemble needs at least one member\.$"):
        ensemble([], rows.gold)


# ---- the command --------------------------------------------------------------------------------


def test_the_command_prints_a_line_for_each_and_writes_the_numbers(tmp_path, capsys):
    data = tmp_path / "rows.jsonl"
    lines = [{"body": t, "kind": g} for t, g in zip(TEXTS, GOLD, strict=True)]
    data.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    out = tmp_path / "numbers.json"
    asked = ["--prompt", "sentiment", "--text-column", "body", "--label-column", "kind"]
    assert (
        main(["eval", str(data), *asked, "--templates", "all", "--ensemble", "--json", str(out)])
        == 0
    )
    shown = capsys.readouterr().out
    found = json.loads(out.read_text(encoding="utf-8"))
    templates = Prompt.load("sentiment").templates
    assert len(found["results"]) == 2 * (len(templates) + 1)
    assert (found["rows"], found["labels"], found["left_out"]) == (6, ["positive", "negative"], 0)
    for result in found["results"]:
        assert f"{result['name']}" in shown
        assert f"{result['accuracy']:.1%}" in shown
    assert "gold / predicted" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prompt", "sentiment"], "Give one input: a file, - for standard input, or --dataset"),
        (
            ["nope.csv", "--prompt", "sentiment"],
            'The file "nope.csv" is not there; check its name.',
        ),
        (["nope.csv", "--prompt", "nope"], "nope"),
        (["x.csv", "--prompt", "nli", "--text-column", "a"], "The template takes several texts;"),
        (
            ["nope.csv", "--prompt", "sentiment", "--columns", "x"],
            '--columns has "x"; write SLOT=COLUMN',
        ),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(capsys, arguments, sentence):
    assert main(["eval", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


def test_a_sample_set_is_measured_from_its_file(tmp_path, prompting, prompt):
    path = tmp_path / "r.csv"
    path.write_text("text,label\nI love it.,positive\nI hate it.,negative\n", encoding="utf-8")
    rows = read_labelled(read_file(str(path)), prompt)
    (result,) = evaluate(prompting, candidates([("", prompt)], calibrations=["none"]), rows)
    assert result.metrics.rows == 2
