"""From rendered prompts to token ids: mask by place, truncation of user text only, batches."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import AddedToken, Encoding, Regex, Tokenizer
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerBase

from playground.errors import PlaygroundError, shorten
from playground.prompts.template import MASK, Segment

_MASKS = re.compile(r"\{mask\}|\[MASK\]|<mask>")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Encoded:
    """One prompt as the model reads it.

    ids and type_ids have one entry per token; mask_positions are the places of the template's masks;
    dropped is the number of tokens cut from the user's text.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    mask_positions: tuple[int, ...]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Batch:
    """Prompts of like length, padded: rows are their places in the list that was batched."""

    rows: tuple[int, ...]
    inputs: dict[str, torch.Tensor]  # each (N, T)
    mask_positions: torch.Tensor  # (N, M)


@dataclass(frozen=True)
class _Composed:
    """A prompt as text: one or two sequences, and where the user's texts lie in them."""

    sequences: tuple[str, ...]
    fields: tuple[tuple[int, int, int], ...]  # (sequence, start, end), characters
    keep_end: tuple[bool, ...]  # of each field: what stands before a span is cut at its start
    masks: int


class Encoder:
    """Turns rendered prompts into ids with one tokenizer, always along the same path.

    The masks of a template are written as a one-time marker that a private copy of the tokenizer
    knows as a token of its own, while special tokens spelled out in a user's text stay plain text.
    The marker's places become the mask token, so a "[MASK]" typed by a user never counts. Soft tokens
    are placed alike: ``soft`` is the id of the first that the model has, and how many there are.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        *,
        cut: str = "longest",
        soft: tuple[int, int] = (0, 0),
    ) -> None:
        if not tokenizer.is_fast or tokenizer.mask_token_id is None:
            raise PlaygroundError(
                f"The tokenizer {type(tokenizer).__name__} has no fast version with a mask token; "
                "choose a model such as bert-base-uncased, roberta-base or xlm-roberta-base."
            )
        self.max_tokens = max_tokens
        self._remove = CUTS[cut]
        self.mask_id: int = tokenizer.mask_token_id
        self.special_ids = frozenset(tokenizer.all_special_ids)
        self.special_tokens = frozenset(tokenizer.all_special_tokens)
        self.uses_type_ids = "token_type_ids" in tokenizer.model_input_names
        self.pad_id: int = tokenizer.pad_token_id or 0
        self.mask_token: str = tokenizer.mask_token
        backend = literal_backend(tokenizer)
        own = tokenizer.added_tokens_decoder.get(self.mask_id)
        self._marker = f"\ue000{secrets.token_hex(12)}\ue001"
        marker = AddedToken(
            self._marker,
            special=False,
            normalized=False,
            lstrip=bool(own and own.lstrip),
            rstrip=bool(own and own.rstrip),
        )
        self._first_soft, self.soft_tokens = soft
        self._soft = f"\ue000{secrets.token_hex(12)}\ue002"
        backend.add_tokens([marker, AddedToken(self._soft, normalized=False, lstrip=True)])
        self._marker_id = backend.token_to_id(self._marker)
        self._soft_id = backend.token_to_id(self._soft)
        self._markers = {"mask": self._marker, "soft": self._soft}
        self._backend = backend

    def check_soft(self, wanted: int) -> None:
        """Raise PlaygroundError unless a template's ``wanted`` soft tokens are those that were tuned."""
        if wanted not in (0, self.soft_tokens):
            raise PlaygroundError(
                f"The template's soft tokens are {wanted} and this model has "
                f"{self.soft_tokens or 'none'} that are tuned; tune them with the method soft, or take "
                "{soft:…} out."
            )

    def encode(self, prompts: Sequence[Sequence[Segment]]) -> list[Encoded | PlaygroundError]:
        """Return each prompt's ids, or the error of a prompt that does not fit."""
        composed = [self._compose(segments) for segments in prompts]
        inputs = [c.sequences if len(c.sequences) > 1 else c.sequences[0] for c in composed]
        encodings = self._backend.encode_batch_fast(inputs)
        results: list[Encoded | PlaygroundError] = []
        for prompt, encoding in zip(composed, encodings, strict=True):
            try:
                results.append(self._encoded(prompt, encoding))
            except PlaygroundError as error:
                results.append(error)
        return results

    def encode_one(self, segments: Sequence[Segment]) -> Encoded:
        """Return one prompt's ids; raises PlaygroundError if its template does not fit."""
        result = self.encode([segments])[0]
        if isinstance(result, PlaygroundError):
            raise result
        return result

    def free_text(self, text: str) -> tuple[Segment, ...]:
        """Split a text at its masks ({mask}, [MASK], <mask> or the model's own) into segments."""
        shown = text.replace(self.mask_token, MASK)
        segments: list[Segment] = []
        position = 0
        for match in _MASKS.finditer(shown):
            segments.append(Segment("literal", shown[position : match.start()]))
            segments.append(Segment("mask", MASK))
            position = match.end()
        segments.append(Segment("literal", shown[position:]))
        return tuple(segment for segment in segments if segment.text)

    def pieces(self, word: str, before: str = " ") -> tuple[int, ...]:
        """Return the ids of ``word`` as it would stand at a mask that follows ``before``.

        A word after a space is encoded with that space (byte-level models score another token
        otherwise), at the start of the text without one, and glued to a sign as its continuation.
        """
        anchor = before[-1:]
        if not anchor or anchor.isspace():
            return tuple(self._plain((" " if anchor else "") + word).ids)
        encoding = self._plain(anchor + word)
        starts = [start for start, _ in encoding.offsets]
        if 1 in starts:
            return tuple(encoding.ids[starts.index(1) :])
        return tuple(self._plain(word).ids)

    def check_word(self, word: str, ids: Sequence[int]) -> None:
        """Raise PlaygroundError if a label word has no pieces or unknown or special ones."""
        if not ids:
            raise PlaygroundError(f"Label word {shorten(word)} has no token in this model.")
        if word in self.special_tokens:
            raise PlaygroundError(
                f"Label word {shorten(word)} is a special token of this model; choose a plain word."
            )
        if self.special_ids.intersection(ids):  # the unknown token is one of them
            raise PlaygroundError(
                f"Label word {shorten(word)} is unknown to this model; choose another word."
            )

    def _plain(self, text: str) -> Encoding:
        return self._backend.encode(clean(text), add_special_tokens=False)

    def _compose(self, segments: Sequence[Segment]) -> _Composed:
        halves: list[list[Segment]] = [[]]
        for segment in segments:
            if segment.kind == "sep":
                halves.append([])
            else:
                halves[-1].append(segment)
        sequences: list[str] = []
        fields: list[tuple[int, int, int]] = []
        keep_end = [s.field == "before" for s in segments if s.kind == "field"]
        for number, half in enumerate(halves):
            text = ""
            for segment in half:
                start = len(text)
                text += self._markers.get(segment.kind) or clean(segment.text)
                if segment.kind == "field":
                    fields.append((number, start, len(text)))
            if len(halves) > 1:  # white space beside {sep} belongs to neither side
                cut = len(text) - len(text.lstrip()) if number else 0
                text = text[cut:].rstrip() if number == 0 else text[cut:]
                fields = [
                    (n, a, b) if n != number else (n, max(a - cut, 0), min(b - cut, len(text)))
                    for n, a, b in fields
                ]
            sequences.append(text)
        masks = sum(segment.kind == "mask" for segment in segments)
        return _Composed(tuple(sequences), tuple(fields), tuple(keep_end), masks)

    def _encoded(self, prompt: _Composed, encoding: Encoding) -> Encoded:
        ids, type_ids = encoding.ids, encoding.type_ids
        dropped: set[int] = set()
        if len(ids) > self.max_tokens:
            dropped = self._cut(prompt, len(ids) - self.max_tokens)
            ids = [token for i, token in enumerate(ids) if i not in dropped]
            type_ids = [kind for i, kind in enumerate(type_ids) if i not in dropped]
        positions = tuple(i for i, token in enumerate(ids) if token == self._marker_id)
        if len(positions) != prompt.masks:
            raise PlaygroundError("The template's masks could not be placed in this prompt.")
        for position in positions:
            ids[position] = self.mask_id
        soft = [i for i, token in enumerate(ids) if token == self._soft_id]
        self.check_soft(len(soft))
        for number, position in enumerate(soft):
            ids[position] = self._first_soft + number
        return Encoded(tuple(ids), tuple(type_ids), positions, len(dropped))

    def _cut(self, prompt: _Composed, excess: int) -> set[int]:
        """Return the places of ``excess`` tokens to drop: from the user's texts, last first."""
        sequences = prompt.sequences
        encoding = self._backend.encode(sequences[0], *sequences[1:])  # type: ignore[arg-type]
        owned: list[list[int]] = [[] for _ in prompt.fields]
        for place, (number, (start, end)) in enumerate(
            zip(encoding.sequence_ids, encoding.offsets, strict=True)
        ):
            if number is None:
                continue
            text = sequences[number]
            while start < end and text[start].isspace():
                start += 1
            for index, (sequence, first, last) in enumerate(prompt.fields):
                # a token of white space alone has no width here; texts neither start nor end in one
                inside = first <= start and end <= last if start < end else first < start < last
                if sequence == number and inside:
                    owned[index].append(place)
                    break
        spare = sum(map(len, owned))
        if spare < excess:
            fixed = len(encoding.ids) - spare
            raise PlaygroundError(
                f"The prompt takes {fixed} tokens without any text and the model reads "
                f"{self.max_tokens}; shorten the template."
            )
        kept = self._remove([len(places) for places in owned], excess)
        return {
            place
            for places, count, end in zip(owned, kept, prompt.keep_end, strict=True)
            for place in (places[: len(places) - count] if end else places[count:])
        }


