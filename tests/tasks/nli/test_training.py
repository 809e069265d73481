"""Training learns, keeps its best checkpoint, reports the numbers of what it saved, and is repeatable."""

from __future__ import annotations

import hashlib
import json
import stat
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from playground.errors import PlaygroundError
from playground.tasks.nli import LABELS, NliClassifier, Pairs
from playground.tasks.nli.evaluation import evaluate, fit_temperature
from playground.tasks.nli.training import Recipe, Trained, train_classifier
from playground.tasks.training.curve import Curve
from tests.engine import tiny
from tests.tasks.nli import checkpoints
from tests.tasks.nli.checkpoints import Plain, edit, lessons, softmax

RECIPE = Recipe(
    epochs=8,
    batch_size=16,
    learning_rate=1e-2,
    evaluations=3 / 8,
    precision="float32",
    max_tokens=32,
)
SHORT = replace(RECIPE, epochs=1, evaluations=1)
TRAIN, DEV = lessons(90), lessons(30, seed=1)
FILES = [
    "README.md", "SHA256SUMS", "config.json", "curve.json", "curve.svg", "model.safetensors",
    "tokenizer.json", "tokenizer_config.json", "training.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(learner, settings):
    """Return a training from the tiny masked LM, unless told otherwise."""

    def train(out, recipe=RECIPE, *, model=None, train=TRAIN, dev=DEV, **options) -> Trained:
        start = str(model or learner)
        return train_classifier(start, train, dev, out, recipe=recipe, settings=settings, **options)

    return train


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> tuple[Trained, list[str]]:
    """A finished run, and what it said."""
    said: list[str] = []
    return run(tmp_path_factory.mktemp("trained") / "out", say=said.append), said


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


# ---- learning -----------------------------------------------------------------------------------


def test_the_loss_falls_and_the_label_is_learned(trained):
    done, _ = trained
    losses = [point.loss for point in done.curve.points if point.loss is not None]
    looks = [point for point in done.curve.points if point.dev_score is not None]
    assert losses[-1] < 0.5 * losses[0]
    assert looks[-1].dev_loss < 0.5 * looks[0].dev_loss
    assert [point.step for point in looks] == [16, 32, 48]
    assert done.report["steps"] == 48
    found = {point.step: point.dev_score for point in looks}
    assert found[done.curve.best_step] == max(found.values()) >= 0.9


def test_what_is_said_is_what_happened(trained):
    done, said = trained
    looks = [point for point in done.curve.points if point.dev_score is not None]
    assert said[0] == "90 pairs to train on, 0 of them cut to 32 tokens."
    assert len(said) == 1 + len(looks)
    for sentence, point in zip(said[1:], looks, strict=True):
        assert sentence.startswith(
            f"step {point.step} of 48, epoch {point.step / (90 / 16):.2f}: loss "
        )
        assert sentence.endswith(
            f"dev loss {point.dev_loss:.3f}, dev accuracy {point.dev_score:.1%}"
        )


@pytest.mark.parametrize("padding", ["dynamic", "fixed"])
def test_the_report_has_the_numbers_of_the_saved_model(padding, run, tmp_path, settings):
    wrong = np.where(np.arange(30) % 5 == 0, (DEV.labels + 1) % 3, DEV.labels)
    dev = replace(DEV, labels=wrong)  # a fifth cannot be right, so that the temperature is not 0
    done = run(tmp_path / "out", replace(RECIPE, padding=padding), dev=dev)
    classifier = NliClassifier(tmp_path / "out", settings=settings)
    found = evaluate(classifier, dev)
    logits = classifier.classify(list(zip(dev.premises, dev.hypotheses, strict=True))).label_scores
    assert 0.4 < found.accuracy <= 0.8
    best = next(point for point in done.curve.points if point.step == done.curve.best_step)
    assert best.dev_score == pytest.approx(found.accuracy)
    result = found.to_json()
    assert done.report["result"]["confusion"] == result["confusion"]
    for name in ("accuracy", "nll", "raw_nll", "calibration_error", "temperature", "interval"):
        assert done.report["result"][name] == pytest.approx(result[name], abs=2e-4)
    assert classifier.temperature == pytest.approx(fit_temperature(logits, wrong), rel=1e-2)


@pytest.mark.parametrize("padding", ["dynamic", "fixed"])
@pytest.mark.parametrize("balance", [False, True])
def test_the_first_loss_is_the_cross_entropy_by_hand(balance, padding, run, tmp_path):
    names = ("contradiction", "entailment", "neutral")
    start = checkpoints.save("bert", tmp_path / "start", names=names)
    few = [i for i, k in enumerate(TRAIN.labels) if k == 0 or i < 30]
    pairs = Pairs([TRAIN.premises[i] for i in few], [TRAIN.hypotheses[i] for i in few], TRAIN.labels[few])  # fmt: skip
    recipe = replace(SHORT, batch_size=len(few), dropout=0.0, balance=balance, padding=padding)
    done = run(tmp_path / "out", recipe, model=start, train=pairs)
    plain = Plain(start)
    shares = softmax(np.stack([plain.logits(*p) for p in zip(pairs.premises, pairs.hypotheses, strict=True)]))  # fmt: skip
    columns = [names.index(LABELS[k]) for k in pairs.labels]
    losses = -np.log(shares[np.arange(len(few)), columns])
    counts = np.bincount(pairs.labels)
    weights = 1 / counts[pairs.labels] if balance else np.ones(len(few))
    assert sorted(counts.tolist()) == [10, 10, 30]
    assert done.curve.points[0].loss == pytest.approx((weights * losses).sum() / weights.sum(), abs=1e-3)  # fmt: skip


# ---- what is written ----------------------------------------------------------------------------


def test_the_folder_holds_the_model_and_what_tells_of_it(trained):
    done, _ = trained
    assert sorted(path.name for path in done.folder.iterdir()) == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in done.folder.iterdir()} == {0o644}
    config = json.loads((done.folder / "config.json").read_text())
    assert config["id2label"] == dict(zip("012", LABELS, strict=True))
    assert config["calibration_temperature"] == done.report["result"]["temperature"]
    assert json.loads((done.folder / "training.json").read_text()) == json.loads(json.dumps(done.report))  # fmt: skip
    assert Curve.load(done.folder / "curve.json") == done.curve
    assert ElementTree.parse(done.folder / "curve.svg").getroot().tag.endswith("svg")
    card = (done.folder / "README.md").read_text()
    assert f"accuracy\n**{done.report['result']['accuracy']:.1%}**" in card
    sums = dict(line.split("  ")[::-1] for line in (done.folder / "SHA256SUMS").read_text().splitlines())  # fmt: skip
    assert sorted(sums) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]  # fmt: skip
    for name, digest in sums.items():
        assert hashlib.sha256((done.folder / name).read_bytes()).hexdigest() == digest


