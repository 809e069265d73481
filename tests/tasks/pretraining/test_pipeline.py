"""From a text file to a folder that opens everywhere, and what stands between two starts of it."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from playground import Prompting
from playground.errors import PlaygroundError
from playground.settings import Settings
from playground.tasks.pretraining.corpora import open_source
from playground.tasks.pretraining.pipeline import pretrain_on
from playground.tasks.pretraining.timelapse import Timelapse
from tests.engine import tiny
from tests.tasks.pretraining.toys import SUBJECTS, choruses, recipe, sentences

PROBES = [  # as long as the blocks, for the model has seen no short text
    f"the bee hums , the cat meows , the cow moos , the {animal} [MASK] , the duck quacks , the dog barks ."
    for animal in SUBJECTS
]
SHORT = [f"the {animal} [MASK] ." for animal in SUBJECTS]  # for a model of few positions
OWN = recipe(
    vocabulary=66, tokens=512 * 600, batch_tokens=512, lengths=((32, 1.0),), learning_rate=1e-2,
    held_out=0.05, checkpoints=5, vectors=32_768, hidden=32, mask_rate=0.15,
)  # fmt: skip


class Halted(Exception):
    """Stops a run where a kill would."""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "animals.txt"
    path.write_text("".join(f"{number} {text}\n" for number, text in enumerate(sentences(400))))
    return path


def make(file, out, own=OWN, at=None, **options):
    """Pretrain on a file; return the report and what was said."""
    said: list[str] = []

    def progress(done, total):
        if done == at:
            raise Halted

    options = {"settings": Settings(device="cpu"), "probes": SHORT, "say": said.append} | options
    sources = [open_source(str(file), **options.pop("source", {}))]
    return pretrain_on(sources, out, recipe=own, progress=progress, **options), said


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    file = folder / "animals.txt"
    file.write_text("".join(f"{text}\n" for text in choruses(400)))
    done, said = make(file, folder / "out", probes=PROBES)
    return folder / "out", done.report, said


def test_a_toy_language_is_learned(made):
    """After an animal stands a verb: the top answer of every probe at the end, of none at the start."""
    lapse = Timelapse.load(made[0] / "pretraining.json")
    verbs = set(SUBJECTS.values())
    assert not verbs & {probe.top[0][0][0] for probe in lapse.probes}
    assert {probe.top[-1][0][0] for probe in lapse.probes} <= verbs
    losses = [look.mean_loss for look in lapse.checkpoints]
    assert losses[-1] < losses[0] - 1.5


def test_the_folder_holds_a_model_and_its_story_and_nothing_else(made):
    folder, report, _ = made
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "SHA256SUMS", "config.json", "curve.svg", "model.safetensors",
        "pretraining.json", "tokenizer.json", "tokenizer_config.json", "training.json",
    ]  # fmt: skip
    assert json.loads((folder / "training.json").read_text()) == json.loads(json.dumps(report))
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    root = ElementTree.parse(folder / "curve.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_all_that_is_told_agrees(made):
    folder, report, said = made
    lapse = Timelapse.load(folder / "pretraining.json")
    card = (folder / "README.md").read_text()
    assert report["steps"] == lapse.checkpoints[-1].step == lapse.curve[-1].step == 600
    assert report["tokens"] == lapse.checkpoints[-1].tokens == 512 * 600
    assert report["training_loss"] == lapse.curve[-1].loss
    assert report["vocabulary"] == len(AutoTokenizer.from_pretrained(folder)) == 66
    (corpus,) = report["corpora"]
    assert (corpus["name"], corpus["share"]) == ("animals", 1.0)
    read = corpus["passes"] * (corpus["tokens"] + corpus["documents"])
    assert read == pytest.approx(600 * 16 * 30, rel=0.02)  # 16 blocks of 30 tokens a step
    model = AutoModelForMaskedLM.from_pretrained(folder)
    assert report["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert f"| animals | {corpus['tokens']:,} | 100% | {corpus['passes']:.2f} | " in card
    assert "307,200 tokens in 600 steps" in card
    assert "CBOW vectors of 32,768 tokens and unigram log-frequencies" in card
    assert f"{corpus['held_out_loss']:.2f} (" in card
    first = Timelapse.load(made[0] / "pretraining.json").probes[0]
    assert f"- {first.text} {first.top[-1][0][0]} " in card
    assert said[0] == "A vocabulary of 66 WordPieces from the texts."
    assert said[1].startswith("animals: 3")
    assert said[2] == "Word vectors of 32,768 tokens to start from."
    assert said[3].startswith("step 0 of 600, 0 tokens: held-out loss ")
    assert report["start"] is None


def test_it_opens_in_the_engine_and_in_transformers(made):
    folder, _, _ = made
    lapse = Timelapse.load(folder / "pretraining.json")
    theirs = pipeline("fill-mask", model=str(folder), device="cpu")
    prompting = Prompting(str(folder), threads=1)
    for probe in lapse.probes:
        answers = theirs(probe.text)
        assert [answer["token_str"] for answer in answers] == [p for p, _ in probe.top[-1]]
        assert [answer["score"] for answer in answers] == pytest.approx(
            [share for _, share in probe.top[-1]], abs=2e-5
        )
        assert prompting.fill(probe.text)[0].token == answers[0]["token_str"]


def test_a_finished_folder_is_not_trained_over(made, file):
    before = (made[0] / "model.safetensors").read_bytes()
    with pytest.raises(PlaygroundError) as told:
        make(file, made[0])
    assert str(told.value) == (
        f'The folder "{made[0]}" holds a finished model; give another --out, or --fresh to train anew.'
    )
    assert (made[0] / "model.safetensors").read_bytes() == before


def test_fresh_replaces_a_finished_model_at_its_end(file, tmp_path):
    short = recipe(vocabulary=90, tokens=640)
    make(file, tmp_path / "out", short)
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    with pytest.raises(Halted):
        make(file, tmp_path / "out", recipe(vocabulary=90, tokens=640, seed=1), at=3, fresh=True)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    make(file, tmp_path / "out", recipe(vocabulary=90, tokens=640, seed=1), fresh=True)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != before


def test_a_stopped_run_goes_on_without_a_new_vocabulary_or_encoding(file, tmp_path):
    own = recipe(vocabulary=90, checkpoints=8)
    whole, _ = make(file, tmp_path / "whole", own)
    with pytest.raises(Halted):
        make(file, tmp_path / "out", own, at=13)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "corpora", "stopped", "vocabulary",
    ]  # fmt: skip
    done, said = make(file, tmp_path / "out", own)
    assert said[0] == f"Continuing the stopped run at step {said[0].split()[6]} of 20."
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        left, right = (tmp_path / run / name for run in ("out", "whole"))
        assert left.read_bytes() == right.read_bytes(), name
    assert {**done.report, "seconds": 0} == {**whole.report, "seconds": 0}


def test_a_folder_that_is_killed_while_it_works_holds_no_pickle(file, tmp_path):
    with pytest.raises(Halted):
        make(file, tmp_path / "out", recipe(vocabulary=90, checkpoints=8), at=13)
    kinds = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".npy", ".bin"}


@pytest.mark.parametrize(
    ("changes", "options"),
    [({"vocabulary": 95}, {}), ({}, {"lowercase": False}), ({}, {"tokenizer": "playground-mini"})],
)
def test_another_vocabulary_is_refused_and_nothing_lost(changes, options, file, tmp_path):
    own = {"vocabulary": 90, "checkpoints": 8, "positions": 64}
    with pytest.raises(Halted):
        make(file, tmp_path / "out", recipe(**own), at=13)
    with pytest.raises(PlaygroundError) as told:
        make(file, tmp_path / "out", recipe(**(own | changes)), **options)
    assert str(told.value) == (
        f'The stopped run in "{tmp_path / "out"}" is of another recipe, vocabulary or corpus; give '
        "another --out, or --fresh to start anew."
    )
    _, said = make(file, tmp_path / "out", recipe(**own))
    assert any(line.startswith("Continuing the stopped run at step ") for line in said)


def test_before_the_first_checkpoint_another_vocabulary_is_made(file, tmp_path):
    with pytest.raises(
        PlaygroundError, match="more than 32 tokens"
    ):  # after the vocabulary was made
        make(file, tmp_path / "out", recipe(vocabulary=90), probes=["[MASK]" + " a" * 40])
    assert (tmp_path / "out" / "vocabulary").is_dir()
    done, said = make(file, tmp_path / "out", recipe(vocabulary=95, tokens=256))
    assert said[0] == "A vocabulary of 95 WordPieces from the texts."
    assert done.report["vocabulary"] == 95


def test_another_text_is_refused_and_a_touched_file_is_not(file, tmp_path):
    own = recipe(vocabulary=90, checkpoints=8)
    with pytest.raises(Halted):
        make(file, tmp_path / "out", own, at=13)
    text = file.read_text()
    file.write_text(text + "the bee moos in the house .\n")
    with pytest.raises(PlaygroundError, match="is of another recipe, vocabulary or corpus"):
        make(file, tmp_path / "out", own)
    file.write_text(text)
    _, said = make(file, tmp_path / "out", own)
    assert any(line.startswith("Continuing the stopped run at step ") for line in said)


def test_the_tokenizer_of_a_model_can_be_taken(file, tmp_path):
    folder = tiny.save("bert", tmp_path / "bert")
    own = recipe(tokens=256)
    done, said = make(file, tmp_path / "out", own, tokenizer=str(folder))
    assert not any("vocabulary" in line for line in said)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab() == tokenizer.get_vocab()
    assert done.report["vocabulary"] == len(tokenizer)


@pytest.mark.parametrize(
    ("kind", "why"),
    [("roberta", "is not made of WordPieces"), ("albert", "is not made of WordPieces")],
)
def test_a_tokenizer_of_another_kind_is_told(kind, why, file, tmp_path):
    folder = tiny.save(kind, tmp_path / kind)
    with pytest.raises(PlaygroundError) as told:
        make(file, tmp_path / "out", tokenizer=str(folder))
    shown = str(folder) if len(str(folder)) <= 80 else f"{str(folder)[:79]}…"
    assert str(told.value) == (
        f'The tokenizer of "{shown}" {why}; take one of a BERT, or leave --tokenizer out to train one.'
    )


def test_a_model_goes_on_with_its_own_size(made, file, tmp_path):
    done, _ = make(
        file, tmp_path / "out", recipe(tokens=256, positions=48, learning_rate=1e-5),
        model=str(made[0]),
    )  # fmt: skip
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    before = AutoModelForMaskedLM.from_pretrained(made[0])
    assert model.config.max_position_embeddings == 48
    assert model.config.hidden_size == before.config.hidden_size == 32
    for name, weight in before.named_parameters():
        if "position_embeddings" not in name:
            torch.testing.assert_close(model.get_parameter(name), weight, atol=1e-3, rtol=0)
    assert done.report["start"] == made[0].name
    assert f"It started from {made[0].name}." in (tmp_path / "out" / "README.md").read_text()
    assert str(made[0]) not in (tmp_path / "out" / "README.md").read_text()


def test_a_model_of_another_kind_is_told(file, tmp_path):
    folder = tiny.save("distilbert", tmp_path / "other")
    with pytest.raises(PlaygroundError) as told:
        make(file, tmp_path / "out", model=str(folder))
    shown = str(folder) if len(str(folder)) <= 80 else f"{str(folder)[:79]}…"
    assert str(told.value) == (
        f'The model "{shown}" is a distilbert; pretraining goes on from a BERT.'
    )


def test_half_weights_are_stored_in_fp16(file, tmp_path):
    make(file, tmp_path / "out", recipe(vocabulary=90, tokens=256, half=True))
    stored = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert {weight.dtype for weight in stored.parameters()} == {torch.float16}
    Prompting(str(tmp_path / "out"), threads=1)


def test_shipped_probes_that_do_not_fit_are_left_out(file, tmp_path):
    done, _ = make(file, tmp_path / "out", recipe(vocabulary=90, tokens=256), probes=None)
    lapse = Timelapse.load(done.folder / "pretraining.json")
    assert all("[MASK]" in probe.text for probe in lapse.probes)


def test_probes_are_checked_before_any_work(tmp_path):
    with pytest.raises(PlaygroundError, match=re.escape('The probe "no" has 0 masks')):
        pretrain_on(
            [], tmp_path / "out", recipe=OWN, settings=Settings(device="cpu"), probes=["no"]
        )
    assert not (tmp_path / "out").exists()


def test_the_precision_that_was_measured_stays(file, tmp_path):
    own = recipe(vocabulary=90, checkpoints=8, precision="auto")
    with pytest.raises(Halted):
        make(file, tmp_path / "out", own, at=13)
    note = tmp_path / "out" / "run.json"
    chosen = json.loads(note.read_text())["precision"]
    assert chosen in ("float32", "bfloat16")
    done, _ = make(file, tmp_path / "out", own)
    assert done.report["precision"] == chosen
    assert not note.exists()
