"""The loop: it learns, keeps the best, is the same twice, goes on where it was, and touches nothing shared."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import PlaygroundError
from playground.engine.tuning.files import save_delta
from playground.engine.tuning.loop import Shots, Tuner
from playground.engine.tuning.recipe import METHODS, Recipe
from tests.engine.tuning.conftest import GOLD, OTHERS, ROWS, digest

CANARY = ["It was great.", "No.", "The food was bad and the service was slow!"]


@pytest.mark.parametrize("method", list(METHODS))
def test_it_learns_a_rule_that_the_prompt_does_not_know(method, tuner_of, open_model):
    steps = 150 if method == "soft" else 60
    rate = {"whole": 3e-3, "cls": 3e-3, "bias": 3e-2, "lora": 1e-2, "soft": 5e-2, "linear": 3e-2}
    tuner = tuner_of(
        method, steps=steps, learning_rate=rate[method], batch_size=8, evaluate_every=10
    )
    told = list(tuner.run())
    model = open_model("bert")
    tuned = model.tuned(tuner.delta())
    prompt = tuner.delta().prompt
    right = np.array(GOLD)
    after = (tuned.classify(OTHERS, prompt).probabilities.argmax(1) == right).mean()
    if METHODS[method].words and method != "soft":
        before = (model.classify(OTHERS, prompt).probabilities.argmax(1) == right).mean()
        assert before <= 0.6
        assert told[0].dev_accuracy == before
    if method == "soft":  # three vectors cannot turn a frozen model of random weights round
        losses = [step.dev_loss for step in told if step.dev_loss is not None]
        assert min(losses) < 0.9 * losses[0]
    else:
        assert after >= 0.85
    best = next(step for step in told if step.step == tuner.best_step)
    assert best.best
    assert best.dev_accuracy == after


def test_each_step_is_told(tuner_of):
    tuner = tuner_of("whole", steps=5, evaluate_every=2, warmup=0.4, learning_rate=1e-3)
    told = list(tuner.run())
    assert [step.step for step in told] == [0, 1, 2, 3, 4, 5]
    assert [step.dev_accuracy is not None for step in told] == [
        True,
        False,
        True,
        False,
        True,
        True,
    ]
    assert [step.learning_rate for step in told] == pytest.approx(
        [0, 5e-4, 1e-3, 1e-3, 2e-3 / 3, 1e-3 / 3]
    )
    assert told[0].loss is None
    assert all(step.loss > 0 for step in told[1:])
    assert tuner.finished
    assert list(tuner.run()) == []


def test_a_step_takes_the_mean_loss_of_its_batch_before_it_learns(tuner_of, open_model):
    tuner = tuner_of("whole", batch_size=4, dropout=0.0)
    steps = tuner.run()
    next(steps)
    rows = tuner._batch(1)
    scores = open_model("bert").classify([ROWS[i] for i in rows], tuner.prompt).label_scores
    expected = -np.mean([scores[n, GOLD[i]] for n, i in enumerate(rows)])
    assert next(steps).loss == pytest.approx(expected, abs=1e-5)


def test_all_rows_are_seen_before_any_is_seen_again(tuner_of):
    tuner = tuner_of("linear", batch_size=5)
    drawn = [i for step in range(1, 17) for i in tuner._batch(step)]
    for epoch in range(5):
        assert sorted(drawn[epoch * 16 : epoch * 16 + 16]) == list(range(16))
    assert drawn[:16] != drawn[16:32]


def test_gradients_are_clipped(tuner_of, monkeypatch):
    seen = []
    tuner = tuner_of("whole", learning_rate=1e-3)
    step = tuner.optimizer.step

    def watched():
        norms = [w.grad.norm() for w in tuner.network.tuned.values() if w.grad is not None]
        seen.append(float(torch.stack(norms).norm()))
        step()

    monkeypatch.setattr(tuner.optimizer, "step", watched)
    list(tuner.run())
    assert max(seen) <= 1.0 + 1e-4
    assert len(seen) == 6


def test_dropout_is_on_while_learning_and_off_while_measuring(tuner_of):
    tuner = tuner_of("whole", dropout=0.5)
    one, other = (tuner._loss([0, 1], step).item() for step in (1, 2))
    assert one != other
    assert tuner._measure(tuner._dev) == tuner._measure(tuner._dev)


def test_the_best_look_is_kept_and_ties_go_to_the_lower_loss(tuner_of, monkeypatch):
    tuner = tuner_of("linear", steps=5, evaluate_every=1)
    looks = iter([(0.5, 0.7), (0.7, 0.6), (0.7, 0.5), (0.7, 0.5), (0.6, 0.1), (0.2, 0.9)])
    monkeypatch.setattr(tuner, "_measure", lambda prompts: next(looks))
    kept = {}
    for step in tuner.run():
        kept[step.step] = digest(tuner)
    assert [step.best for step in tuner.steps] == [True, True, True, False, False, False]
    assert tuner.best_step == 2
    tuner.network.restore(tuner.best)
    assert digest(tuner) == kept[2]


def test_what_gets_worse_leaves_the_zero_shot_prompt(tuner_of, monkeypatch):
    tuner = tuner_of("whole", steps=2, evaluate_every=1)
    looks = iter([(0.9, 0.1), (0.5, 0.7), (0.5, 0.7)])
    monkeypatch.setattr(tuner, "_measure", lambda prompts: next(looks))
    list(tuner.run())
    assert tuner.best_step == 0
    assert dict(tuner.delta().tensors) == {}


def test_patience_ends_a_run_early(tuner_of, monkeypatch):
    tuner = tuner_of("linear", steps=50, evaluate_every=1, patience=2)
    looks = iter([(0.5, 0.7), (0.7, 0.6), (0.6, 0.5), (0.6, 0.5)])
    monkeypatch.setattr(tuner, "_measure", lambda prompts: next(looks))
    assert [step.step for step in tuner.run()] == [0, 1, 2, 3]
    assert tuner.finished


@pytest.mark.parametrize("method", list(METHODS))
def test_the_same_seed_gives_the_same_bytes_whatever_runs_between(method, tuner_of, tmp_path):
    files = []
    for name in ("one", "other"):
        torch.manual_seed(len(files))  # everyone else's random numbers play no part
        tuner = tuner_of(method, dropout=0.1)
        for _ in tuner.run():
            torch.rand(1 + len(files))
        files.append(save_delta(tuner.delta(), tmp_path / name) / "delta.safetensors")
    assert files[0].read_bytes() == files[1].read_bytes()
    another = tuner_of(method, seed=1, dropout=0.1)
    list(another.run())
    assert digest(another) != digest(tuner)


def test_everyone_else_s_random_numbers_stay_as_they_are(tuner_of):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    tuner = tuner_of("cls", dropout=0.3)
    list(tuner.run())
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("method", list(METHODS))
def test_a_stopped_run_goes_on_to_the_same_end(method, tuner_of):
    whole = tuner_of(method, dropout=0.1)
    list(whole.run())
    first = tuner_of(method, dropout=0.1)
    for step in first.run():
        if step.step == 3:
            break
    tensors, about = first.state()
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    second = tuner_of(method, dropout=0.1)
    second.restore(kept, about)
    assert [step.step for step in second.run()] == [4, 5, 6]
    assert second.steps == whole.steps
    assert digest(second) == digest(whole)
    assert second.delta().digest == whole.delta().digest


@pytest.mark.parametrize("change", ["recipe", "rows", "tensor", "missing"])
def test_the_state_of_another_run_or_a_damaged_one_is_refused(change, tuner_of, shots):
    tuner = tuner_of("linear")
    next(tuner.run())
    tensors, about = tuner.state()
    other = tuner
    if change == "recipe":
        other = tuner_of("linear", seed=5)
    elif change == "rows":
        other = tuner_of("linear", train=replace(shots, rows=tuple(OTHERS)))
    elif change == "tensor":
        tensors["now/head:out.bias"] = torch.full((2,), torch.nan)
    else:
        del tensors["best/head:out.bias"]
    with pytest.raises(ValueError, match=r"^(the state |now/head:out\.bias is damaged)"):
        other.restore(tensors, about)


@pytest.mark.parametrize("method", list(METHODS))
def test_the_shared_model_stays_as_it_was_before_during_and_after(
    method, tuner_of, open_model, make_prompt
):
    model, prompt = open_model("bert"), make_prompt()
    before = model.classify(CANARY, prompt).probabilities
    tuner = tuner_of(method, learning_rate=0.05)
    for _ in tuner.run():
        assert (model.classify(CANARY, prompt).probabilities == before).all()
    tuned = model.tuned(tuner.delta())
    tuned.classify(CANARY, tuner.delta().prompt)
    assert (model.classify(CANARY, prompt).probabilities == before).all()
    assert not any(p.requires_grad or p.grad is not None for p in model.backbone.model.parameters())


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_run_that_diverges_ends_with_a_sentence_and_keeps_what_was_best(what, tuner_of):
    tuner = tuner_of("whole", steps=5, evaluate_every=1, learning_rate=0.02)
    steps = tuner.run()
    for _ in range(3):
        next(steps)
    weight = tuner.network.tuned["bert.encoder.layer.0.output.dense.bias"]
    if what == "loss":
        with torch.no_grad():
            weight[0] = torch.nan
    else:
        weight.register_hook(lambda slopes: slopes * torch.nan)
    message = f"The {what} is nan at step 3; tune anew with a learning_rate below 0.02."
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        next(steps)
    assert tuner.step == 2
    assert all(bool(tensor.isfinite().all()) for tensor in tuner.delta().tensors.values())


def test_too_high_a_learning_rate_is_told_as_such(tuner_of):
    tuner = tuner_of("whole", steps=30, warmup=0.0, learning_rate=1e30)
    with pytest.raises(
        PlaygroundError, match=r"at step \d+; tune anew with a learning_rate below 1e"
    ):
        list(tuner.run())


def test_the_estimate_learns_nothing_and_counts_what_is_tuned(tuner_of):
    tuner, twin = tuner_of("whole", dropout=0.1), tuner_of("whole", dropout=0.1)
    found = tuner.estimate()
    assert found.parameters == sum(w.numel() for w in tuner.network.tuned.values())
    assert found.nbytes > 5 * 4 * found.parameters
    assert 0 < found.seconds < 600
    assert list(tuner.run()) == list(twin.run())
    assert digest(tuner) == digest(twin)


def test_a_dev_set_is_no_larger_than_the_rows_to_train_on(open_model, make_prompt, shots):
    few = Shots.of(ROWS[:4], GOLD[:4], 2)
    message = (
        "The dev set has 16 rows and there are 4 to train on; a dev set that is larger would be better "
        "used to train."
    )
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        Tuner(open_model("bert").backbone, make_prompt(), few, shots, recipe=Recipe())


@pytest.mark.parametrize(
    ("rows", "targets", "message"),
    [
        ([], np.zeros((0, 2)), "There are 0 rows and 0 labels; give one label a row, and at least one row."),
        (["a"], [[0.5, 0.2]], "The shares of a row's labels must be 0 or more and add up to 1."),
        (["a"], [[np.nan, 1.0]], "The shares of a row's labels must be 0 or more and add up to 1."),
    ],
)  # fmt: skip
def test_rows_and_labels_must_fit(rows, targets, message):
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        Shots(tuple(rows), np.array(targets))


def test_a_label_that_is_none_and_a_row_that_does_not_fit_are_told(open_model, make_prompt):
    with pytest.raises(
        PlaygroundError, match=r"^A label is 2; the prompt's 2 labels count from 0 to 1\.$"
    ):
        Shots.of(["a"], [2], 2)
    three = Shots.of(["a"], [0], 3)
    backbone = open_model("bert").backbone
    with pytest.raises(PlaygroundError, match=r"^The rows have 3 labels and the prompt has 2\.$"):
        Tuner(backbone, make_prompt(), three, recipe=Recipe())
    long = make_prompt("{text} " + "very " * 80 + "{mask}.")
    with pytest.raises(
        PlaygroundError, match=r"^Row 1 of the rows to train on cannot be used\. The prompt takes "
    ):
        Tuner(backbone, long, Shots.of(["a", "b"], [0, 1], 2), recipe=Recipe())