def test_half_precision_halves_the_file_and_keeps_the_answers(run, trained, tmp_path, settings):
    run(tmp_path / "half", replace(RECIPE, half=True))
    whole = (trained[0].folder / "model.safetensors").stat().st_size
    assert (tmp_path / "half" / "model.safetensors").stat().st_size == pytest.approx(
        whole / 2, rel=0.1
    )
    assert {t.dtype for t in weights_of(tmp_path / "half").values()} == {torch.float16}
    assert evaluate(NliClassifier(tmp_path / "half", settings=settings), DEV).accuracy >= 0.9


def test_a_folder_that_cannot_be_written_keeps_the_checkpoints(run, tmp_path):
    out = tmp_path / "out"
    (out / "README.md" / "in the way").mkdir(parents=True)
    message = (
        r'^The model cannot be written to ".*out" \(Is a directory\); make room and run the same command '
        r"again: it goes on from the last checkpoint\.$"
    )
    with pytest.raises(PlaygroundError, match=message):
        run(out)
    assert not (out / "config.json").exists()
    (out / "README.md" / "in the way").rmdir()
    (out / "README.md").rmdir()
    said: list[str] = []
    done = run(out, say=said.append)
    assert said[1:] == ["Continuing the stopped run at step 48."]
    assert done.report["resumed"] is True
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert [point.step for point in done.curve.points if point.dev_score is not None] == [16, 32, 48]  # fmt: skip


