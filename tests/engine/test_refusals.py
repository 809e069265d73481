"""Models that are not there, damaged, of another kind or not allowed: one sentence, no code run."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    ElectraConfig,
    ElectraForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
)

from playground import PlaygroundError, Prompting
from tests.engine import tiny


@pytest.fixture
def folder(folder_of, tmp_path) -> Path:
    """A copy of the tiny BERT, called broken, for a test to break."""
    return Path(shutil.copytree(folder_of("bert"), tmp_path / "broken"))


def _edit(file: Path, **changes: object) -> None:
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | changes))


def _refused(model: object, message: str) -> None:
    with pytest.raises(PlaygroundError, match=message) as caught:
        Prompting(model)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert caught.value.__cause__ is None


# ---- not there ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["bert-base-uncased", "someone/bert", "someone/bert-safetensors", "x" * 300]
)
def test_a_hub_id_without_a_network_names_what_is_here(name):
    message = (
        r'^The model "\S+" could not be fetched from the hub: there is no network, or no such '
        r"model; models that are here: .*playground-mini"
    )
    _refused(name, message)


def test_a_hub_id_behind_a_blocked_network_is_refused_at_once(no_network, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    _refused(
        "someone/bert", r'^The model "someone/bert" could not be fetched from the hub: there is'
    )
    assert len(no_network) == 1  # it was tried once, and the hub's own client not at all
    assert waits == []


@pytest.mark.parametrize(
    "name", ["no/such/folder", "../x", "a..b/c", "https://x.org/y", "a b", "\0"]
)
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(name, no_network):
    message = r"^The model .+ is neither a folder here nor a hub id such as bert-base-uncased; shi"
    _refused(name, message)
    assert no_network == []


@pytest.mark.parametrize("name", ["/etc", "/", "~"])
def test_a_folder_without_a_config_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    message = rf'^The folder "{name}" has no config\.json; give a folder written by save_pretrained'
    _refused(name, message)


# ---- damaged ------------------------------------------------------------------------------------

UNREADABLE = (
    r'^The model "broken" cannot be read: a file of it is missing or damaged, or it has no '
)
UNKNOWN = (
    r'^The model "broken" cannot be read; its files are damaged or of a kind that transformers does '
    r"not know \({}\); get it again\.$"
)
NO_JSON = r'^The model "broken" is damaged: one of its JSON files cannot be read; get it again\.$'


@pytest.mark.parametrize("left", [0, 5, 2000, -1])
def test_truncated_weights_are_refused(left, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    _refused(folder, UNKNOWN.format("SafetensorError"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_refused(name, folder):
    (folder / name).unlink()
    _refused(folder, UNREADABLE if name.startswith("model") else r'^The folder ".*" has no config')


def test_a_missing_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    message = (
        r'^The tokenizer of "broken" has no words; its files are missing or damaged: get the model '
        r"again\.$"
    )
    _refused(folder, message)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": {}}', "nonsense", '"x"'])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_damaged_json_file_is_refused(name, content, folder):
    (folder / name).write_text(content)
    if name == "tokenizer_config.json" and content == "{}":
        assert Prompting(folder).backbone.vocabulary_size == 326  # all is in the other files
        return
    _refused(
        folder, rf"{UNREADABLE}|{UNKNOWN.format('.*')}|{NO_JSON}|^The tokenizer of .* no words"
    )


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_file_of_other_bytes_is_refused(name, folder):
    (folder / name).write_bytes(b"\xff\xfe\x00\x80")
    _refused(folder, rf"{UNREADABLE}|{UNKNOWN.format('.*')}|{NO_JSON}")


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "unheard-of"},
        {"model_type": 3},
        {"num_hidden_layers": "two"},
        {"num_attention_heads": 0},
        {"num_attention_heads": 3},
        {"hidden_size": 64},
        {"hidden_act": "unheard-of"},
        {"pad_token_id": 9999},
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_is_refused(changes, folder):
    _edit(folder / "config.json", **changes)
    _refused(folder, UNKNOWN.format(r"\w+"))


def test_a_tokenizer_of_an_unknown_kind_is_refused(folder):
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"WordPiece"', '"UnheardOf"'))
    _refused(folder, UNKNOWN.format(r"\w+"))


def test_a_missing_layer_is_refused(folder):
    _edit(folder / "config.json", num_hidden_layers=3)
    message = (
        r'^The checkpoint "broken" is incomplete: 16 weights such as bert\.encoder\.layer\.2\.\S+ are '
        r"missing; get it again\.$"
    )
    _refused(folder, message)


# ---- checksums ----------------------------------------------------------------------------------


@pytest.fixture
def listed(folder) -> Path:
    """The copy with a right SHA256SUMS."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


