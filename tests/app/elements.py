"""Our HTML as a browser would read it: elements in order, with their attributes and text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"input", "br", "img"}


@dataclass
class Element:
    """One element: its tag, its attributes, and the text inside it, children's included."""

    tag: str
    attributes: dict[str, str]
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.open: list[Element] = []

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1].tag != tag:
            raise ValueError(f"</{tag}> closes nothing")
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element.pieces.append(data)

    def handle_comment(self, data):
        raise ValueError(f"a comment: {data}")


def read(html: str) -> list[Element]:
    """Return the elements of ``html``; ValueError if one is not closed or closed twice."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    if reader.open:
        raise ValueError(f"<{reader.open[-1].tag}> is left open")
    return reader.elements


def select(html: str, name: str) -> list[Element]:
    """Return the elements with the class ``name``."""
    return [element for element in read(html) if name in element.classes]


def texts(html: str, name: str) -> list[str]:
    """Return the texts of the elements with the class ``name``."""
    return [element.text for element in select(html, name)]


def buttons(html: str) -> list[tuple[str, str, str]]:
    """Return what the buttons report, and what they show: (act, argument, text)."""
    return [
        (e.attributes["data-act"], e.attributes["data-arg"], e.text)
        for e in read(html)
        if "data-act" in e.attributes
    ]
