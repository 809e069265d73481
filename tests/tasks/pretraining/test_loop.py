"""The loop: its looks, what it reads, going on where it stopped, and what it cannot train on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM

from playground.errors import PlaygroundError
from playground.tasks.pretraining.checkpoints import Progress
from playground.tasks.pretraining.loop import Pretrained, Texts, looks, pretrain
from playground.tasks.pretraining.vocabulary import train_tokenizer
from tests.engine.tiny import SENTENCES
from tests.tasks.pretraining.toys import corpus, recipe, sentences

ROOT = Path(__file__).resolve().parents[3]
PROBES = ("the dog [MASK] in the house .", "The film was [MASK].")


class Halted(Exception):
    """Stops a run where a kill would."""


def texts(probes=PROBES, start=None, shares=(1.0, 0.5)) -> Texts:
    tokenizer = train_tokenizer(lambda: [*SENTENCES, *sentences(80)], 180)

    def encoded(lines, share, name):
        found = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines]
        return corpus(found, share, name)

    return Texts(
        [encoded(SENTENCES, shares[0], "tales"), encoded(sentences(80), shares[1], "toys")],
        [encoded(SENTENCES[::3], 1.0, "tales"), encoded(sentences(30, seed=1), 1.0, "toys")],
        tokenizer, probes, start,
    )  # fmt: skip


def train(folder, own, at=None, **options):
    """Train on the toy texts; ``at``: stop after so many steps, as a kill would."""

    def progress(done, total):
        if done == at:
            raise Halted

    options = {"device": "cpu", "precision": "float32"} | options
    return pretrain(
        options.pop("texts", None) or texts(), folder, recipe=own, progress=progress, **options
    )


def same(one, other) -> None:
    """Both trainings have the same weights, curve and answers to the bit; time is another matter."""
    weights, wanted = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert one.progress.curve == other.progress.curve
    assert one.progress.tops == other.progress.tops
    untimed = [
        [{**look, "seconds": 0} for look in run.progress.checkpoints] for run in (one, other)
    ]
    assert untimed[0] == untimed[1]
    assert (one.tokens, one.passes) == (other.tokens, other.passes)


@pytest.mark.parametrize("many", [1, 2, 5, 16])
@pytest.mark.parametrize("steps", [1, 3, 40, 10_000])
def test_looks_are_ever_further_apart_and_the_last_step_is_one(steps, many):
    found = sorted(looks(steps, many))
    assert found[-1] == steps
    assert found[0] >= 1
    assert len(found) <= many
    if steps == 10_000:
        assert len(found) == many
        gaps = np.diff(found)
        assert (np.diff(gaps) >= 0).all()
        assert many == 1 or found[0] == 40  # 0.004 of the training


def test_a_training_learns_and_tells_how(tmp_path):
    said = []
    done = train(tmp_path, recipe(tokens=128 * 400), say=said.append)
    losses = [look["mean_loss"] for look in done.progress.checkpoints]
    steps = [look["step"] for look in done.progress.checkpoints]
    assert steps == [0, *sorted(looks(400, 4))]
    assert losses[-1] < losses[0] - 0.5
    assert [point["step"] for point in done.progress.curve] == list(range(2, 401, 2))
    assert done.progress.curve[-1]["tokens"] == done.tokens == 128 * 400
    assert len(done.progress.tops) == len(steps)
    last = done.progress.curve[-1]["loss"]
    assert said[0] == f"step 0 of 400, 0 tokens: held-out loss {losses[0]:.3f} nats"
    assert said[-1] == (
        f"step 400 of 400, 51,200 tokens: training loss {last:.3f}, held-out loss {losses[-1]:.3f} nats"
    )
    lapse = done.timelapse(PROBES)
    assert type(lapse).from_json(json.loads(json.dumps(lapse.to_json()))) == lapse
    assert [probe.text for probe in lapse.probes] == list(PROBES)
    assert all(len(probe.top) == len(steps) for probe in lapse.probes)


def test_the_first_step_is_that_of_plain_torch(tmp_path):
    """Against transformers' loss and AdamW on the very blocks of the first step, two batches of it."""
    from playground.tasks.pretraining.blocks import Blocks
    from playground.tasks.pretraining.loop import masker
    from playground.tasks.pretraining.network import new_network
    from playground.tasks.pretraining.vectors import log_frequencies, unigram_counts

    own = recipe(tokens=256, accumulate=2, warmup=0.0, decay=1.0, lengths=((32, 1.0),), seed=3)
    data = texts()
    done = train(tmp_path, own, texts=data)
    counts = sum(c.share * unigram_counts(c.tokens, len(data.tokenizer)) for c in data.train)
    model = new_network(own, data.tokenizer, frequencies=log_frequencies(counts))
    source = Blocks(
        data.train, first=data.tokenizer.cls_token_id, separator=data.tokenizer.sep_token_id, seed=3
    )
    for number in range(2):
        hidden = masker(data.tokenizer, own).hide(
            source.batch(number, 4, 32), np.random.default_rng([3, 2, number])
        )
        labels = torch.full(hidden.ids.shape, -100)
        labels.view(-1)[torch.from_numpy(hidden.places)] = torch.from_numpy(hidden.gold)
        (model(input_ids=torch.from_numpy(hidden.ids), labels=labels).loss / 2).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.AdamW(
        [
            {"params": [w for w in model.parameters() if w.ndim > 1], "weight_decay": 0.01},
            {"params": [w for w in model.parameters() if w.ndim == 1], "weight_decay": 0.0},
        ],
        lr=own.learning_rate, betas=(0.9, 0.98),
    ).step()  # fmt: skip
    for name, weight in done.network.named_parameters():  # a first step of Adam magnifies rounding
        apart = (weight - model.get_parameter(name)).abs()
        assert apart.mean().item() < 1e-5, name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bfloat16"},
        {"optimizer": "muon", "accumulate": 2, "whole_word": True},
        {"vectors": 20_000, "precision": "bfloat16", "seed": 7},
    ],
)
def test_a_stopped_training_goes_on_to_the_bit(changes, tmp_path):
    own = recipe(checkpoints=8, **changes)
    kind = own.precision
    whole = train(tmp_path / "whole", own, precision=kind)
    rng = random.Random(str(changes))
    stops = sorted(rng.sample(range(1, own.steps()), 3))
    for stop in stops:
        with pytest.raises(Halted):
            train(tmp_path / "stopped", own, at=stop, precision=kind)
    same(train(tmp_path / "stopped", own, precision=kind), whole)


