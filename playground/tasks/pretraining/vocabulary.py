"""A WordPiece vocabulary of one's own texts (Schuster and Nakajima 2012; Wu et al. 2016, § 4.1)."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from playground.errors import PlaygroundError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(
    texts: Iterator[str], size: int, *, lowercase: bool = True, longest: int = 512
) -> PreTrainedTokenizerBase:
    """Return BERT's tokenizer with ``size`` pieces of these texts; ``longest`` is the model's input.

    Raises PlaygroundError where the texts do not hold so many pieces.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    found = tokenizer.get_vocab_size()
    if found < size:
        raise PlaygroundError(
            f"The texts hold {found:,} pieces, fewer than the vocabulary of {size:,}; "
            f"give more text, or --vocabulary {found} or less."
        )
    marks = {mark: tokenizer.token_to_id(mark) for mark in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=list(marks.items()),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
