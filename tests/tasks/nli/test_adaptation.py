"""Masked-LM training on pairs: the loss falls, the model opens and trains, a stopped run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForMaskedLM, AutoTokenizer

from playground import Prompting
from playground.errors import PlaygroundError
from playground.tasks.nli import NliClassifier
from playground.tasks.nli.adaptation import Adaptation, _HiddenWordsTrainer, _Hider, adapt
from playground.tasks.nli.training import train_classifier
from playground.tasks.training.runs import trainer_arguments
from tests.engine import tiny
from tests.tasks.nli.checkpoints import lessons
from tests.tasks.nli.test_training import SHORT

RECIPE = Adaptation(
    epochs=6, learning_rate=1e-2, batch_size=16, max_tokens=32, precision="float32", evaluations=0.5
)
TRAIN, DEV = lessons(90), lessons(30, seed=1)


@pytest.fixture(scope="module")
def run(learner, settings):
    """Return an adaptation of the tiny masked LM, unless told otherwise."""

    def start(out, recipe=RECIPE, *, model=None, train=TRAIN, **options) -> list[float]:
        first = str(model or learner)
        return adapt(first, train, DEV, out, recipe=recipe, settings=settings, **options)

    return start


@pytest.fixture(scope="module")
def adapted(run, tmp_path_factory) -> tuple[Path, list[float], list[str]]:
    """A finished adaptation: its folder, its dev losses, and what it said."""
    folder, said = tmp_path_factory.mktemp("adapted") / "out", []
    return folder, run(folder, say=said.append), said


def hidden_loss(folder: Path) -> float:
    """Return plain transformers' loss in nats where every fourth token of DEV is hidden."""
    network = AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    total, count = 0.0, 0
    for premise, hypothesis in zip(DEV.premises, DEV.hypotheses, strict=True):
        inputs = tokenizer(premise, hypothesis, return_tensors="pt")
        ids = inputs["input_ids"].clone()
        places = [
            i for i in range(2, ids.shape[1], 4) if ids[0, i] not in tokenizer.all_special_ids
        ]
        inputs["input_ids"][0, places] = tokenizer.mask_token_id
        with torch.no_grad():
            shares = network(**inputs).logits[0, places].log_softmax(-1)
        total -= float(shares.gather(1, ids[0, places][:, None]).sum())
        count += len(places)
    return total / count


def test_the_loss_falls_for_plain_transformers_too(adapted, learner):
    folder, losses, said = adapted
    assert len(losses) == len(said) == 3
    assert losses[-1] < 0.85 * losses[0]
    assert hidden_loss(folder) < 0.85 * hidden_loss(learner)
    assert said[-1] == f"step 36 of 36: dev loss {losses[-1]:.3f} nats"


def test_the_dev_loss_is_that_of_plain_transformers(run, learner, tmp_path):
    recipe = replace(RECIPE, epochs=1, evaluations=1, learning_rate=1e-12, mask_rate=0.5)
    [loss] = run(tmp_path / "out", recipe)
    assert loss == pytest.approx(hidden_loss(learner), rel=0.03)  # other words are hidden


def test_the_folder_holds_a_masked_lm_with_its_dropout(adapted, learner):
    folder, _, _ = adapted
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in learner.iterdir())  # fmt: skip
    assert len(Prompting(folder, threads=1).fill("It was {mask}.")) == 5
    network = AutoModelForMaskedLM.from_pretrained(folder)
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {0.1}


def test_an_adapted_model_is_trained(adapted, settings, tmp_path):
    done = train_classifier(
        str(adapted[0]), TRAIN, DEV, tmp_path / "out", recipe=SHORT, settings=settings
    )
    assert NliClassifier(done.folder, settings=settings).classify([("a", "b")]).errors == {}


