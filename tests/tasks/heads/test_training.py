"""Each head learns its rule, reports what it saved, and goes on after a stop to the same weights."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from playground.errors import PlaygroundError
from playground.tasks.heads import Examples, Finetuned, finetune
from playground.tasks.heads.recipes import RECIPES, Recipe
from playground.tasks.training.curve import Curve
from tests.engine import tiny
from tests.tasks.heads.lessons import MAKERS, RECIPE, questions, sentences, texts

SHORT = replace(RECIPE, epochs=1, evaluations=1)
AUTO = {
    "classify": AutoModelForSequenceClassification,
    "regress": AutoModelForSequenceClassification,
    "tag": AutoModelForTokenClassification,
    "answer": AutoModelForQuestionAnswering,
}
FILES = [
    "README.md", "SHA256SUMS", "config.json", "curve.json", "curve.svg", "model.safetensors",
    "tokenizer.json", "tokenizer_config.json", "training.json",
]  # fmt: skip


@pytest.fixture
def run(learner, settings, tmp_path):
    """Return a training of a kind from the tiny masked LM, unless told otherwise."""

    def train(kind, out="out", recipe=RECIPE, *, model=learner, train=None, dev=None, **options):
        train = MAKERS[kind](96) if train is None else train
        rows = (train, MAKERS[kind](32, 1) if dev is None else dev)
        return finetune(
            str(model), *rows, tmp_path / out, recipe=recipe, settings=settings, **options
        )

    return train


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


# ---- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "metric", "most_of_baseline", "least"),
    [
        ("classify", "matthews", 0.0, 0.9),
        ("regress", "spearman", 0.3, 0.9),
        ("tag", "accuracy", 0.75, 0.95),
        ("answer", "f1", 0.1, 0.9),
    ],
)
def test_each_head_learns_its_rule(kind, metric, most_of_baseline, least, trained):
    done, said = trained(kind)
    first = done.result.first
    assert (first.name, first.baseline <= most_of_baseline) == (metric, True)
    assert first.value >= least
    losses = [point.loss for point in done.curve.points if point.loss is not None]
    assert losses[-1] < 0.5 * losses[0]
    looks = [point for point in done.curve.points if point.dev_score is not None]
    best = max(point.dev_score for point in looks)
    assert {p.step: p.dev_score for p in looks}[done.curve.best_step] == best
    assert best == pytest.approx(first.value, abs=1e-5)
    assert said[0].startswith("96 rows to train on, ")
    assert said[-1].endswith(
        f"dev {done.curve.metric.title} {done.curve.metric.show(looks[-1].dev_score)}"
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_the_folder_says_what_was_reported(kind, trained, settings):
    done, _ = trained(kind)
    assert sorted(path.name for path in done.folder.iterdir()) == FILES
    found = Finetuned(done.folder, settings=settings).evaluate(MAKERS[kind](32, 1))
    for one, other in zip(found.measures, done.result.measures, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-4)
    report = json.loads((done.folder / "training.json").read_text())
    assert report == json.loads(json.dumps(done.report))
    assert report["result"]["measures"][done.result.first.name]["value"] == done.result.first.value
    assert Curve.load(done.folder / "curve.json") == done.curve
    assert ElementTree.parse(done.folder / "curve.svg").getroot().tag.endswith("svg")
    card = (done.folder / "README.md").read_text()
    first = done.result.first
    assert (
        f"| {first.name} | {first.show(first.value)} | {first.range} | {first.show(first.baseline)} |"
        in card
    )
    assert f"`playground finetune {kind}` on 96 rows of\nmine." in card


# ---- the oracle: plain transformers on the folder ---------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
def test_transformers_opens_the_folder_and_says_the_same(kind, trained, settings):
    folder = trained(kind)[0].folder
    model, tokenizer = AUTO[kind].from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = MAKERS[kind](8, 2).inputs
    found = Finetuned(folder, settings=settings).predict(inputs)
    for given, prediction in zip(inputs, found, strict=True):
        if kind == "tag":
            encoded = tokenizer(list(given), is_split_into_words=True, return_tensors="pt")
        else:
            encoded = tokenizer(*given, return_tensors="pt")
        with torch.inference_mode():
            output = model(**encoded)
        if kind == "classify":
            wanted = output.logits[0].log_softmax(-1).numpy()
            np.testing.assert_allclose(prediction, wanted, atol=1e-4)
        elif kind == "regress":
            assert prediction == pytest.approx(float(output.logits), rel=1e-4)
        elif kind == "tag":  # every word is one piece here
            wanted = output.logits[0, 1:-1].log_softmax(-1).numpy()
            np.testing.assert_allclose(prediction, wanted, atol=1e-4)
        else:
            first, last = int(output.start_logits.argmax()), int(output.end_logits.argmax())
            assert prediction.text == tokenizer.decode(encoded["input_ids"][0, first : last + 1])


def test_numbers_come_out_on_the_scale_of_the_data(trained, settings):
    folder = trained("regress")[0].folder
    found = Finetuned(folder, settings=settings).predict(MAKERS["regress"](32, 5).inputs)
    assert 80 < min(found) < 220
    assert 380 < max(found) < 560
    config = json.loads((folder / "config.json").read_text())
    assert (config["problem_type"], config["id2label"]) == ("regression", {"0": "score"})


def test_labels_are_named_in_the_config(trained):
    config = json.loads((trained("classify")[0].folder / "config.json").read_text())
    assert list(config["id2label"].values()) == ["AWFUL", "GOOD", "GREAT", "SLOW"]
    assert config["problem_type"] == "single_label_classification"


# ---- answers ----------------------------------------------------------------------------------------


def test_an_answer_deep_in_a_long_context_is_found(trained, settings):
    model = Finetuned(trained("answer")[0].folder, settings=settings)
    rows = questions(12, 3, filler=150)
    assert len(model.head.pieces(rows.inputs)) > 4 * 12  # windows of 32 tokens
    found = model.predict(rows.inputs)
    right = [(f.text, f.start) == gold[0] for f, gold in zip(found, rows.golds, strict=True)]
    assert sum(right) >= 10
    assert max(gold[0][1] for gold in rows.golds) > 300


def test_no_answer_is_learned_and_its_threshold_kept(run, settings):
    done = run("answer", train=questions(96, silent=True), dev=questions(33, 1, silent=True))
    assert done.result.first.value >= 0.9
    assert done.result.details["unanswerable"]["f1"] >= 0.9
    looks = [point.dev_score for point in done.curve.points if point.dev_score is not None]
    assert max(looks) == pytest.approx(done.result.first.value)  # at the threshold of that look
    model = Finetuned(done.folder, settings=settings)
    assert model.spec.unanswerable
    assert model.evaluate(questions(33, 1, silent=True)).first.value == done.result.first.value
    card = (done.folder / "README.md").read_text()
    assert f"is not more than {model.spec.threshold:.2f} above none" in card


def test_whole_entities_are_chosen_by_if_the_tags_are_bio(run):
    done = run("tag", train=sentences(96, bio=True), dev=sentences(32, 1, bio=True))
    assert [m.name for m in done.result.measures] == ["entity_f1", "accuracy", "macro_f1"]
    assert done.curve.metric.name == "entity_f1"
    assert done.result.first.value > 0.9 > 0.2 > done.result.first.baseline


# ---- stopping and repeating -------------------------------------------------------------------------


class Stopped(BaseException):
    """Stops a run where a kill would."""


def stop_at(look: int):
    seen: list[str] = []

    def say(sentence: str) -> None:
        seen.append(sentence)
        if sum(told.startswith("step ") for told in seen) == look:
            raise Stopped

    return say


@pytest.mark.parametrize("kind", MAKERS)
def test_a_stopped_run_ends_in_the_same_weights(kind, run):
    recipe = replace(RECIPE, epochs=3, evaluations=1, dropout=0.1)
    rows = MAKERS[kind](48)
    whole = run(kind, "whole", recipe, train=rows)
    with pytest.raises(Stopped):
        run(kind, recipe=recipe, train=rows, say=stop_at(2))
    said: list[str] = []
    done = run(kind, recipe=recipe, train=rows, say=said.append)
    assert said[1] == "Continuing the stopped run at step 3."
    assert same(weights_of(done.folder), weights_of(whole.folder))
    assert done.curve == whole.curve
    assert done.result == whole.result
    assert done.report["resumed"] is True
    assert sorted(path.name for path in done.folder.iterdir()) == FILES


@pytest.mark.parametrize("change", ["recipe", "rows", "golds"])
def test_another_run_starts_anew(change, run):
    rows = texts(32)
    given = {"recipe": replace(SHORT, epochs=2), "train": rows}
    with pytest.raises(Stopped):
        run("classify", **given, say=stop_at(2))
    changes = {
        "recipe": {"recipe": replace(SHORT, epochs=2, learning_rate=2e-3)},
        "rows": {"train": texts(32, 5)},
        "golds": {"train": Examples("classify", rows.inputs, rows.golds[::-1])},
    }[change]
    said: list[str] = []
    run("classify", say=said.append, **(given | changes))
    assert said[1] == "Starting anew: the stopped run is of another recipe, model or data."


def test_the_seed_is_the_run(run):
    folders = [
        run("classify", name, replace(SHORT, seed=seed)).folder
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    first, second, other = map(weights_of, folders)
    assert same(first, second)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_finished_folder_is_refused_unless_a_fresh_run_is_asked_for(run):
    run("classify", recipe=SHORT)
    with pytest.raises(PlaygroundError, match=r"^The folder .* holds a finished model; "):
        run("classify", recipe=SHORT)
    assert run("classify", recipe=replace(SHORT, seed=3), fresh=True).report["recipe"]["seed"] == 3


# ---- where to start, and what cannot be learned -----------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("architecture", ["roberta", "distilbert", "albert", "electra", "deberta-v2", "modernbert"])  # fmt: skip
def test_every_architecture_is_trained_and_opened(kind, architecture, run, tmp_path, settings):
    start = tiny.save(architecture, tmp_path / architecture)
    rows = {"train": MAKERS[kind](16), "dev": MAKERS[kind](8, 1)}
    done = run(kind, recipe=SHORT, model=start, **rows)
    found = Finetuned(done.folder, settings=settings).evaluate(rows["dev"])
    for one, other in zip(found.measures, done.result.measures, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-3, abs=1e-5)
    if kind == "regress":  # the scale of the data was written into the right layer
        look = next(point for point in done.curve.points if point.step == done.curve.best_step)
        spread = np.var(rows["train"].golds)
        assert done.result.measures[2].value == pytest.approx(look.dev_loss * spread, rel=1e-3)


def test_a_trained_head_is_a_place_to_start(run, trained):
    done = run("classify", recipe=SHORT, model=trained("regress")[0].folder)
    config = json.loads((done.folder / "config.json").read_text())
    assert len(config["id2label"]) == 4


def test_half_precision_halves_the_file(run, trained, settings):
    done = run("regress", recipe=replace(RECIPE, half=True))
    assert {t.dtype for t in weights_of(done.folder).values()} == {torch.float16}
    found = Finetuned(done.folder, settings=settings).evaluate(MAKERS["regress"](32, 1))
    assert found.first.value == pytest.approx(done.result.first.value, abs=0.02)


@pytest.mark.parametrize(
    ("train", "dev", "message"),
    [
        (Examples("classify", [("a",), ("b",)], ["x", "x"]), None, 'All training rows have the label "x"; there must be two or more.'),
        (Examples("tag", [("a", "b")], [("X", "X")]), None, 'All training rows have the label "X"; there must be two or more.'),
        (Examples("regress", [("a",), ("b",)], [2.0, 2.0]), None, "All training rows have the score 2; there is nothing to learn."),
        (Examples("answer", [("a", "b")], [()]), None, "No training row has an answer; give some that have."),
        (texts(8), Examples("classify", [("a",)], ["FINE"]), 'The dev rows have the label "FINE", which the training rows lack; they have "AWFUL", "GOOD", "GREAT", "SLOW".'),
        (sentences(8), Examples("tag", [("a",)], [("?",)]), 'The dev rows have the label "?", which the training rows lack; they have "DOWN", "O", "UP".'),
        (texts(8), Examples("classify", [("a", "b")], ["GOOD"]), "The training rows and the dev rows do not have the same number of texts; name both with --columns."),
        (texts(8), sentences(8), "The training rows are for classify and the dev rows for tag."),
        (texts(8), Examples("classify", [], []), "Training needs at least one row to train on and one to choose on."),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_one_sentence(train, dev, message, run, tmp_path):
    with pytest.raises(PlaygroundError) as caught:
        run(train.kind, recipe=SHORT, train=train, dev=train if dev is None else dev)
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"^epochs is 0; it must be above 0\.$"),
        ({"dropout": 1.0}, r"^dropout is 1\.0; "),
        ({"doc_stride": -1}, r"^doc_stride is -1; it must be 0 or more\.$"),
        ({"longest_answer": 0}, r"^longest_answer is 0; an answer has at least 1 token\.$"),
        ({"max_tokens": 7}, r"^max_tokens is 7; the least is 8\.$"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(changes, message):
    with pytest.raises(PlaygroundError, match=message):
        Recipe(**changes)


def test_each_kind_has_a_recipe():
    assert set(RECIPES) == set(MAKERS)