def test_one_dev_pair_is_enough(run, tmp_path):
    done = run(tmp_path, SHORT, dev=lessons(1))
    saved = json.loads((done.folder / "training.json").read_text())
    assert saved["crossed_calibration_error"] is None
    last = (done.folder / "README.md").read_text().splitlines()[-1]
    assert last == f"before, {saved['result']['calibration_error']:.1%} after."


def test_a_finished_folder_is_refused_unless_a_fresh_run_is_asked_for(run, tmp_path):
    run(tmp_path, SHORT)
    message = (
        r'^The folder ".*" holds a finished model; give another --out, or --fresh to train anew\.$'
    )
    with pytest.raises(PlaygroundError, match=message):
        run(tmp_path, SHORT)
    assert run(tmp_path, replace(SHORT, seed=1), fresh=True).report["recipe"]["seed"] == 1


def test_a_file_in_place_of_the_folder_is_refused(run, tmp_path):
    (tmp_path / "out").write_text("mine")
    message = r'^The folder ".*out" cannot be written \(File exists\); choose another\.$'
    with pytest.raises(PlaygroundError, match=message):
        run(tmp_path / "out", SHORT)
    assert (tmp_path / "out").read_text() == "mine"


# ---- repeatability ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(run, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, replace(SHORT, seed=seed))
    first, second, other = (weights_of(tmp_path / name) for name in "abc")
    assert same(first, second)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_the_seed_draws_the_new_head(run, tmp_path):
    for seed in (0, 1):
        torch.manual_seed(0)
        run(tmp_path / str(seed), replace(SHORT, seed=seed, learning_rate=1e-12))
    heads = [weights_of(tmp_path / name)["classifier.weight"] for name in "01"]
    assert (heads[0] - heads[1]).abs().max() > 1e-3


# ---- where to start, and options ----------------------------------------------------------------


@pytest.mark.parametrize("kind", checkpoints.CLASSIFIERS)
def test_every_architecture_is_trained_and_opened(kind, run, tmp_path, settings):
    start = tiny.save(kind, tmp_path / kind)
    done = run(tmp_path / "out", replace(SHORT, dropout=0.0), model=start)
    assert NliClassifier(done.folder, settings=settings).classify([("a", "b")]).errors == {}
    network = AutoModelForSequenceClassification.from_pretrained(done.folder)
    layers = {name: m.p for name, m in network.named_modules() if isinstance(m, nn.Dropout)}
    assert {name: share for name, share in layers.items() if share} == {}  # as was asked for


def test_a_classifier_keeps_the_order_of_its_labels(run, tmp_path, settings):
    names = ("contradiction", "entailment", "neutral")
    start = checkpoints.save("bert", tmp_path / "start", names=tuple(map(str.upper, names)))
    run(tmp_path / "out", replace(SHORT, learning_rate=1e-12), model=start)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert list(config["id2label"].values()) == list(names)
    pairs = list(zip(DEV.premises, DEV.hypotheses, strict=True))
    before, after = (NliClassifier(f, settings=settings).classify(pairs) for f in (start, tmp_path / "out"))  # fmt: skip
    np.testing.assert_allclose(after.label_scores, before.label_scores, atol=1e-4)


def test_a_classifier_of_the_hub_keeps_the_order_of_its_labels(
    run, tmp_path, settings, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    fetched = tmp_path / "hub" / "models--someone--nli"
    (fetched / "snapshots").mkdir(parents=True)
    (fetched / "refs").mkdir()
    (fetched / "refs" / "main").write_text("a" * 40)
    names = ("contradiction", "entailment", "neutral")
    start = checkpoints.save("bert", fetched / "snapshots" / ("a" * 40), names=names)
    run(tmp_path / "out", replace(SHORT, learning_rate=1e-12), model="someone/nli")
    pairs = list(zip(DEV.premises, DEV.hypotheses, strict=True))
    before, after = (NliClassifier(f, settings=settings).classify(pairs) for f in (start, tmp_path / "out"))  # fmt: skip
    np.testing.assert_allclose(after.label_scores, before.label_scores, atol=1e-4)


def test_a_classifier_of_other_labels_gets_a_new_head(run, tmp_path):
    start = checkpoints.save("bert", tmp_path / "start", names=("no", "yes"))
    run(tmp_path / "out", SHORT, model=start)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert list(config["id2label"].values()) == list(LABELS)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id2label": {"x": "entailment"}}'])
def test_a_damaged_start_is_one_sentence(content, run, learner, tmp_path):
    start = tmp_path / "broken"
    start.mkdir()
    for file in learner.iterdir():
        (start / file.name).write_bytes(file.read_bytes())
    if content.startswith('{"'):
        edit(start / "config.json", **json.loads(content))
    else:
        (start / "config.json").write_text(content)
    with pytest.raises(PlaygroundError, match=r'^The \w+ "broken" .*\.$'):
        run(tmp_path / "out", SHORT, model=start)


def test_hidden_premises_change_nothing(run, tmp_path):
    others = replace(TRAIN, premises=[f"{p} No, it was bad." for p in TRAIN.premises])
    recipe = replace(RECIPE, hypothesis_only=True)
    done = run(tmp_path / "a", recipe)
    run(tmp_path / "b", recipe, train=others)
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))
    assert max(point.dev_score or 0 for point in done.curve.points) >= 0.9