def test_labels_are_not_used(run, tmp_path):
    short = replace(RECIPE, epochs=1, evaluations=1)
    run(tmp_path / "a", short)
    run(tmp_path / "b", short, train=replace(TRAIN, labels=TRAIN.labels * 0))
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "electra", "deberta-v2", "modernbert"])
def test_other_architectures_are_adapted(kind, run, tmp_path):
    start = tiny.save(kind, tmp_path / kind)
    run(tmp_path / "out", model=start)
    assert hidden_loss(tmp_path / "out") < 0.9 * hidden_loss(start)


def test_batches_in_which_no_word_is_hidden_do_no_harm(run, tmp_path):
    sparse = replace(RECIPE, epochs=0.5, batch_size=1, mask_rate=0.01, evaluations=2)
    losses = run(tmp_path / "out", sparse)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    assert all(loss == loss for loss in losses)  # none is nan


def test_a_batch_without_a_hidden_word_has_no_loss_and_no_part_in_the_mean(learner, tmp_path):
    network = AutoModelForMaskedLM.from_pretrained(learner)
    arguments = trainer_arguments(
        tmp_path, RECIPE, 90, torch.device("cpu"), prediction_loss_only=True,
        remove_unused_columns=False, metric_for_best_model="loss",
    )  # fmt: skip
    hiders = [_Hider(AutoTokenizer.from_pretrained(learner), RECIPE) for _ in range(2)]
    trainer = _HiddenWordsTrainer(
        network, arguments, hiders=hiders, train_dataset=[{}], eval_dataset=[{}]
    )

    def batch(**labels: int) -> dict[str, torch.Tensor]:
        found = torch.full((2, 6), -100)
        for place, token in labels.items():
            found[0, int(place[1:])] = token
        return {"input_ids": torch.arange(12).view(2, 6), "labels": found}

    loss = trainer.compute_loss(network, batch())
    loss.backward()
    assert loss.item() == 0
    assert all(bool((w.grad == 0).all()) for w in network.parameters() if w.grad is not None)
    assert trainer.prediction_step(network, batch())[0].isnan()  # which the mean leaves out
    two = trainer.compute_loss(network, batch(_2=7, _4=9)).item()
    one, other = (trainer.compute_loss(network, batch(**own)).item() for own in ({"_2": 7}, {"_4": 9}))  # fmt: skip
    assert two == pytest.approx((one + other) / 2)


def test_a_finished_folder_is_refused_unless_a_fresh_run_is_asked_for(run, tmp_path):
    short = replace(RECIPE, epochs=1, evaluations=1)
    run(tmp_path, short)
    with pytest.raises(
        PlaygroundError, match=r"holds a finished model; give another --out, or --fre"
    ):
        run(tmp_path, short)
    assert len(run(tmp_path, short, fresh=True)) == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(run, tmp_path):
    (tmp_path / "out" / "config.json.tmp").mkdir(parents=True)
    (tmp_path / "out" / "model.safetensors" / "in the way").mkdir(parents=True)
    with pytest.raises(PlaygroundError, match=r"cannot be written"):
        run(tmp_path / "out", replace(RECIPE, epochs=1, evaluations=1))
    assert not (tmp_path / "out" / "config.json").exists()  # half a model is never opened


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"^epochs is 0; it must be above 0\.$"),
        ({"mask_rate": 1}, r"^mask_rate is 1; it must be from 0 to below 1\.$"),
        ({"mask_rate": 0}, r"^mask_rate is 0; "),
        ({"max_tokens": 3}, r"^max_tokens is 3; "),
        ({"precision": "int8"}, r'^precision is "int8"; choose auto or float32 or bfloat16\.$'),
    ],
    ids=str,
)
def test_a_wrong_recipe_is_one_sentence(changes, message):
    with pytest.raises(PlaygroundError, match=message):
        Adaptation(**changes)


def test_a_classifier_is_no_masked_lm(run, classifier_of, tmp_path):
    with pytest.raises(
        PlaygroundError, match=r'^The checkpoint "nli-bert" has no trained masked-LM'
    ):
        run(tmp_path / "out", model=classifier_of("bert"))
