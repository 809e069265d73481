"""A delta written, read and applied; and every delta that is damaged, foreign or hostile refused."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from playground import PlaygroundError, Prompting
from playground.engine.tuning.delta import Delta, differences
from playground.engine.tuning.files import SUMS, WEIGHTS, load_delta, save_delta
from playground.engine.tuning.recipe import METHODS
from tests.engine.tuning.conftest import ROWS

WORDS = [name for name, method in METHODS.items() if method.words]


@pytest.fixture(scope="session")
def delta_of(tuner_of):
    known = {}

    def make(method: str) -> Delta:
        if method not in known:
            tuner = tuner_of(method, learning_rate=0.02)
            steps = tuner.run()
            while tuner.step < 3:
                next(steps)
            tuner.best = {n: w.detach().clone() for n, w in tuner.network.tuned.items()}
            tuner.network.train(False)
            with torch.no_grad():
                shares = tuner.network.log_probs(tuner._train).exp()
            known[method] = tuner.delta(), shares
        return known[method]

    return make


@pytest.mark.parametrize("method", list(METHODS))
def test_a_delta_comes_back_and_gives_the_scores_of_training(
    method, delta_of, open_model, tmp_path
):
    delta, shares = delta_of(method)
    save_delta(delta, tmp_path / "d", card="# A card\n")
    back = load_delta(tmp_path / "d")
    assert back == replace(delta, tensors=back.tensors)
    assert delta.tensors.keys() == back.tensors.keys()
    assert all(torch.equal(tensor, back.tensors[name]) for name, tensor in delta.tensors.items())
    assert back.digest == delta.digest
    model = open_model("bert")
    one, other = model.tuned(delta), model.tuned(tmp_path / "d")
    found = one.classify(ROWS, delta.prompt).probabilities
    assert (other.classify(ROWS, delta.prompt).probabilities == found).all()
    # 1e-4 for the differences in fp16
    torch.testing.assert_close(torch.tensor(found), shares.double(), atol=1e-4, rtol=0)
    assert (
        abs(
            found
            - model.classify(ROWS, replace(delta.prompt, template=delta_plain(delta))).probabilities
        ).max()
        > 1e-3
    )
    assert (tmp_path / "d" / "README.md").read_text() == "# A card\n"
    assert one.backbone.revision == f"{model.backbone.revision}+{delta.digest[:12]}"


def delta_plain(delta):
    """The prompt's template without soft tokens, which the base does not have."""
    template = delta.prompt.template
    return type(template)(re.sub(r"\{soft:\d+\} ?", "", template.source))


@pytest.mark.parametrize("method", WORDS)
def test_a_tuned_model_does_all_that_a_model_does(method, delta_of, open_model):
    delta, _ = delta_of(method)
    tuned = open_model("bert").tuned(delta)
    prompt = delta.prompt
    explained = tuned.explain(ROWS[0], prompt)
    expected = tuned.classify(ROWS[:1], prompt).probabilities[0]
    assert explained.probabilities == pytest.approx(expected, abs=1e-5)
    assert len(tuned.fill("The film was {mask}.", top_k=3)) == 3
    assert [row.prediction for row in tuned.classify_stream(ROWS, prompt)] == (
        tuned.classify(ROWS, prompt).predictions
    )
    assert isinstance(tuned, Prompting)