def test_a_right_list_of_checksums_is_no_hindrance(listed):
    assert Prompting(listed).backbone.name == "broken"


@pytest.mark.parametrize("place", [-1, -10_000, 3000])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_flipped_byte_is_refused(name, place, listed):
    data = bytearray((listed / name).read_bytes())
    data[place % len(data)] ^= 1
    (listed / name).write_bytes(data)
    message = (
        rf"^The model broken is damaged: {name} is not the file that was shipped \(its SHA-256 "
        r"differs\); get the project again\.$"
    )
    _refused(listed, message)


def test_a_listed_file_that_is_gone_is_refused(listed):
    (listed / "tokenizer_config.json").unlink()
    message = r"^The model broken lacks its file tokenizer_config\.json; get the project again\.$"
    _refused(listed, message)


@pytest.mark.parametrize("content", [b"\xff\xff\n", b"nonsense\n", b"abc  \n"])
def test_a_list_that_cannot_be_read_is_refused(content, listed):
    (listed / "SHA256SUMS").write_bytes(content)
    message = r"^The model broken is damaged: its list SHA256SUMS cannot be read; get the project "
    _refused(listed, message)


# ---- code and pickles ---------------------------------------------------------------------------


class _Trap:
    """An object whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_opened(folder, tmp_path, no_network):
    sprung = tmp_path / "sprung"
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    _refused(folder, UNREADABLE)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(sprung)))
    _refused(folder, UNREADABLE)
    assert not sprung.exists()
    assert no_network == []
    pickle.loads(pickle.dumps(_Trap(sprung)))  # noqa: S301 - the trap itself works
    assert sprung.exists()


CODE = "from pathlib import Path\nPath({!r}).touch()\nclass Evil: pass\n"


@pytest.mark.parametrize("model_type", ["bert", "evil"])
@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_code_of_a_checkpoint_is_never_run(where, model_type, folder, tmp_path, no_network):
    sprung = tmp_path / "sprung"
    (folder / "evil.py").write_text(CODE.format(str(sprung)))
    names = ("AutoConfig", "AutoModelForMaskedLM", "AutoTokenizer")
    _edit(folder / "config.json", model_type=model_type)
    _edit(folder / where, auto_map=dict.fromkeys(names, "evil.Evil"), tokenizer_class="Evil")
    if model_type == "evil":
        _refused(folder, UNKNOWN.format("ValueError"))
    else:  # a kind that transformers knows is read by the code of transformers
        assert len(Prompting(folder).fill("It was {mask}.")) == 5
    assert not sprung.exists()
    assert no_network == []


# ---- of another kind ----------------------------------------------------------------------------


def _save(folder: Path, model) -> Path:
    model.save_pretrained(folder)
    tiny.wordpiece().save_pretrained(folder)
    return folder


def _small(config, **changes):
    sizes = {
        "vocab_size": 330, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 16, "max_position_embeddings": 64,
    }  # fmt: skip
    return config(**(sizes | changes))


def test_a_decoder_is_refused(tmp_path):
    config = GPT2Config(vocab_size=330, n_embd=16, n_layer=1, n_head=1, n_positions=64)
    folder = _save(tmp_path / "generator", GPT2LMHeadModel(config))
    message = (
        r'^The model "generator" is a gpt2 without a masked-LM head; choose a BERT-like model such '
        r"as bert-base-uncased\.$"
    )
    _refused(folder, message)


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (lambda: BertForSequenceClassification(_small(BertConfig)), "cls.predictions."),
        (lambda: BertModel(_small(BertConfig)), "cls.predictions."),
        (lambda: ElectraForPreTraining(_small(ElectraConfig)), "generator_"),
    ],
    ids=["classifier", "encoder", "discriminator"],
)
def test_a_checkpoint_without_a_masked_lm_head_is_refused(make, head, tmp_path):
    folder = _save(tmp_path / "headless", make())
    message = (
        r'^The checkpoint "headless" has no trained masked-LM head \(\d+ weights such as '
        rf"{head}\S+ are missing\); choose one made for fill-mask\.$"
    )
    _refused(folder, message)


def test_a_head_that_lacks_one_weight_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["cls.predictions.transform.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    message = r"\(1 weights such as cls\.predictions\.transform\.dense\.weight are missing\)"
    _refused(folder, message)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path):
    folder = _save(tmp_path / "odd", BertForMaskedLM(_small(BertConfig, vocab_size=300)))
    message = (
        r'^The tokenizer of "odd" has 326 tokens and the model 300; they do not belong together\.$'
    )
    _refused(folder, message)
