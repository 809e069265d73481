"""A delta as the content of one file: whole, damaged, and made by one who means harm."""

from __future__ import annotations

import json
import re
import struct

import pytest
import torch
from safetensors.torch import load, save

from playground import PlaygroundError
from playground.engine.tuning.files import (
    WEIGHTS,
    delta_bytes,
    delta_from_bytes,
    load_delta,
    save_delta,
)
from playground.engine.tuning.recipe import METHODS

SHAPES = r"its soft vectors have the shape"


@pytest.fixture(scope="module")
def delta(tuner_of):
    tuner = tuner_of("lora", steps=2)
    list(tuner.run())
    return tuner.delta()


def description(data: bytes) -> dict:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["playground"])


def rewritten(data: bytes, tensors=None, **changes: object) -> bytes:
    """Return the file with another description, or other tensors; a key set to None is left out."""
    about = {k: v for k, v in (description(data) | changes).items() if v is not None}
    return save(tensors or load(data), {"playground": json.dumps(about)})


@pytest.mark.parametrize("method", METHODS)
def test_a_delta_comes_back_from_its_bytes(method, tuner_of, open_model):
    tuner = tuner_of(method, steps=2)
    list(tuner.run())
    delta = tuner.delta()
    back = delta_from_bytes(delta_bytes(delta))
    assert (back.digest, back.method, back.base) == (delta.digest, delta.method, delta.base)
    assert (back.revision, back.prompt, back.report) == (delta.revision, delta.prompt, delta.report)
    rows = ["The film was great.", "The food is awful."]
    one, other = (open_model("bert").tuned(d).classify(rows, d.prompt) for d in (delta, back))
    assert (one.probabilities == other.probabilities).all()


def test_the_file_of_a_folder_opens_alone(delta, tmp_path):
    folder = save_delta(delta, tmp_path / "d")
    assert (folder / WEIGHTS).read_bytes() == delta_bytes(delta)
    assert load_delta(folder / WEIGHTS).digest == load_delta(folder).digest == delta.digest


def test_the_same_delta_is_the_same_bytes(delta):
    assert delta_bytes(delta) == delta_bytes(delta_from_bytes(delta_bytes(delta)))


def test_each_flipped_byte_is_seen_or_changes_nothing(delta):
    """The digest covers method, prompt and tensors; a base or report that differs is still one."""
    data = delta_bytes(delta)
    (length,) = struct.unpack("<Q", data[:8])
    for place in range(8 + length, len(data), max(1, (len(data) - length) // 50)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(PlaygroundError, match=r"is damaged|cannot be used"):
            delta_from_bytes(bytes(broken))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda d: b"", "The file is no delta of this version; make it again with playground tune."),
        (lambda d: d[:100], "The file is no delta of this version; make it again with playground tune."),
        (lambda d: d[:-1], "The file is damaged: its tensors cannot be read; get it again."),
        (lambda d: b"PK\x03\x04" + d, "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, digest=None), "The file is damaged: its digest differs; get it again."),
        (lambda d: rewritten(d, digest="0" * 64), "The file is damaged: its digest differs; get it again."),
        (lambda d: rewritten(d, digest=7), "The file is damaged: its digest differs; get it again."),
        (lambda d: rewritten(d, method="bias"), "The delta cannot be used: it holds"),
        (lambda d: rewritten(d, more=1), "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, base=["x"]), "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, report={"rows": "many"}), "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, report={"rows": -1}), "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, report={"dev_accuracy": "<b>"}), "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, report={"recipe": ["x"]}), "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, report={"recipe": {"learning_rate": "x"}}), "The file is no delta of this version; make it again with playground tune."),
        (lambda d: rewritten(d, report={"recipe": {"seed": True}}), "The file is no delta of this version; make it again with playground tune."),
    ],
)  # fmt: skip
def test_what_is_no_delta_is_refused_in_one_sentence(delta, broken, sentence):
    with pytest.raises(PlaygroundError, match=f"^{re.escape(sentence)}") as error:
        delta_from_bytes(broken(delta_bytes(delta)))
    assert "\n" not in str(error.value)


def test_soft_vectors_are_rows(delta):
    data = rewritten(delta_bytes(delta), {"soft": torch.zeros(())}, method="soft")
    with pytest.raises(PlaygroundError, match=SHAPES):
        delta_from_bytes(data)