@pytest.mark.parametrize("method", ["linear", "cls"])
def test_a_head_classifies_and_explains_nothing(method, delta_of, open_model):
    delta, shares = delta_of(method)
    tuned = open_model("bert").tuned(delta)
    prompt = delta.prompt
    scores = tuned.classify([*ROWS[:2], "x " * 30_000], prompt)
    torch.testing.assert_close(
        torch.tensor(scores.probabilities[:2]), shares[:2].double(), atol=1e-4, rtol=0
    )
    assert list(scores.errors) == [2]
    assert scores.predictions[2] is None
    assert len(tuned.classify([], prompt)) == 0  # as a table asks before its first row
    streamed = [row.prediction for row in tuned.classify_stream(ROWS[:3], prompt)]
    assert streamed == tuned.classify(ROWS[:3], prompt).predictions
    jobs = tuned.classify_jobs([(prompt, ROWS[:2]), (prompt, ROWS[2:3])])
    assert (jobs[0].probabilities == tuned.classify(ROWS[:2], prompt).probabilities).all()
    stopped = tuned.classify(ROWS, prompt, cancel=lambda: True)
    assert set(stopped.errors.values()) == {"Not scored: the run was stopped."}
    message = (
        f"This model was tuned with the method {method}, which has a head of its own and no label words to "
        "explain; classify with it."
    )
    with pytest.raises(PlaygroundError, match=f"^{re.escape(message)}$"):
        tuned.explain(ROWS[0], prompt)


def test_a_head_takes_the_labels_that_it_was_tuned_on(delta_of, open_model, make_prompt):
    tuned = open_model("bert").tuned(delta_of("linear")[0])
    other = make_prompt(labels={"yes": ["great"], "no": ["bad"]})
    message = (
        "The head was tuned on the labels positive, negative and the prompt has yes, no; take the prompt "
        "that it was tuned with."
    )
    with pytest.raises(PlaygroundError, match=f"^{message}$"):
        tuned.classify(ROWS, other)


def test_a_delta_is_small_and_counts_its_bytes(delta_of, open_model):
    whole, _ = delta_of("whole")
    weights = sum(p.numel() for p in open_model("bert").backbone.model.parameters())
    assert whole.nbytes == sum(t.nbytes for t in whole.tensors.values())
    assert whole.nbytes < 2.2 * weights  # two bytes a weight, and fewer rows of the table
    assert "rows:bert.embeddings.word_embeddings.weight" in whole.tensors
    assert delta_of("soft")[0].nbytes == 3 * 32 * 4


def test_differences_in_fp16_are_closer_than_weights_in_fp16():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(200, 64, generator=generator) * 0.05
    tuned = base + torch.randn(200, 64, generator=generator) * 1e-3
    found = differences({"w": tuned}, {"w": base}, half=True)["change:w"].float() + base
    assert (found - tuned).abs().max() < (tuned.half().float() - tuned).abs().max() / 10


def test_only_rows_that_changed_are_kept():
    base = torch.zeros(10, 2)
    few, many = base.clone(), base + 1
    few[[2, 7]] = 1.0
    found = differences(
        {"few": few, "many": many, "same": base},
        dict.fromkeys(["few", "many", "same"], base),
        half=False,
    )
    assert found["rows:few"].tolist() == [2, 7]
    assert {name: tuple(t.shape) for name, t in found.items()} == {
        "rows:few": (2,), "change:few": (2, 2), "change:many": (10, 2),
    }  # fmt: skip


# ---- what is refused ------------------------------------------------------------------------------

BAD = "The delta cannot be used: {}; it is damaged or of another model, get it again."
QUERY = "bert.encoder.layer.0.attention.self.query"


def changed(delta, **tensors):
    return replace(delta, tensors={**delta.tensors, **tensors})