def cut_longest(lengths: Sequence[int], excess: int) -> list[int]:
    """Return how many tokens of each text are kept if one is taken from the longest, again and again.

    ``lengths`` add up to ``excess`` or more. A text that is shorter than the others loses nothing.
    """
    kept = list(lengths)
    for _ in range(excess):
        kept[kept.index(max(kept))] -= 1
    return kept


def cut_by_ratio(lengths: Sequence[int], excess: int) -> list[int]:
    """Return how many tokens of each text are kept if all lose the same share.

    ``lengths`` add up to ``excess`` or more. Shares are rounded by the largest remainder, and a text
    keeps a token while there is one for each.
    """
    total = sum(lengths)
    room = total - excess
    shares = [length * room / total for length in lengths]
    kept = [int(share) for share in shares]
    if room >= sum(length > 0 for length in lengths):
        kept = [max(count, length > 0) for count, length in zip(kept, lengths, strict=True)]
    by_remainder = sorted(range(len(kept)), key=lambda i: kept[i] - shares[i])
    for i in by_remainder[: max(0, room - sum(kept))]:
        kept[i] += 1
    while sum(kept) > room:
        kept[kept.index(max(kept))] -= 1
    return kept


CUTS: dict[str, Callable[[Sequence[int], int], list[int]]] = {
    "longest": cut_longest,
    "ratio": cut_by_ratio,
}


