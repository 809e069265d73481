"""Cloze templates: a fixed grammar, parsed once. Nothing in a template or a text is executed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from playground.errors import PlaygroundError, shorten
from playground.settings import settings

FIELDS = (
    *("text", "text_a", "text_b", "premise", "hypothesis"),
    *("head", "tail"),  # two entities of one text, whose relation is asked
    *("span", "before", "after"),
)
_AROUND = ("before", "after")  # what stands around {span} in {text}
MASK = "[MASK]"  # how a mask is shown, whatever the model's own mask token
SOFT = "[SOFT]"  # how a soft token is shown, which is a vector and no word
MAX_SOFT = 100

_TOKEN = re.compile(
    r"(?P<open>\{\{)|(?P<close>\}\})|(?P<slot>\{[^{}]*\})|(?P<mask>\[MASK\]|<mask>)|(?P<stray>[{}])"
)

_SOFT = re.compile(r"soft:\s*([0-9]{1,9})")

Row = str | Mapping[str, str] | Sequence[str]


@dataclass(frozen=True)
class Part:
    """One piece of a parsed template.

    ``kind`` is "literal" (``value`` is the text), "field" (``value`` is the field's name),
    "mask", "sep" or "soft" (``value`` is "soft:4"). ``column`` is the 1-based column in the source.
    """

    kind: str
    value: str
    column: int

    @property
    def soft(self) -> int:
        """How many soft tokens the part is, 0 for any other."""
        return int(self.value.removeprefix("soft:")) if self.kind == "soft" else 0


@dataclass(frozen=True)
class Segment:
    """One piece of a rendered prompt: kind "literal", "field", "mask", "sep" or "soft", and its text."""

    kind: str
    text: str
    field: str | None = None


@dataclass(frozen=True)
class Template:
    """A cloze pattern such as ``"{text} Because it was {mask}."``.

    Slots: ``{text}``, ``{text_a}``, ``{text_b}``, ``{premise}``, ``{hypothesis}``; ``{head}`` and
    ``{tail}``, two entities of a text; ``{span}``; ``{before}`` and ``{after}``, what stands around the
    span in the text, so that a prompt can be written into the sentence
    (``"{before}the {mask} {span}{after}"``); ``{mask}`` (also ``[MASK]`` and ``<mask>``); ``{sep}``, at
    most once, splits the prompt into the tokenizer's sentence pair; ``{soft:4}``, four tokens that are
    vectors learned by tuning (Liu et al. 2021). ``{{`` and ``}}`` are literal braces.

    Raises PlaygroundError, with the column, for anything else in braces.
    """

    source: str

    def __post_init__(self) -> None:
        limit = settings().max_template_chars
        if not isinstance(self.source, str):
            raise PlaygroundError(
                f"A template is text with a {{mask}}, not a {type(self.source).__name__}."
            )
        if len(self.source) > limit:
            raise PlaygroundError(
                f"The template has {len(self.source):,} characters; the most is {limit:,}."
            )
        if not self.source.strip():
            raise PlaygroundError("The template is empty; write a sentence with a {mask} in it.")
        _ = self.parts

    def __str__(self) -> str:
        return self.source

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parsed template; literals next to each other are joined."""
        parts: list[Part] = []
        literal: list[str] = []
        start = 1  # column of the literal being gathered

        def flush() -> None:
            if literal:
                parts.append(Part("literal", "".join(literal), start))
                literal.clear()

        position = 0
        for match in _TOKEN.finditer(self.source):
            column = match.start() + 1
            if not literal:
                start = position + 1
            literal.extend(filter(None, [self.source[position : match.start()]]))
            position = match.end()
            kind = match.lastgroup
            if kind in ("open", "close"):
                if not literal:
                    start = column
                literal.append("{" if kind == "open" else "}")
                continue
            if kind == "stray":
                raise PlaygroundError(
                    f'Column {column} of the template has a "{match.group()}" without its partner; '
                    f"write {match.group() * 2} for a literal brace."
                )
            flush()
            parts.append(self._slot(match.group(), column))
        if not literal:
            start = position + 1
        literal.extend(filter(None, [self.source[position:]]))
        flush()
        if sum(part.kind == "sep" for part in parts) > 1:
            raise PlaygroundError("The template has more than one {sep}; a pair has one border.")
        if (soft := sum(part.soft for part in parts)) > MAX_SOFT:
            raise PlaygroundError(f"The template has {soft} soft tokens; the most is {MAX_SOFT}.")
        return tuple(parts)

    @staticmethod
    def _slot(source: str, column: int) -> Part:
        name = source[1:-1].strip() if source.startswith("{") else "mask"
        if name in ("mask", "sep"):
            return Part(name, name, column)
        if name in FIELDS:
            return Part("field", name, column)
        if match := _SOFT.fullmatch(name):
            if not 1 <= (tokens := int(match.group(1))) <= MAX_SOFT:
                raise PlaygroundError(
                    f"Column {column} of the template has {shorten(source)}; a soft slot has 1 to "
                    f"{MAX_SOFT} tokens, as in {{soft:4}}."
                )
            return Part("soft", f"soft:{tokens}", column)
        known = ", ".join(f"{{{slot}}}" for slot in (*FIELDS, "mask", "sep", "soft:4"))
        raise PlaygroundError(
            f"Column {column} of the template has {shorten(source)}; the slots are {known}, "
            "and {{ and }} are literal braces."
        )

    @cached_property
    def soft_tokens(self) -> int:
        """How many soft tokens the template has; their order is that of the tuned vectors."""
        return sum(part.soft for part in self.parts)

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots that texts fill, in order, each once."""
        return tuple(dict.fromkeys(part.value for part in self.parts if part.kind == "field"))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the texts that the template takes, in order, each once.

        They are its slots, but for {before} and {after}, which are cut out of the text at the span.
        """
        if not set(self.slots) & set(_AROUND):
            return self.slots
        taken = dict.fromkeys("text" if slot in _AROUND else slot for slot in self.slots)
        others = [name for name in taken if name not in ("text", "span")]
        return ("text", "span", *others)

    @cached_property
    def masks(self) -> int:
        """How many masks the template has."""
        return sum(part.kind == "mask" for part in self.parts)

    def require_one_mask(self) -> None:
        """Raise PlaygroundError unless the template has exactly one mask, as scoring labels needs."""
        if self.masks == 0:
            raise PlaygroundError(
                "The template has no {mask}; put {mask} where a label word should stand."
            )
        if self.masks > 1:
            column = [part.column for part in self.parts if part.kind == "mask"][1]
            raise PlaygroundError(
                f"The template has {self.masks} masks, the second at column {column}; "
                "scoring labels takes exactly one."
            )

    def bind(self, row: Row) -> dict[str, str]:
        """Return the text of each field, taken from one row.

        A row is a string (templates with one field), a mapping by field name, or a sequence in the
        order of ``fields``. A mapping may give every slot itself, {before} and {after} too, which says
        which of several equal spans is meant. Raises PlaygroundError for a missing or non-text value.
        """
        if isinstance(row, str):
            if len(self.fields) > 1:
                raise PlaygroundError(
                    f"The template takes {_listed(self.fields)}, but the row is one text "
                    f"{shorten(row)}; give a value for each."
                )
            return dict.fromkeys(self.fields, row)
        if isinstance(row, Mapping):
            names = self.slots if all(slot in row for slot in self.slots) else self.fields
            missing = [name for name in names if name not in row]
            if missing:
                raise PlaygroundError(
                    f"The row has no {_listed(missing)}; it has {_listed(row) or 'nothing'}."
                )
            values = {name: row[name] for name in names}
        elif isinstance(row, Sequence):
            if len(row) != len(self.fields):
                raise PlaygroundError(
                    f"The template takes {len(self.fields)} texts, {_listed(self.fields)}; "
                    f"the row has {len(row)}."
                )
            values = dict(zip(self.fields, row, strict=True))
        else:
            raise PlaygroundError(f"A row is a text, not {shorten(row)} ({type(row).__name__}).")
        for name, value in values.items():
            if not isinstance(value, str):
                raise PlaygroundError(
                    f"{name} is {shorten(value)} ({type(value).__name__}); it must be text."
                )
        return values

    def fillings(self, row: Row) -> dict[str, str]:
        """Return what fills each slot for one row, its outer white space dropped.

        Raises PlaygroundError as :meth:`bind` does, and for a span that does not stand in its text.
        """
        values = self.bind(row)
        if set(self.slots) & set(_AROUND) and not set(values) & set(_AROUND):
            text, span = values["text"].strip(), values["span"].strip()
            start = _place(span, text)
            values |= {"before": text[:start], "after": text[start + len(span) :]}
        found = {slot: values[slot].strip() for slot in self.slots if slot not in _AROUND}
        if "before" in self.slots:  # the space beside the span stays
            found["before"] = values["before"].lstrip()
        if "after" in self.slots:
            found["after"] = values["after"].rstrip()
        return found

    def render(self, row: Row, *, masks: int = 1) -> tuple[Segment, ...]:
        """Return the prompt for one row, piece by piece, each mask repeated ``masks`` times.

        Outer white space of the texts is dropped, so that a trailing blank does not change a score.
        """
        values = self.fillings(row)
        segments: list[Segment] = []
        for part in self.parts:
            if part.kind == "literal":
                segments.append(Segment("literal", part.value))
            elif part.kind == "field":
                segments.append(Segment("field", values[part.value], part.value))
            elif part.kind == "mask":
                segments.extend([Segment("mask", MASK)] * masks)
            elif part.kind == "soft":
                segments.extend([Segment("soft", SOFT)] * part.soft)
            else:
                segments.append(Segment("sep", " "))
        return tuple(segments)

    def fill(self, row: Row) -> str:
        """Return the prompt for one row as plain text, masks shown as ``[MASK]``."""
        return "".join(segment.text for segment in self.render(row))


def _place(span: str, text: str) -> int:
    """Return where ``span`` first stands in ``text``, as a whole word if it does."""
    whole = re.search(rf"(?<!\w){re.escape(span)}(?!\w)", text)
    start = whole.start() if whole else text.find(span)
    if start < 0:
        raise PlaygroundError(
            f"The span {shorten(span)} does not stand in the text {shorten(text)}; "
            "write it as it stands there."
        )
    return start


def _listed(names) -> str:
    return ", ".join(f"{{{str(name)[:40]}}}" for name in list(names)[:12])
