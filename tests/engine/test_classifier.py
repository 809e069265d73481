"""A classifier of pairs gives what plain transformers gives, whatever its mates, or one sentence."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from playground import PlaygroundError
from playground.engine.classifier import PairClassifier, log_softmax
from playground.settings import Settings
from playground.tasks.nli import LABELS
from tests.engine import tiny
from tests.tasks.nli import checkpoints
from tests.tasks.nli.checkpoints import CLASSIFIERS, Plain, edit, softmax

ON_ONE_CORE = Settings(threads=1, device="cpu")
PAIRS = [
    ("A man inspects the uniform of a figure.", "The man is sleeping."),
    ("Two women are talking.", "No"),
    (
        "It was good.",
        "The food was good and the service was great, so we took the bus to the park.",
    ),
    ("  outer white space \n", "\tis dropped  "),
    ("Ünïcödé 你好 🎬 and 100 % of {premise}", "'quotes' & \"more\", <b>"),
    ("x", "y"),
]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Return the folder of a tiny classifier by its architecture."""

    @cache
    def folder(kind: str) -> Path:
        return checkpoints.save(kind, tmp_path_factory.mktemp("classifiers") / f"nli-{kind}")

    return folder


@pytest.fixture(scope="module")
def opened(folder_of):
    """Return our classifier by its architecture; each is opened once."""
    return cache(lambda kind: PairClassifier(folder_of(kind), labels=LABELS, settings=ON_ONE_CORE))


@pytest.fixture(scope="module")
def plain_of(folder_of):
    """Return plain transformers by architecture; each is opened once."""
    return cache(lambda kind: Plain(folder_of(kind)))


@pytest.fixture
def folder(folder_of, tmp_path) -> Path:
    """A copy of the tiny BERT classifier, called broken, for a test to break."""
    return Path(shutil.copytree(folder_of("bert"), tmp_path / "broken"))


def classify(folder: Path, pairs):
    return PairClassifier(folder, labels=LABELS, settings=ON_ONE_CORE).classify(pairs)


# ---- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_the_numbers_are_those_of_plain_transformers(kind, opened, plain_of):
    scores = opened(kind).classify(PAIRS)
    plain = plain_of(kind)
    expected = np.stack([plain.logits(*map(str.strip, pair)) for pair in PAIRS])
    np.testing.assert_allclose(scores.label_scores, expected, atol=1e-5)
    np.testing.assert_allclose(scores.probabilities, softmax(expected), atol=1e-5)
    assert scores.labels == LABELS
    assert scores.predictions == [LABELS[k] for k in expected.argmax(1)]
    assert scores.tokens.tolist() == [
        len(plain.tokenizer(*map(str.strip, pair)).input_ids) for pair in PAIRS
    ]
    assert (scores.errors, scores.dropped.tolist()) == ({}, [0] * len(PAIRS))


@pytest.mark.parametrize("kind", CLASSIFIERS)
@given(
    order=st.lists(st.integers(0, len(PAIRS) - 1), min_size=1, max_size=12),
    budget=st.sampled_from([1, 40, 1000]),
)
@settings(max_examples=10)
def test_a_pair_scores_the_same_in_any_batch_and_order(kind, order, budget, opened):
    classifier = opened(kind)
    alone = [classifier.classify([pair]).label_scores[0] for pair in PAIRS]
    usual = classifier.settings
    try:
        classifier.settings = replace(usual, batch_tokens=budget)
        found = classifier.classify([PAIRS[i] for i in order])
    finally:
        classifier.settings = usual
    np.testing.assert_allclose(found.label_scores, [alone[i] for i in order], atol=1e-5)


def test_threads_share_a_classifier(opened):
    classifier = opened("bert")
    expected = classifier.classify(PAIRS).label_scores
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: classifier.classify(PAIRS).label_scores, range(16)))
    for scores in found:
        np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize(
    "text", ["It was [MASK].", "a [SEP] b", "[CLS] a </s></s> b <mask>", "<s>"]
)
def test_special_tokens_of_a_text_stay_text(kind, text, opened, plain_of):
    found = opened(kind).classify([(text, "The man is sleeping."), ("It was good.", text)])
    expected = [
        plain_of(kind).logits(text, "The man is sleeping."),
        plain_of(kind).logits("It was good.", text),
    ]
    np.testing.assert_allclose(found.label_scores, expected, atol=1e-5)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_no_pair_has_more_special_ids_than_a_pair_has(kind, opened):
    encoder = opened(kind).encoder
    text = " ".join(sorted(encoder.special_tokens))
    batch = next(
        iter(opened(kind)._batches(list(opened(kind)._encode([(text, text)], {}).values())))
    )
    special = encoder.special_ids - {encoder._backend.token_to_id(t) for t in ("[UNK]", "<unk>")}
    found = [i for i in batch.inputs["input_ids"][0].tolist() if i in special]
    assert len(found) == encoder._backend.num_special_tokens_to_add(True)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(("first", "second"), [(70, 5), (5, 70), (70, 70), (31, 40)])
