"""Loading a masked LM: its longest input, precision, fingerprint and warnings."""

from __future__ import annotations

import os
import socket
import urllib.request

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM
from transformers.utils import logging as transformers_logging

from playground import PlaygroundError, Prompting, resources
from playground.engine.backbone import load_backbone
from playground.engine.device import choose_device, choose_threads
from playground.engine.loading import hub_answers, resolve
from playground.settings import Settings
from tests.engine import tiny


@pytest.fixture
def copy_of(folder_of, tmp_path):
    """Return a function that copies a model's folder, for a test to alter."""

    def copy(kind: str):
        target = tmp_path / f"copy-of-{kind}"
        target.mkdir()
        for file in folder_of(kind).iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        return target

    return copy


# ---- what is loaded -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_the_longest_input_is_what_the_positions_allow(kind, open_model, make_prompt):
    model = open_model(kind)
    assert model.backbone.encoder.max_tokens == tiny.MAX_TOKENS == 64
    scores = model.classify(["good " * 100], make_prompt())
    assert scores.tokens.tolist() == [64]
    assert scores.errors == {}


def test_the_shipped_model_reads_512_tokens(prompting):
    assert prompting.backbone.encoder.max_tokens == 512


def test_a_tokenizer_may_say_less(copy_of):
    folder = copy_of("roberta")
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=32)
    tokenizer.save_pretrained(folder)
    assert Prompting(folder).backbone.encoder.max_tokens == 32


@pytest.mark.parametrize("kind", ["shipped", *tiny.ARCHITECTURES])
def test_the_model_is_described_in_one_line(kind, open_model, plain_of, folder_of):
    backbone = open_model(kind).backbone
    plain = plain_of(kind).model
    assert backbone.parameters == plain.num_parameters()
    assert backbone.vocabulary_size == plain.config.vocab_size
    assert backbone.name == folder_of(kind).name
    millions = f"{plain.num_parameters() / 1e6:.1f}"
    assert backbone.describe() == (
        f"{backbone.name} · {millions} M parameters · {backbone.device.type} fp32 · "
        f"{backbone.encoder.max_tokens} tokens"
    )


def test_the_default_is_the_shipped_model(prompting):
    assert prompting.backbone.name == "playground-mini"
    assert prompting.backbone.source.local
    assert Prompting("").backbone.revision == prompting.backbone.revision


def test_a_folder_is_opened_by_its_path(folder_of, monkeypatch):
    folder = folder_of("bert")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    names = (folder, str(folder), folder.name, f"./{folder.name}", f"~/{folder.name}")
    assert {resolve(name, Settings()).name for name in names} == {folder.name}
    assert Prompting(f"~/{folder.name}").backbone.name == folder.name


def test_settings_name_the_model_device_and_precision(folder_of):
    settings = Settings(model=str(folder_of("bert")), device="cpu", dtype="bfloat16")
    backbone = Prompting(settings=settings).backbone
    assert backbone.name == "tiny-bert"
    assert backbone.dtype == torch.bfloat16
    assert Prompting(settings=settings, dtype="float32").backbone.dtype == torch.float32


