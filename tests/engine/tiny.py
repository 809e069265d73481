"""Tiny tokenizers of three kinds and random masked LMs of eight architectures, made in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertTokenizerFast,
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DebertaV2TokenizerFast,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertTokenizerFast,
    ElectraConfig,
    ElectraForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaTokenizerFast,
)

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "albert",
    "electra",
    "deberta-v2",
    "modernbert",
    "xlm-roberta",
)
FAMILIES = ("bert", "roberta", "xlm-roberta")  # WordPiece, byte-level BPE, Unigram
MAX_TOKENS = 64
SPARE_ROWS = 8  # DeBERTa's vocabulary is padded, as the published ones are

SENTENCES = """
I really like the film a lot. Because it was great.
I did not like the film at all. Because it was awful.
The food was good and the service was great.
The food was bad and the service was slow.
It was a great movie, and the actors were good.
It was a terrible movie, and the story was boring.
Paris is the capital of France. Rome is the capital of Italy.
The man is playing a guitar in the park.
A few of us stopped to listen to him.
The weather is good today. The weather was bad yesterday.
She said that the book was wonderful. He said that it was dull.
This topic is about sports. That topic is about politics.
The team won the game in the last minute.
The minister spoke about the new law.
The market fell and the shares were down.
The phone has a good screen and a bad battery.
A man inspects the uniform of a figure. The man is sleeping.
Two women are talking. The women are not silent.
No, it was not great. Yes, it was good.
Was it good? Yes. Was it bad? No.
All in all, it was fantastic. In short, it was horrible.
We loved the music; they hated the noise.
The children are happy and the dogs are happy.
The old house is sad and empty, and the garden is wild.
My friend likes pizza. My brother likes soup and bread.
The train was late, so we took the bus.
What a great day! What an awful night!
The price is fair and the room is clean.
The price is high and the room is dirty.
It is a person. It is a place. It is an organization.
The story was sad and the end was sad, but the music was not sad.
""".strip().splitlines()

_SIZES = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "initializer_range": 0.3,  # wide, so that no two tokens have nearly the same logit
}


def wordpiece() -> PreTrainedTokenizerBase:
    """Return an uncased WordPiece tokenizer, as BERT has; the same in each process."""
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # the trainer numbers these by chance, and merges in the order of the numbers, unless it is given them
    texts = (raw.normalizer.normalize_str(sentence) for sentence in SENTENCES)
    words = (word for text in texts for word, _ in raw.pre_tokenizer.pre_tokenize_str(text))
    special += sorted({f"##{sign}" for word in words for sign in word[1:]})
    raw.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=326, special_tokens=special)
    )
    return BertTokenizerFast(vocab=raw.get_vocab())


def byte_level() -> PreTrainedTokenizerBase:
    """Return a byte-level BPE tokenizer whose mask takes the space before it, as RoBERTa has."""
    model = _byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return RobertaTokenizerFast(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )


def sentencepiece() -> PreTrainedTokenizerBase:
    """Return a Unigram tokenizer that spells special tokens as pieces of its own, as XLM-R does."""
    vocabulary = [*_unigram(["<s>", "<pad>", "</s>", "<unk>"], "<unk>"), ("<mask>", 0.0)]
    return XLMRobertaTokenizerFast(
        vocab=vocabulary, mask_token=AddedToken("<mask>", lstrip=True, special=True)
    )


def save(kind: str, folder: Path) -> Path:
    """Write a tiny random masked LM of ``kind`` with its tokenizer; return its folder."""
    model, tokenizer = _make(kind)
    with torch.no_grad():  # biases and norms of a new model are 0 and 1, which would hide an error
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _make(kind: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    torch.manual_seed(20)
    if kind == "bert":
        tokenizer = wordpiece()
        config = BertConfig(**_common(tokenizer), max_position_embeddings=MAX_TOKENS)
        return BertForMaskedLM(config), tokenizer
    if kind == "roberta":
        tokenizer = byte_level()
        config = RobertaConfig(**_common(tokenizer), max_position_embeddings=MAX_TOKENS + 2)
        return RobertaForMaskedLM(config), tokenizer
    if kind == "xlm-roberta":
        tokenizer = sentencepiece()
        config = XLMRobertaConfig(**_common(tokenizer), max_position_embeddings=MAX_TOKENS + 2)
        return XLMRobertaForMaskedLM(config), tokenizer
    if kind == "distilbert":
        tokenizer = DistilBertTokenizerFast(vocab=wordpiece().get_vocab())
        config = DistilBertConfig(
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            n_layers=2,
            n_heads=2,
            dim=32,
            hidden_dim=64,
            initializer_range=0.3,
            max_position_embeddings=MAX_TOKENS,
        )
        return DistilBertForMaskedLM(config), tokenizer
    if kind == "albert":
        vocabulary = _unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>")
        tokenizer = AlbertTokenizerFast(
            vocab=vocabulary, mask_token=AddedToken("[MASK]", lstrip=True, special=True)
        )
        config = AlbertConfig(
            **_common(tokenizer), embedding_size=16, max_position_embeddings=MAX_TOKENS
        )
        return AlbertForMaskedLM(config), tokenizer
    if kind == "electra":
        tokenizer = wordpiece()
        config = ElectraConfig(
            **_common(tokenizer), embedding_size=16, max_position_embeddings=MAX_TOKENS
        )
        return ElectraForMaskedLM(config), tokenizer
    if kind == "deberta-v2":
        tokenizer = DebertaV2TokenizerFast(
            vocab=_unigram(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[UNK]"), unk_id=1
        )
        config = DebertaV2Config(
            **(_common(tokenizer) | {"vocab_size": len(tokenizer) + SPARE_ROWS}),
            max_position_embeddings=MAX_TOKENS,
            relative_attention=True,
            position_buckets=16,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            share_att_key=True,
            norm_rel_ebd="layer_norm",
            type_vocab_size=0,
        )
        return DebertaV2ForMaskedLM(config), tokenizer
    if kind == "modernbert":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        model = _byte_level(special)
        raw = Tokenizer(models.BPE(model["vocab"], [tuple(merge) for merge in model["merges"]]))
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.add_special_tokens(
            [AddedToken(token, lstrip=token == "[MASK]", special=True) for token in special]
        )
        raw.decoder = decoders.ByteLevel()
        raw.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=raw,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token=AddedToken("[MASK]", lstrip=True, special=True),
            model_input_names=["input_ids", "attention_mask"],
        )
        config = ModernBertConfig(
            **_common(tokenizer),
            initializer_cutoff_factor=2.0,
            max_position_embeddings=MAX_TOKENS,
            local_attention=8,
            cls_token_id=2,
            sep_token_id=3,
            bos_token_id=2,
            eos_token_id=3,
        )
        return ModernBertForMaskedLM(config), tokenizer
    raise ValueError(kind)


def _common(tokenizer: PreTrainedTokenizerBase) -> dict:
    return {
        **_SIZES,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
    }


def _byte_level(special: list[str]) -> dict:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=520,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return json.loads(raw.to_str())["model"]


def _unigram(special: list[str], unknown: str) -> list[tuple[str, float]]:
    raw = Tokenizer(models.Unigram())
    raw.normalizer = normalizers.NFKC()
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    raw.train_from_iterator(
        [*SENTENCES, *(["great good bad awful sad"] * 4)],
        trainers.UnigramTrainer(vocab_size=326, special_tokens=special, unk_token=unknown),
    )
    return [tuple(entry) for entry in json.loads(raw.to_str())["model"]["vocab"]]