def test_the_same_seed_is_the_same_training_and_another_is_not(tmp_path):
    first = train(tmp_path / "a", recipe(tokens=640))
    same(train(tmp_path / "b", recipe(tokens=640)), first)
    other = train(tmp_path / "c", recipe(tokens=640, seed=1))
    assert other.progress.curve != first.progress.curve


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 1e-3}, {"hidden": 32}, {"mask_rate": 0.3}, {"seed": 1}]
)
def test_another_recipe_is_refused_and_nothing_lost(changes, tmp_path):
    own = recipe(checkpoints=8)
    whole = train(tmp_path / "whole", own)
    with pytest.raises(Halted):
        train(tmp_path / "stopped", own, at=12)
    with pytest.raises(PlaygroundError) as told:
        train(tmp_path / "stopped", recipe(checkpoints=8, **changes))
    assert str(told.value) == (
        f'The stopped run in "{tmp_path / "stopped"}" is of another recipe, vocabulary or corpus; '
        "give another --out, or --fresh to start anew."
    )
    same(train(tmp_path / "stopped", own), whole)
    fresh = train(tmp_path / "stopped", recipe(checkpoints=8, **changes), fresh=True)
    assert fresh.progress.step == own.steps()


def another_word(part: str) -> Texts:
    """Return the texts with one token of a corpus another, and all numbers of tokens the same."""
    found = texts()
    getattr(found, part)[0].tokens[3] += 1
    return found


@pytest.mark.parametrize(
    "other",
    [
        texts(shares=(1.0, 0.4)),
        texts(probes=PROBES[:1]),
        another_word("train"),
        another_word("held_out"),
    ],
    ids=["shares", "probes", "a word", "a held-out word"],
)
def test_other_texts_are_refused(other, tmp_path):
    with pytest.raises(Halted):
        train(tmp_path, recipe(checkpoints=8), at=12)
    with pytest.raises(PlaygroundError, match="is of another recipe, vocabulary or corpus"):
        train(tmp_path, recipe(checkpoints=8), texts=other)


def test_more_tokens_make_a_stopped_training_longer(tmp_path):
    own = recipe(checkpoints=8)
    with pytest.raises(Halted):
        train(tmp_path, own, at=15)
    done = train(tmp_path, recipe(checkpoints=8, tokens=5_120))
    assert done.progress.step == 40
    assert done.tokens == 5_120
    steps = [look["step"] for look in done.progress.checkpoints]
    assert steps == sorted(set(steps))
    assert steps[-1] == 40
    done.timelapse(PROBES)  # which checks its order


def test_fewer_tokens_than_were_read_end_it_there(tmp_path):
    own = recipe(tokens=128_000, lengths=((32, 1.0),), checkpoints=8)
    with pytest.raises(Halted):
        train(tmp_path, own, at=17)  # a checkpoint at 15, a point of the curve every 5
    done = train(tmp_path, recipe(tokens=256, lengths=((32, 1.0),), checkpoints=8))
    assert 2 < done.progress.step <= 17
    assert done.progress.checkpoints[-1]["step"] == done.progress.step
    assert done.progress.curve[-1]["step"] == done.progress.step
    assert done.tokens == 128 * done.progress.step