@pytest.mark.parametrize("cut", ["longest", "ratio"])
def test_long_pairs_are_cut_as_asked(cut, run, tmp_path):
    said: list[str] = []
    long = replace(DEV, premises=[f"{p} {'and the rest ' * 30}" for p in DEV.premises])
    recipe = replace(SHORT, cut=cut, max_tokens=16)
    done = run(tmp_path / "out", recipe, dev=long, train=long, say=said.append)
    assert said[0] == "30 pairs to train on, 30 of them cut to 16 tokens."
    assert done.report["result"]["dropped"] == 30


def test_a_longer_limit_than_the_model_reads_is_its_own(run, tmp_path):
    done = run(tmp_path / "out", replace(SHORT, max_tokens=500))
    assert done.report["recipe"]["max_tokens"] == tiny.MAX_TOKENS


def test_bfloat16_is_trained_if_asked(run, tmp_path):
    done = run(tmp_path / "out", replace(SHORT, precision="bfloat16"))
    assert done.report["precision"] == "bfloat16"
    assert {tensor.dtype for tensor in weights_of(done.folder).values()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"^epochs is 0; it must be above 0\.$"),
        ({"epochs": -1.5}, r"^epochs is -1\.5; it must be above 0\.$"),
        ({"learning_rate": 0.0}, r"^learning_rate is 0\.0; it must be above 0\.$"),
        ({"learning_rate": float("nan")}, r"^learning_rate is nan; it must be above 0\.$"),
        ({"batch_size": 0}, r"^batch_size is 0; it must be above 0\.$"),
        ({"evaluations": 0}, r"^evaluations is 0; it must be above 0\.$"),
        ({"epochs": float("inf")}, r"^epochs is inf; "),
        ({"learning_rate": float("inf")}, r"^learning_rate is inf; "),
        ({"padding": "none"}, r'^padding is "none"; choose dynamic or fixed\.$'),
        ({"cut": "first"}, r'^cut is "first"; choose longest or ratio\.$'),
        (
            {"precision": "float16"},
            r'^precision is "float16"; choose auto or float32 or bfloat16\.$',
        ),
        ({"warmup": 1.0}, r"^warmup is 1\.0; it must be from 0 to below 1\.$"),
        ({"weight_decay": -0.1}, r"^weight_decay is -0\.1; it must be from 0 to below 1\.$"),
        ({"dropout": 1}, r"^dropout is 1; it must be from 0 to below 1\.$"),
        ({"max_tokens": 7}, r"^max_tokens is 7; the least is 8\.$"),
        ({"seed": -1}, r"^seed is -1; "),
    ],
    ids=str,
)
def test_a_wrong_recipe_is_one_sentence(changes, message):
    with pytest.raises(PlaygroundError, match=message):
        Recipe(**changes)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no/such/folder", r"^The model .* is neither a folder here nor a hub id"),
        ("someone/bert", r"^The model .* could not be fetched from the hub: there is no network"),
    ],
)
def test_a_start_that_is_not_there_is_refused(model, message, run, tmp_path):
    with pytest.raises(PlaygroundError, match=message):
        run(tmp_path / "out", SHORT, model=model)
