"""The record of a pretraining: it comes back as it was written, and no hostile file gets through."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.engine.loading import Source
from playground.errors import PlaygroundError
from playground.tasks.pretraining.timelapse import FILE, Probe, Timelapse
from tests.tasks.pretraining.lapses import TEXTS, small

ENDS = "; make it again with playground pretrain."


def told(path: Path) -> str:
    """Return what is wrong with a file, without what is the same in every sentence."""
    with pytest.raises(PlaygroundError) as error:
        Timelapse.load(path)
    said = str(error.value)
    start = "The model's pretraining.json cannot be shown: "
    assert said.startswith(start)
    assert said.endswith(ENDS)
    assert str(path.parent) not in said
    return said[len(start) : -len(ENDS)]


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / FILE
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def changed(*place: Any, to: Any) -> dict[str, Any]:
    """Return the small time-lapse as JSON with one value replaced."""
    data = json.loads(json.dumps(small().to_json()))
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = to
    return data


def test_it_comes_back_from_its_file(tmp_path):
    small().save(tmp_path / FILE)
    assert Timelapse.load(tmp_path / FILE) == small()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    data = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert data == small().to_json()
    assert data["format"] == 1
    assert data["curve"][0] == {"step": 100, "tokens": 25600, "loss": 7.5, "learning_rate": 0.0002}
    assert data["checkpoints"][1]["loss"] == {"films": 6.0, "facts": 5.0}
    assert data["probes"][0]["top"][2] == [["france", 0.75], ["paris", 0.2]]


def test_a_note_comes_along(tmp_path):
    noted = replace(small(), note="Recorded in a second run.")
    noted.save(tmp_path / FILE)
    assert Timelapse.load(tmp_path / FILE) == noted
    assert "note" not in small().to_json()


def test_saving_replaces_the_file_in_one_step(tmp_path):
    (tmp_path / FILE).write_text("old", encoding="utf-8")
    (tmp_path / f"{FILE}.new").mkdir()  # what is written first cannot be
    with pytest.raises(OSError, match="directory"):
        small().save(tmp_path / FILE)
    assert (tmp_path / FILE).read_text(encoding="utf-8") == "old"


def test_perplexity_is_e_to_the_loss():
    last = small().checkpoints[-1]
    assert last.perplexity == pytest.approx(math.e**2.5)
    assert replace(last, mean_loss=None).perplexity is None


def test_a_run_with_nothing_held_out_comes_back(tmp_path):
    data = small().to_json()
    for point in data["checkpoints"]:
        point |= {"loss": {}, "mean_loss": None}
    found = Timelapse.load(written(tmp_path, data | {"curve": [], "probes": []}))
    assert [point.mean_loss for point in found.checkpoints] == [None] * 3
    assert (found.curve, found.probes) == ((), ())


def test_the_record_lies_beside_the_weights(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    source = Source("my-model", str(folder), True)
    message = 'The model "my-model" brings no record of its pretraining; choose one that playground pretrain has made.'
    with pytest.raises(PlaygroundError) as error:
        Timelapse.of(source)
    assert str(error.value) == message
    small().save(folder / FILE)
    assert Timelapse.of(source) == small()
    with pytest.raises(PlaygroundError, match="brings no record of its pretraining"):
        Timelapse.of(replace(source, local=False))  # a hub id is no folder, whatever lies there


# ---- hostile files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (("format",), 2, 'its format is "2" and this app reads 1'),
        (("format",), True, 'its format is "True" and this app reads 1'),
        (("curve",), {}, 'curve is "{}"; it must be a list'),
        (("curve",), [0] * 5001, "curve has 5,001 entries; it may have 0 to 5,000"),
        (("curve", 0), 3, 'a point of the curve is "3"; it must be an object'),
        (("curve", 0), {"step": 1}, 'a point of the curve lacks "tokens"'),
        (("curve", 0, "step"), 1.5, 'step is "1.5"; it must be a whole number from 0'),
        (("curve", 0, "step"), True, 'step is "True"; it must be a whole number from 0'),
        (("curve", 0, "step"), -1, 'step is "-1"; it must be a whole number from 0'),
        (("curve", 0, "step"), 10**4000, "step is a huge number; it must be a whole number from 0"),
        (("curve", 0, "loss"), "7", 'loss is "7"; it must be a number from 0 to 100'),
        (("curve", 0, "loss"), 1e300, 'loss is "1e+300"; it must be a number from 0 to 100'),
        (("curve", 0, "learning_rate"), None, 'learning_rate is "None"; it must be a number from 0 to 1'),
        (("curve", 1, "step"), 100, "the steps of its curve do not grow"),
        (("checkpoints",), [], "checkpoints has 0 entries; it may have 1 to 60"),
        (("checkpoints", 2, "step"), 5, "the steps of its checkpoints do not grow"),
        (("checkpoints", 0, "loss"), [1], 'the loss of a checkpoint is "[1]"'),
        (("checkpoints", 0, "loss"), {"x" * 41: 1.0}, f'a corpus is "{"x" * 39}…"; it must be text of 1 to 40 characters'),
        (("checkpoints", 0, "loss"), {f"{k:02}": 1.0 for k in range(51)}, "the loss of a checkpoint is \"{'00': 1.0, '01': 1.0, '02': 1.0, '03':…\""),
        (("checkpoints", 0, "mean_loss"), [], 'mean_loss is "[]"; it must be a number from 0 to 100'),
        (("checkpoints", 0, "seconds"), -0.5, 'seconds is "-0.5"; it must be a number from 0 to 1e+09'),
        (("note",), "", 'note is ""; it must be text of 1 to 300 characters'),
        (("note",), ["x"], "note is \"['x']\"; it must be text of 1 to 300 characters"),
        (("probes",), [None] * 101, "probes has 101 entries; it may have 0 to 100"),
        (("probes", 0, "text"), "", 'a sentence is ""; it must be text of 1 to 300 characters'),
        (("probes", 0, "text"), "x" * 301, f'a sentence is "{"x" * 39}…"; it must be text of 1 to 300 characters'),
        (("probes", 0, "text"), "no gap", '"no gap" has 0 masks; a sentence has one [MASK]'),
        (("probes", 0, "text"), "[MASK][MASK]", '"[MASK][MASK]" has 2 masks; a sentence has one [MASK]'),
        (("probes", 0, "text"), TEXTS[1], "one of its sentences stands there twice"),
        (("probes", 0, "text"), "\ud800[MASK]", "a sentence holds half a character"),
        (("probes", 0, "top"), [[["a", 1]]], '"Paris is the capital of [MASK]." has predictions of 1 checkpoints and there are 3'),
        (("probes", 0, "top", 0), [], "top has 0 entries; it may have 1 to 10"),
        (("probes", 0, "top", 0), [["a", 0.1]] * 11, "top has 11 entries; it may have 1 to 10"),
        (("probes", 0, "top", 0), ["ab"], 'a prediction is "ab"; it must be a token and a number'),
        (("probes", 0, "top", 0), [["a", 0.1, 2]], "a prediction is \"['a', 0.1, 2]\"; it must be a token and a number"),
        (("probes", 0, "top", 0), [["", 0.1]], 'a token is ""; it must be text of 1 to 80 characters'),
        (("probes", 0, "top", 0), [[7, 0.1]], 'a token is "7"; it must be text of 1 to 80 characters'),
        (("probes", 0, "top", 0), [["a", 1.01]], 'a probability is "1.01"; it must be a number from 0 to 1'),
        (("probes", 0, "top", 0), [["a", -0.1]], 'a probability is "-0.1"; it must be a number from 0 to 1'),
    ],
)  # fmt: skip
def test_a_value_that_does_not_belong_there_is_named(tmp_path, place, value, why):
    assert told(written(tmp_path, changed(*place, to=value))) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no JSON that can be read"),
        ("{", "it is no JSON that can be read"),
        ("[" * 100_000, "it is no JSON that can be read"),
        ('{"format": NaN}', "it is no JSON that can be read"),
        ('{"format": -Infinity}', "it is no JSON that can be read"),
        ('{"a": ' + "9" * 5000 + "}", "it is no JSON that can be read"),
        ("[1]", 'the file is "[1]"; it must be an object'),
        ("null", 'the file is "None"; it must be an object'),
        ("{}", 'the file lacks "format"'),
        ('{"format": 1, "curve": [], "checkpoints": []}', 'the file lacks "probes"'),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text, why):
    assert told(written(tmp_path, text)) == why


def test_infinity_is_no_number(tmp_path):
    text = json.dumps(small().to_json()).replace("7.5", "1e999")
    assert told(written(tmp_path, text)) == 'loss is "inf"; it must be a number from 0 to 100'


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"\xff\xfe\x00")
    assert told(tmp_path / FILE) == "it is no JSON that can be read"


def test_a_huge_file_is_refused_at_once(tmp_path):
    with (tmp_path / FILE).open("wb") as file:
        file.truncate(4 << 30)  # sparse: it takes no room, and would take memory
    start = time.process_time()
    assert told(tmp_path / FILE) == "it is larger than 2 MiB"
    assert time.process_time() - start < 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
def test_a_pipe_or_a_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / FILE)
    assert told(tmp_path / FILE) == "it is no file"
    folder = tmp_path / "other"
    (folder / FILE).mkdir(parents=True)
    assert told(folder / FILE) == "it is no file"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
PLACES = (("format",), ("curve",), ("curve", 0), ("curve", 0, "loss"), ("checkpoints", 1),
          ("checkpoints", 1, "loss"), ("probes", 0), ("probes", 0, "top"), ("probes", 0, "top", 0),
          ("probes", 0, "top", 0, 0), ("probes", 0, "text"))  # fmt: skip


@given(st.sampled_from(PLACES), ANY)
def test_anything_anywhere_is_read_or_refused_in_one_sentence(place, value):
    try:
        found = Timelapse.from_json(changed(*place, to=value))
    except PlaygroundError as refused:
        said = str(refused)
    else:
        assert Timelapse.from_json(json.loads(json.dumps(found.to_json()))) == found
        return
    assert said.endswith(ENDS)
    assert len(said) < 300


def test_sentences_must_fit_the_checkpoints():
    lapse = small()
    with pytest.raises(PlaygroundError, match="has predictions of 1 checkpoints and there are 3"):
        replace(lapse, probes=(Probe("a [MASK]", ((("b", 0.5),),)),))