def test_many_continuations_fit_a_timelapse():
    """A training that was made longer again and again has more looks than a time-lapse may hold."""
    curve = [{"step": k, "tokens": k, "loss": 1.0, "learning_rate": 0.1} for k in range(1, 7_000)]
    checkpoints = [
        {"step": 9 * k, "tokens": k, "seconds": 1.0, "loss": {"a": 2.0}, "mean_loss": 2.0}
        for k in range(130)
    ]
    tops = [[[["the", k / 130]], [["film", 0.5]]] for k in range(130)]
    at = Progress(step=7_000, curve=curve, checkpoints=checkpoints, tops=tops)
    lapse = Pretrained(torch.nn.Identity(), at, 7_000, [1.0], "float32").timelapse(PROBES)
    assert (len(lapse.curve), len(lapse.checkpoints)) == (5_000, 60)
    assert (lapse.curve[0].step, lapse.curve[-1].step) == (1, 6_999)
    assert (lapse.checkpoints[0].step, lapse.checkpoints[-1].step) == (0, 9 * 129)
    for look, top in zip(lapse.checkpoints, lapse.probes[0].top, strict=True):
        assert top == (("the", look.tokens / 130),)
    assert type(lapse).from_json(json.loads(json.dumps(lapse.to_json()))) == lapse


def test_a_loss_that_is_no_number_is_told_and_the_checkpoint_stays(tmp_path):
    own = recipe(learning_rate=1e20, checkpoints=8, warmup=0.9, decay=0.01)
    with pytest.raises(PlaygroundError) as told:
        train(tmp_path, own)
    step = int(str(told.value).split("step ")[1].split(";")[0])
    assert str(told.value) == (
        f"The loss is nan at step {step}; start with --fresh and a learning_rate below 1e+20."
    )
    assert step < own.steps()


def test_no_held_out_texts_are_no_loss(tmp_path):
    data = texts()
    empty = Texts(data.train, [corpus([], name="tales"), corpus([], name="toys")], data.tokenizer)
    said = []
    done = train(tmp_path, recipe(tokens=256), texts=empty, say=said.append)
    assert said[0] == "step 0 of 2, 0 tokens: nothing held out"
    assert [look["mean_loss"] for look in done.progress.checkpoints] == [None] * 3
    assert done.timelapse(()).checkpoints[0].perplexity is None


def test_another_model_goes_on_with_its_weights(tmp_path):
    first = train(tmp_path / "a", recipe(tokens=6_400))
    start = BertForMaskedLM(first.network.config)
    start.load_state_dict(first.network.state_dict())
    grown = recipe(
        positions=48, lengths=((48, 1.0),), tokens=480, batch_tokens=96, learning_rate=1e-5
    )
    second = train(tmp_path / "b", grown, texts=texts(start=start))
    before, after = first.progress.checkpoints[-1], second.progress.checkpoints[0]
    assert after["mean_loss"] == pytest.approx(before["mean_loss"], abs=0.2)
    assert second.network.config.max_position_embeddings == 48


RUN = """
import sys, json
from pathlib import Path
from tests.tasks.pretraining.test_loop import train, recipe
done = train(Path(sys.argv[1]), recipe(**json.loads(sys.argv[2])), precision=sys.argv[3])
done.network.save_pretrained(Path(sys.argv[1]) / "model")
at = done.progress
looks = [{**look, "seconds": 0} for look in at.checkpoints]
Path(sys.argv[1], "progress.json").write_text(json.dumps([at.curve, looks, at.tops]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_training_goes_on_to_the_bit(tmp_path):
    """Another process, really killed at random moments, against one that never was."""
    changes = {"tokens": 128 * 240, "checkpoints": 24}
    wanted = train(tmp_path / "whole", recipe(**changes), precision="bfloat16")
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", RUN, str(folder), json.dumps(changes), "bfloat16"]
    rng = random.Random(0)
    kills = 0
    while not (folder / "progress.json").exists():
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if kills < 2:
            before = _state(folder)
            started = time.monotonic()
            while _state(folder) == before and process.poll() is None:  # at least one checkpoint on
                assert time.monotonic() - started < 300
                time.sleep(0.01)
            time.sleep(rng.random() * 0.4)
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    assert kills == 2
    curve, checkpoints, tops = json.loads((folder / "progress.json").read_text())
    at = wanted.progress
    assert curve == at.curve
    assert checkpoints == [{**look, "seconds": 0} for look in at.checkpoints]
    assert tops == at.tops
    killed = BertForMaskedLM.from_pretrained(folder / "model").state_dict()
    for name, weight in wanted.network.state_dict().items():
        assert torch.equal(killed[name], weight), name


def _state(folder: Path) -> int:
    try:
        return (folder / "stopped" / "state.safetensors").stat().st_mtime_ns
    except FileNotFoundError:
        return 0