def test_dropped_tokens_are_counted_and_the_rest_is_read(kind, first, second, opened, plain_of):
    pair = (" ".join(["good"] * first), " ".join(["bad"] * second))
    whole = len(plain_of(kind).tokenizer(*pair).input_ids)
    scores = opened(kind).classify([pair])
    assert (scores.tokens[0], scores.dropped[0]) == (tiny.MAX_TOKENS, whole - tiny.MAX_TOKENS)
    np.testing.assert_allclose(scores.label_scores[0], plain_of(kind).logits(*pair), atol=1e-5)


@pytest.mark.parametrize("order", list(permutations(LABELS)))
def test_labels_are_found_by_name(order, folder, plain_of):
    names = {str(k): name.upper() for k, name in enumerate(order)}
    edit(folder / "config.json", id2label=names, label2id={n: int(k) for k, n in names.items()})
    scores = classify(folder, PAIRS[:2])
    expected = np.stack([plain_of("bert").logits(*pair) for pair in PAIRS[:2]])
    columns = [order.index(label) for label in LABELS]
    assert scores.labels == LABELS
    np.testing.assert_allclose(scores.label_scores, expected[:, columns], atol=1e-5)


def test_scores_come_in_the_order_that_is_asked_for(folder_of, opened):
    turned = PairClassifier(folder_of("bert"), labels=LABELS[::-1], settings=ON_ONE_CORE)
    expected = opened("bert").classify(PAIRS)
    scores = turned.classify(PAIRS)
    assert (scores.labels, scores.predictions) == (LABELS[::-1], expected.predictions)
    np.testing.assert_allclose(scores.probabilities, expected.probabilities[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 2.5, None])
def test_the_stored_temperature_divides_the_logits(temperature, folder, plain_of):
    edit(folder / "config.json", calibration_temperature=temperature)
    scores = classify(folder, PAIRS[:2])
    logits = np.stack([plain_of("bert").logits(*pair) for pair in PAIRS[:2]])
    np.testing.assert_allclose(scores.label_scores, logits, atol=1e-5)
    np.testing.assert_allclose(
        scores.probabilities, softmax(logits / (temperature or 1)), atol=1e-5
    )


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_bert_like_encoders_are_fused_and_others_kept(kind, opened):
    assert opened(kind).fused == (kind in ("bert", "roberta", "electra"))
    assert not any(parameter.requires_grad for parameter in opened(kind).model.parameters())
    assert opened(kind).model.training is False


def test_a_classifier_is_described(opened):
    classifier = opened("bert")
    size = sum(parameter.numel() for parameter in classifier.model.parameters()) / 1e6
    assert classifier.name == "nli-bert"
    assert classifier.describe() == f"nli-bert · {size:.1f} M parameters · cpu fp32 · 64 tokens"


def test_log_softmax_is_exact_far_from_zero_and_keeps_failed_rows():
    scores = np.array([[1000.0, 999.0, -1000.0], [np.nan] * 3])
    found = log_softmax(scores)
    np.testing.assert_allclose(found[0], [-np.log1p(np.exp(-1)), -1 - np.log1p(np.exp(-1)), -2000.3133], rtol=1e-6)  # fmt: skip
    assert np.isnan(found[1]).all()


# ---- models that are refused --------------------------------------------------------------------


def _refused(model: object, message: str, settings: Settings = ON_ONE_CORE) -> None:
    with pytest.raises(PlaygroundError, match=message) as caught:
        PairClassifier(model, labels=LABELS, settings=settings)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "modernbert"])
def test_a_masked_lm_is_refused(kind, tmp_path):
    message = (
        r'^The checkpoint "masked" has no trained classification head \(\d+ weights such as \S+ are '
        r"missing\); fine-tune it first with playground nli train\.$"
    )
    _refused(tiny.save(kind, tmp_path / "masked"), message)