def test_threads_are_set_where_they_are_given(folder_of):
    before = torch.get_num_threads()
    try:
        Prompting(folder_of("bert"), threads=2)
        assert torch.get_num_threads() == 2
        Prompting(folder_of("bert"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("threads", "cores", "expected"), [(3, 8, 3), (0, 8, 7), (0, 1, 1), (0, None, 1)]
)
def test_one_core_is_left_free_unless_told_otherwise(threads, cores, expected, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    before = torch.get_num_threads()
    try:
        assert choose_threads(Settings(threads=threads)) == expected
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_loading_leaves_the_logging_of_transformers_as_it_was(folder_of):
    transformers_logging.set_verbosity_info()
    try:
        Prompting(folder_of("bert"))
        with pytest.raises(PlaygroundError):
            Prompting("someone/nothing")
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.set_verbosity_warning()


@pytest.mark.parametrize("kind", ["shipped", "roberta", "xlm-roberta"])
def test_a_local_model_opens_no_socket(kind, folder_of, no_network):
    model = Prompting(None if kind == "shipped" else folder_of(kind))
    assert len(model.fill("It was {mask}.")) == 5
    assert no_network == []


# ---- the hub ------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    """A hub that listens on this machine, without a proxy before it; returns its socket."""
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        yield server


def test_a_hub_that_listens_answers(hub):
    assert hub_answers()


def test_a_hub_that_is_gone_does_not(hub):
    hub.close()
    assert not hub_answers()


def test_offline_the_hub_is_not_asked(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert not hub_answers()


@pytest.mark.parametrize("scheme", ["https", "all"])
def test_behind_a_proxy_the_hub_is_taken_to_answer(scheme, hub, monkeypatch):
    hub.close()
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {scheme: "http://proxy:3128"})
    assert hub_answers()


# ---- fingerprint --------------------------------------------------------------------------------


def test_a_revision_names_the_weights(folder_of, copy_of, open_model):
    same = copy_of("bert")
    revision = open_model("bert").backbone.revision
    assert len(revision) == 12
    assert Prompting(same).backbone.revision == revision
    weights = load_file(same / "model.safetensors")
    weights["cls.predictions.bias"][7] += 0.5
    save_file(weights, same / "model.safetensors", metadata={"format": "pt"})
    assert Prompting(same).backbone.revision != revision


def test_a_list_of_checksums_names_the_weights_as_well(copy_of):
    folder = copy_of("bert")
    (folder / "SHA256SUMS").write_text("")
    assert Prompting(folder).backbone.revision == "e3b0c44298fc"  # SHA-256 of nothing


# ---- precision and device -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
def test_other_precisions_mostly_agree_on_labels(dtype, prompting, make_prompt):
    rows = [row["text"] for row in resources.load_examples("reviews")][:120]
    fast = Prompting(dtype=dtype, threads=1)
    if dtype == "bfloat16":
        assert fast.backbone.dtype == torch.bfloat16
        assert " bf16 " in fast.backbone.describe()
    exact = prompting.classify(rows, make_prompt())
    rounded = fast.classify(rows, make_prompt())
    same = sum(a == b for a, b in zip(exact.predictions, rounded.predictions, strict=True))
    assert same >= 0.94 * len(rows)
    assert rounded.probabilities == pytest.approx(exact.probabilities, abs=0.1)
    assert rounded.probabilities.sum(1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind", tiny.ARCHITECTURES)
def test_every_architecture_opens_in_bfloat16(kind, folder_of, open_model, make_prompt):
    model = Prompting(folder_of(kind), dtype="bfloat16", threads=1)
    got = model.classify(["It was good.", ""], make_prompt()).probabilities
    exact = open_model(kind).classify(["It was good.", ""], make_prompt()).probabilities
    assert got == pytest.approx(exact, abs=0.15)


@pytest.mark.parametrize("dtype", ["float16", "int8", "FLOAT32"])
def test_an_unknown_precision_is_an_error(dtype):
    message = rf'^The dtype is "{dtype}"; it must be float32, bfloat16 or auto\.$'
    with pytest.raises(PlaygroundError, match=message):
        Prompting(dtype=dtype)


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "meta", "cpu:x", "xpu:7"])
def test_a_device_that_is_not_there_is_an_error(device):
    message = rf'^The device "{device}" is not there; use auto, cpu, cuda or mps\.$'
    with pytest.raises(PlaygroundError, match=message):
        Prompting(device=device)


def test_auto_is_the_best_device_that_is_there():
    expected = "cpu"
    if torch.backends.mps.is_available():
        expected = "mps"
    if torch.cuda.is_available():
        expected = "cuda"
    assert choose_device("auto").type == expected


# ---- sanity -------------------------------------------------------------------------------------


def _untrained(folder, spoil=None):
    tokenizer = tiny.wordpiece()
    config = BertConfig(
        vocab_size=4000, hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=16, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    model = BertForMaskedLM(config)
    if spoil is not None:
        spoil(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_head_that_looks_untrained_is_warned_of(tmp_path, make_prompt):
    model = Prompting(_untrained(tmp_path))
    (warning,) = model.backbone.warnings
    assert warning.startswith(
        'Its head looks untrained: the best guess for "Paris is the capital of [MASK]." is "'
    )
    assert warning.endswith("%; scores may mean nothing.")
    assert model.explain("It", make_prompt()).warnings == (warning,)


def test_weights_that_are_no_numbers_are_warned_of(tmp_path):
    folder = _untrained(tmp_path, lambda model: model.cls.predictions.bias.data.fill_(float("nan")))
    (warning,) = Prompting(folder).backbone.warnings
    assert warning.startswith("Its head looks untrained: ")


@pytest.mark.parametrize("kind", ["shipped", "bert"])
def test_a_head_with_a_clear_guess_is_not_warned_of(kind, open_model):
    assert open_model(kind).backbone.warnings == ()


def test_the_shipped_model_knows_a_fact(prompting):
    best = prompting.fill("Paris is the capital of {mask}.", top_k=10)
    assert "france" in [fill.token for fill in best]


def test_a_model_that_reads_almost_nothing_is_refused(copy_of):
    folder = copy_of("bert")
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=4)
    tokenizer.save_pretrained(folder)
    message = r"^The model reads only 4 tokens; that is too few for a prompt\.$"
    with pytest.raises(PlaygroundError, match=message):
        load_backbone(folder, settings=Settings())