def literal_backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """Return a private copy of a fast tokenizer to which special tokens spelled in a text are text."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    backend.encode_special_tokens = True
    _forget_spellings(backend, sorted(tokenizer.all_special_tokens))
    return backend


def _forget_spellings(backend: Tokenizer, special: Sequence[str]) -> None:
    """Keep the model of ``backend`` from reading a spelled-out special token as that token.

    SentencePiece vocabularies (XLM-R, DeBERTa) hold "<mask>" or "[SEP]" as an ordinary piece too, so
    that ``encode_special_tokens`` alone does not keep it text. A cut behind its first character does.
    """
    spelled = []
    for token in special:
        encoding = backend.encode(token, add_special_tokens=False)
        found = zip(encoding.ids, encoding.offsets, strict=True)
        own = backend.token_to_id(token)
        if any(i == own and end - start > 1 for i, (start, end) in found):
            spelled.append(token)
    if spelled:
        first = "|".join(f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in spelled)
        cut = Split(Regex(first), "merged_with_previous")
        usual = backend.pre_tokenizer
        backend.pre_tokenizer = cut if usual is None else PreTokenizers([usual, cut])


def clean(text: str) -> str:
    """Replace lone surrogates, which no tokenizer accepts, one for one."""
    return _SURROGATES.sub("\ufffd", text)


def batches(
    prompts: Sequence[Encoded],
    *,
    budget: int,
    pad_id: int,
    type_ids: bool,
    device: torch.device | str = "cpu",
) -> Iterator[Batch]:
    """Yield length-sorted batches of at most ``budget`` padded tokens (at least one prompt each).

    All prompts must have the same number of masks.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and len(prompts[order[end]]) * (end + 1 - start) <= budget:
            end += 1
        yield collate(
            [prompts[i] for i in order[start:end]], order[start:end], pad_id, type_ids, device
        )
        start = end


def collate(
    prompts: Sequence[Encoded],
    rows: Sequence[int],
    pad_id: int,
    type_ids: bool,
    device: torch.device | str,
) -> Batch:
    """Pad prompts to the longest, with an attention mask, and move them to ``device``."""
    width = max(len(prompt) for prompt in prompts)
    gaps = [width - len(prompt) for prompt in prompts]
    inputs = {
        "input_ids": [[*p.ids, *[pad_id] * gap] for p, gap in zip(prompts, gaps, strict=True)],
        "attention_mask": [[1] * len(p) + [0] * gap for p, gap in zip(prompts, gaps, strict=True)],
    }
    if type_ids:
        inputs["token_type_ids"] = [
            [*p.type_ids, *[0] * gap] for p, gap in zip(prompts, gaps, strict=True)
        ]
    return Batch(
        tuple(rows),
        {name: torch.tensor(values, device=device) for name, values in inputs.items()},
        torch.tensor([p.mask_positions for p in prompts], device=device),
    )
