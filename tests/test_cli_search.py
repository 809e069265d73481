"""``playground search`` and the further runs of ``playground eval``: tables, files, one sentence an error."""

from __future__ import annotations

import json

import pytest

from playground import Prompt
from playground.cli import main
from playground.tasks.evaluation import candidates, ensemble, evaluate, read_labelled
from playground.tasks.held_out import split_rows
from playground.tasks.reading import read_file
from playground.tasks.word_search import search_label_words

THINGS = ["film", "meal", "song", "book", "hotel", "play", "game", "dish", "show", "trip"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")


@pytest.fixture
def reviews(tmp_path) -> str:
    lines = [f"A good {thing} that I loved.,positive\n" for thing in THINGS]
    lines += [f"A bad {thing} that I hated.,negative\n" for thing in THINGS]
    (tmp_path / "reviews.csv").write_text(f"text,label\n{''.join(lines)}", encoding="utf-8")
    return str(tmp_path / "reviews.csv")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# ---- search -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["words", "template"])
def test_each_search_is_explained_with_examples(kind, capsys):
    assert main(["search", kind, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"examples:\n  playground search {kind} " in shown


@pytest.mark.parametrize("method", ["likelihood-ratio", "dev-accuracy"])
def test_words_are_learned_measured_and_saved(
    reviews, tmp_path, prompting, method, capsys, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    card, numbers = tmp_path / "learned.json", tmp_path / "numbers.json"
    command = ["search", "words", reviews, "--prompt", "sentiment", "--shots", "4", "--words", "2"]
    places = ["--save", "~/learned.json", "--json", "~/numbers.json"]
    more = ["--method", method, "--seed", "3", *places]
    assert main([*command, *more]) == 0
    out, told = capsys.readouterr()
    prompt = Prompt.load("sentiment")
    split = split_rows(read_labelled(read_file(reviews), prompt), shots=4, seed=3)
    learned = search_label_words(
        prompting, prompt, split.search.rows, split.search.gold, method=method, count=2
    )
    saved = Prompt.load(card)
    assert saved.verbalizer == learned.verbalizer
    assert saved.templates == prompt.templates
    assert saved.source.endswith("; label words found on 8 labelled rows, seed 3")
    found = read(numbers)
    assert (found["searched_on"], found["held_out"], found["method"]) == (8, 12, method)
    kinds = [change["calibration"] for change in found["changes"]]
    assert kinds == ["none", "contextual", "corpus"]
    for label, words in found["words"].items():
        assert [w["word"] for w in words] == [w.text for w in learned.words[label]]
        assert all(f"{w['word']} ({w['score']:.2f})" in out for w in words)
    for change in found["changes"]:
        assert change["after"]["rows"] == 12
        assert f"{change['after']['accuracy']:.1%}" in out
    assert "12 rows held out" in out
    assert "Searching on 8 rows (seed 3), measuring on the other 12." in told


def test_a_template_is_found_measured_and_saved(reviews, tmp_path, capsys):
    card, numbers = tmp_path / "found.json", tmp_path / "numbers.json"
    command = ["search", "template", reviews, "--prompt", "sentiment", "--shots", "4"]
    more = ["--triggers", "2", "--steps", "2", "--candidates", "6"]
    assert main([*command, *more, "--save", str(card), "--json", str(numbers)]) == 0
    out, told = capsys.readouterr()
    found, saved = read(numbers), Prompt.load(card)
    assert saved.template.source == found["template"]
    assert set(Prompt.load("sentiment").templates) < set(saved.templates)
    assert saved.source.endswith("; the first template found on 8 labelled rows, seed 0")
    assert f"after   {found['template']}" in out
    assert found["loss"] <= found["start_loss"]
    assert (found["steps"], found["searched_on"], found["held_out"]) == (2, 8, 12)
    assert told.splitlines()[-1] == f"playground: The card is in {card}."


# ---- eval ---------------------------------------------------------------------------------------


def test_sensitivity_is_printed_and_written(reviews, tmp_path, capsys):
    mine, numbers = tmp_path / "mine.json", tmp_path / "numbers.json"
    words = {"positive": ["nice"], "negative": ["nasty"]}
    mine.write_text(json.dumps({"templates": ["{text} {mask}"], "labels": words}), encoding="utf-8")
    command = ["eval", reviews, "--prompt", "sentiment", str(mine), "--sensitivity"]
    assert main([*command, "--calibration", "none", "--json", str(numbers)]) == 0
    out, found = capsys.readouterr().out, read(numbers)
    assert "card mine" in {variant["words"] for variant in found["variants"]}
    assert {variant["calibration"] for variant in found["variants"]} == {"none"}
    accuracies = [variant["accuracy"] for variant in found["variants"]]
    assert found["spread"] == pytest.approx(max(accuracies) - min(accuracies))
    assert f"20 rows, {len(accuracies)} ways to write the prompt" in out
    assert f"Spread: {found['spread'] * 100:.1f} points" in out
    assert f"({len(accuracies) - 24} between)" in out
    assert found["real"] == sum(variant["p_holm"] < 0.05 for variant in found["variants"])
    for choice in ("template", "words", "calibration"):
        assert f"mean accuracy by {choice}" in out


def test_the_probe_is_printed_and_written(reviews, tmp_path, capsys):
    numbers, lexicon = tmp_path / "numbers.json", tmp_path / "words.json"
    command = ["eval", reviews, "--prompt", "sentiment", "--templates", "all", "--probe"]
    assert main([*command, "--json", str(numbers)]) == 0
    out, found = capsys.readouterr().out, read(numbers)
    assert "20 of 20 texts have a word to swap" in out
    assert len(found["prompts"]) == 2 * len(Prompt.load("sentiment").templates)
    for one in found["prompts"]:
        assert one["mean"] == pytest.approx((one["flip"] + one["hold"]) / 2)
        assert one["name"] in out
    assert set(found["agreement"]) == {"none", "contextual"}
    swaps = [{"word": "hotel", "antonym": "inn", "synonym": "lodge"}]
    lexicon.write_text(json.dumps({"swaps": swaps}), encoding="utf-8")
    assert main([*command, "--lexicon", str(lexicon)]) == 0
    assert "2 of 20 texts have a word to swap" in capsys.readouterr().out


def test_an_ensemble_is_weighed_on_rows_that_are_not_measured(reviews, tmp_path, prompting, capsys):
    numbers = tmp_path / "numbers.json"
    command = ["eval", reviews, "--prompt", "sentiment", "--templates", "all", "--ensemble"]
    more = ["--weights", "dev-accuracy", "--shots", "3", "--seed", "1", "--calibration", "none"]
    assert main([*command, *more, "--json", str(numbers)]) == 0
    told, found = capsys.readouterr().err, read(numbers)
    assert "Weights come from 6 rows (seed 1); every line is measured on the other 14." in told
    prompt = Prompt.load("sentiment")
    split = split_rows(read_labelled(read_file(reviews), prompt), shots=3, seed=1)
    tried = candidates([("", prompt)], templates="all", calibrations=["none"])
    weights = [r.metrics.accuracy for r in evaluate(prompting, tried, split.search)]
    assert list(found["weights"].values()) == pytest.approx(weights)
    members = evaluate(prompting, tried, split.held_out)
    made = ensemble(members, split.held_out.gold, weights=weights)
    line = found["results"][-1]
    assert line["name"] == f"ensemble of {len(tried)} by dev accuracy · none"
    equal = found["results"][-2]
    assert equal["name"] == f"ensemble of {len(tried)} · none"
    assert equal["accuracy"] == ensemble(members, split.held_out.gold).metrics.accuracy
    assert line["accuracy"] == made.metrics.accuracy
    assert line["calibration_error"] == pytest.approx(made.metrics.calibration_error, abs=1e-6)
    assert {result["rows"] for result in found["results"]} == {14}
    assert (found["rows"], found["shots"], found["seed"]) == (14, 3, 1)


def test_equal_weights_stay_the_default(reviews, tmp_path):
    numbers = tmp_path / "numbers.json"
    command = ["eval", reviews, "--prompt", "sentiment", "--templates", "all", "--ensemble"]
    assert main([*command, "--calibration", "none", "--json", str(numbers)]) == 0
    found = read(numbers)
    assert (found["rows"], "weights" in found) == (20, False)
    assert found["results"][-1]["name"].endswith("ensemble of 6 · none")


# ---- what a user can mend -----------------------------------------------------------------------

EVAL = ["eval", "FILE", "--prompt", "sentiment"]
WORDS = ["search", "words", "FILE", "--prompt", "sentiment"]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ([*EVAL, "--sensitivity", "--probe"], "--sensitivity and --probe are two runs; give one of them."),
        ([*EVAL, "--probe", "--ensemble"], "--ensemble does not go with --probe; leave one of them out."),
        ([*EVAL, "--probe", "--model", "a", "b"], "--probe takes one model; give one behind --model."),
        ([*EVAL, "--lexicon", "x.json"], "--lexicon belongs to --probe; give both or neither."),
        ([*EVAL, "--weights", "dev-accuracy"], "--weights dev-accuracy belongs to --ensemble; give both."),
        ([*EVAL, "--shots", "3"], "--shots and --seed belong to --weights dev-accuracy; give it too."),
        ([*EVAL, "--probe", "--lexicon", "no.json"], 'The lexicon "no.json" cannot be read (No such file or'),
        ([*EVAL, "--ensemble", "--weights", "dev-accuracy"], "has 10 different rows with the label"),
        ([*EVAL[:3], "sentiment", "topic", "--sensitivity"], 'The verbalizer "card topic" has the labels world'),
        ([*WORDS], 'has 10 different rows with the label "positive" and 16 are to be drawn; give more'),
        ([*WORDS, "--shots", "10"], "is left to measure on behind 10 rows of each label; give more rows"),
        ([*EVAL, "--json", "no/dir/x.json"], 'The folder of "no/dir/x.json" is not there; make it'),
        ([*EVAL, "--json", "."], 'The numbers cannot be written to "." (Is a directory).'),
        ([*WORDS, "--shots", "4", "--words", "600"], "are asked for; ask for fewer."),
        ([*WORDS, "--shots", "4", "--save", "no/dir/x.json"], 'The folder of "no/dir/x.json" is not there; make it'),
        ([*WORDS, "--shots", "4", "--json", "no/dir/x.json"], 'The folder of "no/dir/x.json" is not there; make it'),
        (["search", "words", "no.csv", "--prompt", "nope"], 'The prompt card "nope" cannot be read'),
        (["search", "template", "FILE", "--prompt", "sentiment", "--shots", "4", "--triggers", "11"],
         "triggers is 11; it must be from 1 to 10."),
        (["search", "template", "FILE", "--prompt", "sentiment", "--label-column", "stars"],
         'There is no column "stars" for the label'),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_sentence(reviews, command, sentence, capsys):
    assert main([reviews if word == "FILE" else word for word in command]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("playground: ")
    assert sentence in last


def test_rows_of_one_label_and_texts_without_sentiment_say_so(tmp_path, capsys):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nThe train.,positive\nA dog.,positive\n", encoding="utf-8")
    assert main(["search", "words", str(path), "--prompt", "sentiment", "--shots", "1"]) == 2
    assert 'have the label "positive"; give rows of at least two' in capsys.readouterr().err
    assert main(["eval", str(path), "--prompt", "sentiment", "--probe"]) == 2
    assert "None of the 2 texts has a word of the lexicon" in capsys.readouterr().err


def test_search_needs_something_to_look_for(capsys):
    assert main(["search"]) == 2
    assert "the following arguments are required: WHAT" in capsys.readouterr().err


def test_a_number_that_is_none_says_so(reviews, capsys):
    assert main(["search", "template", reviews, "--prompt", "sentiment", "--steps", "0"]) == 2
    assert '"0" is not a whole number above 0' in capsys.readouterr().err