@pytest.mark.parametrize(
    ("method", "tensors", "reason"),
    [
        ("whole", {"change:no.such.weight": torch.zeros(2)}, 'the base has no weight "no.such.weight"'),
        ("whole", {"change:cls.predictions.bias": torch.zeros(2)}, r'"cls.predictions.bias" has the shape (2,) where (330,) is needed'),
        ("whole", {"rows:cls.predictions.bias": torch.zeros(1, dtype=torch.int32), "change:cls.predictions.bias": torch.zeros(2)}, '"cls.predictions.bias" has the shape (2,) where (1,) is needed'),
        ("whole", {"rows:cls.predictions.bias": torch.tensor([3, 3], dtype=torch.int32), "change:cls.predictions.bias": torch.zeros(2)}, 'the rows of "cls.predictions.bias" are not those of the base'),
        ("whole", {"rows:cls.predictions.bias": torch.tensor([-1], dtype=torch.int32), "change:cls.predictions.bias": torch.zeros(1)}, 'the rows of "cls.predictions.bias" are not those of the base'),
        ("whole", {"rows:cls.predictions.bias": torch.tensor([330], dtype=torch.int32), "change:cls.predictions.bias": torch.zeros(1)}, 'the rows of "cls.predictions.bias" are not those of the base'),
        ("whole", {"rows:alone": torch.zeros(1, dtype=torch.int32)}, '"rows:alone" stands alone'),
        ("bias", {f"change:{QUERY}.weight": torch.zeros(32, 32)}, f'"{QUERY}.weight" is no bias'),
        ("lora", {"lora_a:x": torch.zeros(2, 2)}, 'the base has no layer "x"'),
        ("lora", {f"lora_a:{QUERY}": torch.zeros(8, 31)}, f'"{QUERY}" has (32, 8) times (8, 31) where (32, 32) is needed'),
        ("lora", {f"lora_a:{QUERY}": torch.zeros(32)}, f'"{QUERY}" lacks one of its two matrices'),
        ("soft", {"soft": torch.zeros(4, 32)}, "its soft vectors are not those of the template, (3, 32)"),
        ("linear", {"head:out.bias": torch.zeros(3)}, "its head is not one of 2 labels on states of 32"),
        ("cls", {"head:more": torch.zeros(3)}, "its head is not one of 2 labels on states of 32"),
    ],
)  # fmt: skip
def test_a_delta_that_does_not_fit_the_base_is_refused(
    method, tensors, reason, delta_of, open_model
):
    model = open_model("bert")
    delta = changed(delta_of(method)[0], **tensors)
    if (
        method == "whole"
        and "rows:cls.predictions.bias" not in tensors
        and "change:cls.predictions.bias" in tensors
    ):
        delta = replace(
            delta,
            tensors={n: t for n, t in delta.tensors.items() if n != "rows:cls.predictions.bias"},
        )
    expected = f"^{re.escape(BAD.format(reason))}$".replace("330", r"\d+")
    if "330" not in reason and 330 in [
        int(t.max()) for t in tensors.values() if t.dtype == torch.int32
    ]:
        size = model.backbone.model.config.vocab_size
        delta = changed(
            delta, **{"rows:cls.predictions.bias": torch.tensor([size], dtype=torch.int32)}
        )
    with pytest.raises(PlaygroundError, match=expected):
        model.tuned(delta)


@pytest.mark.parametrize(
    ("method", "name", "tensor", "reason"),
    [
        ("whole", "change:a", torch.tensor([float("nan")]), '"change:a" holds a number that is not finite'),
        ("whole", "change:a", torch.tensor([float("inf")]), '"change:a" holds a number that is not finite'),
        ("whole", "change:a", torch.zeros(1, dtype=torch.float64), '"change:a" has the type torch.float64'),
        ("whole", "rows:a", torch.zeros(1), '"rows:a" has the type torch.float32'),
        ("soft", "change:a", torch.zeros(1), 'it holds "change:a", which soft does not tune'),
        ("whole", "change:../a", torch.zeros(1), 'it holds "change:../a", which whole does not tune'),
        ("linear", "other", torch.zeros(1), 'it holds "other", which linear does not tune'),
    ],
)  # fmt: skip
def test_tensors_of_another_kind_are_refused(method, name, tensor, reason, delta_of):
    with pytest.raises(PlaygroundError, match=f"^{re.escape(BAD.format(reason))}$"):
        changed(delta_of(method)[0], **{name: tensor})


def test_a_delta_of_another_base_is_refused(delta_of, open_model, prompting):
    delta, _ = delta_of("bias")
    message = (
        rf'The delta was tuned on "tiny-bert" \({delta.revision[:12]}\) and this is "playground-mini" '
        rf"\({prompting.backbone.revision[:12]}\); open it with the model that it was tuned on\."
    )
    with pytest.raises(PlaygroundError, match=f"^{message}$"):
        prompting.tuned(delta)