@pytest.mark.parametrize(
    "names",
    [
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("entailment", "not_entailment"),
        ("entailment", "neutral"),
        (*LABELS, "other"),
        ("entailment", "neutral", "Neutral "),
    ],
    ids=len,
)
def test_other_labels_are_refused(names, tmp_path):
    shown = ", ".join(dict.fromkeys(f'"{name.lower().strip()}"' for name in names))
    message = rf'^The classifier "odd" has the labels {shown}; it needs {", ".join(LABELS)}\.$'
    _refused(checkpoints.save("bert", tmp_path / "odd", names=names), message)


DAMAGED = (
    r'^The model "broken" cannot be read; its files are damaged or of a kind that transformers '
)


@pytest.mark.parametrize("left", [0, 5, 2000, -1])
def test_truncated_weights_are_refused(left, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    _refused(folder, rf"{DAMAGED}does not know \(SafetensorError\); get it again\.$")


@pytest.mark.parametrize(
    "name", ["classifier.weight", "classifier.bias", "bert.pooler.dense.weight"]
)
def test_a_head_that_lacks_a_weight_is_refused(name, folder):
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _refused(
        folder, rf"has no trained classification head \(1 weights such as {name} are missing\)"
    )


def test_an_encoder_that_lacks_a_weight_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _refused(
        folder, r'^The checkpoint "broken" is incomplete: 1 weights such as bert\.encoder\.lay'
    )


def test_a_head_of_another_size_is_refused(folder):
    names = {"0": "entailment", "1": "neutral"}
    edit(folder / "config.json", id2label=names, label2id={n: int(k) for k, n in names.items()})
    _refused(folder, rf"{DAMAGED}does not know \(RuntimeError\); get it again\.$")


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"'])
def test_a_damaged_config_is_refused(content, folder):
    (folder / "config.json").write_text(content)
    _refused(folder, r'^The model "broken" (cannot be read|is damaged)')


@pytest.mark.parametrize("value", ["warm", -1, float("nan"), [1], "1e999"], ids=str)
def test_a_temperature_that_is_none_is_refused(value, folder):
    edit(folder / "config.json", calibration_temperature=value)
    _refused(folder, "broken")


@pytest.mark.parametrize("names", [{"x": "entailment"}, ["entailment"], "entailment", {"0": None}])
def test_label_names_of_another_kind_are_refused(names, folder):
    edit(folder / "config.json", id2label=names)
    _refused(folder, "broken")


def test_a_flipped_byte_is_refused(folder):
    from hashlib import sha256

    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    (folder / "SHA256SUMS").write_text(f"{sha256(data).hexdigest()}  {file.name}\n")
    assert PairClassifier(folder, labels=LABELS, settings=ON_ONE_CORE).name == "broken"
    data[-5] ^= 1
    file.write_bytes(data)
    _refused(
        folder, r"^The model broken is damaged: model\.safetensors is not the file that was ship"
    )


@pytest.mark.parametrize("name", ["no/such/folder", "../x", "a b", "\0"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(name, no_network):
    message = r"^The model .+ is neither a folder here nor a hub id such as bert-base-uncased; shi"
    _refused(name, message)
    assert no_network == []


def test_a_folder_without_a_config_is_refused(tmp_path):
    _refused(
        tmp_path, r'^The folder ".*" has no config\.json; give a folder written by save_pretra'
    )


def test_a_hub_id_without_a_network_is_refused():
    message = (
        r'^The model "someone/nli" could not be fetched from the hub: there is no network, or '
    )
    _refused("someone/nli", message)


def test_hosted_mode_opens_listed_classifiers_only(folder_of, no_network):
    folder = str(folder_of("bert"))
    hosted = replace(ON_ONE_CORE, hosted=True, nli_model="mine")
    for name in (folder, "someone/nli", "playground-mini"):
        _refused(name, r"^The model .+ is not offered here; choose one of mine\.$", hosted)
    listed = replace(hosted, nli_models=folder)
    assert PairClassifier(folder, labels=LABELS, settings=listed).name == "nli-bert"
    assert no_network == []


def test_a_device_that_is_not_there_is_refused(folder_of):
    message = r'^The device "toaster" is not there; use auto, cpu, cuda or mps\.$'
    with pytest.raises(PlaygroundError, match=message):
        PairClassifier(folder_of("bert"), labels=LABELS, settings=ON_ONE_CORE, device="toaster")


def test_half_precision_weights_are_read_as_fp32(folder, plain_of):
    weights = {k: v.half() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    classifier = PairClassifier(folder, labels=LABELS, settings=ON_ONE_CORE)
    assert {parameter.dtype for parameter in classifier.model.parameters()} == {torch.float32}
    np.testing.assert_allclose(
        classifier.classify(PAIRS[:1]).label_scores[0], plain_of("bert").logits(*PAIRS[0]), atol=0.1
    )