def test_a_tuned_model_is_not_tuned_again(delta_of, open_model):
    delta, _ = delta_of("bias")
    tuned = open_model("bert").tuned(delta)
    with pytest.raises(
        PlaygroundError, match=r'^The model "?tiny-bert"? is tuned already; open the delta'
    ):
        tuned.tuned(delta)
    with pytest.raises(
        PlaygroundError, match=r"^The model tiny-bert is tuned already; tune the one"
    ):
        tuned.fine_tune(["a"], [0])


@pytest.fixture
def saved(delta_of, tmp_path):
    return save_delta(delta_of("linear")[0], tmp_path / "d")


def rewrite(folder, metadata=None, tensors=None):
    """Write the weights anew with a right sum, as one who means harm would."""
    path = folder / WEIGHTS
    save_file(tensors or load_file(path), path, metadata)
    (folder / SUMS).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {WEIGHTS}\n")


def about(**changes):
    plain = {"format": "playground-delta-1", "method": "linear", "base": "b", "revision": "r"}
    plain |= {
        "prompt": {"templates": ["{text} {mask}"], "labels": {"a": ["x"], "b": ["y"]}},
        "report": {},
    }
    return {"playground": json.dumps(plain | changes)}


@pytest.mark.parametrize("place", [0, 5, 200, -1])
def test_a_flipped_byte_is_seen(saved, place):
    data = bytearray((saved / WEIGHTS).read_bytes())
    data[place] ^= 1
    (saved / WEIGHTS).write_bytes(data)
    with pytest.raises(
        PlaygroundError, match=r'^The delta ".*" is damaged: its SHA-256 differs; get it again\.$'
    ):
        load_delta(saved)


@pytest.mark.parametrize("name", [WEIGHTS, SUMS])
def test_half_a_delta_is_refused(saved, name):
    (saved / name).unlink()
    with pytest.raises(
        PlaygroundError,
        match=r'^The folder ".*" holds no whole delta: delta\.safetensors or SHA256SUMS',
    ):
        load_delta(saved)


@pytest.mark.parametrize("folder", ["no/such", "\0", "https://a.b/c"])
def test_a_folder_that_is_none_is_refused(folder):
    with pytest.raises(PlaygroundError, match=r"holds no whole delta"):
        load_delta(folder)


@pytest.mark.parametrize(
    "metadata",
    [None, {"playground": "["}, {"playground": "[" * 100_000}, {"playground": "{}"}, about(format="2"), about(method=3), about(report=[]), about(more=1)],
)  # fmt: skip
def test_a_file_that_is_no_delta_is_refused(saved, metadata):
    rewrite(saved, metadata)
    with pytest.raises(
        PlaygroundError, match=r'^The file delta\.safetensors in ".*" is no delta of this version'
    ):
        load_delta(saved)


def test_a_description_is_checked_like_any_card(saved):
    rewrite(saved, about(prompt={"templates": ["{x.__class__} {mask}"], "labels": {}}))
    with pytest.raises(PlaygroundError, match=r"^Column 1 of the template has "):
        load_delta(saved)
    rewrite(saved, about(method="pickle"))
    with pytest.raises(PlaygroundError, match=r'^The delta is of the unknown method "pickle"'):
        load_delta(saved)


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, (50).to_bytes(8, "little") + b"{}"])
def test_bytes_that_are_no_safetensors_are_refused(saved, data):
    (saved / WEIGHTS).write_bytes(data)
    (saved / SUMS).write_text(f"{hashlib.sha256(data).hexdigest()}  {WEIGHTS}\n")
    with pytest.raises(PlaygroundError, match=r"is no delta of this version"):
        load_delta(saved)


def test_a_delta_that_cannot_be_written_says_so(delta_of, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        PlaygroundError,
        match=r'^The delta cannot be written to ".*" \(.*\); choose another folder\.$',
    ):
        save_delta(delta_of("linear")[0], tmp_path / "file")
