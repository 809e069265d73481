"""Thirty payloads at every door of the page: each is shown as text, and nothing of it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from playground.app.share import ComparedPrompt, PageState
from playground.errors import PlaygroundError
from playground.prompts import Prompt, Template, Verbalizer
from tests.app.driver import START, Visitor
from tests.app.payloads import PAYLOADS, as_template, as_word

pytestmark = pytest.mark.browser

WORDS = [as_word(payload) for payload in PAYLOADS]
LABELS = [payload.replace(":", "").replace("\n", "")[:60] for payload in PAYLOADS]
KNOWN = [
    *("good", "bad", "great", "poor", "happy", "sad", "old", "new", "long", "short", "big"),
    *("small", "early", "late", "hot", "cold", "red", "blue", "green", "dark", "light", "fast"),
    *("slow", "hard", "soft", "rich", "sweet", "fine", "free", "full", "dry"),
]
MANY = Verbalizer(  # every fifth word is a payload: they are of many pieces, and take their time
    {
        label: [WORDS[i] if i % 5 == 2 else KNOWN[i]]
        for i, label in enumerate(LABELS)
        if label.strip()
    }
)
# Every element and attribute inside our own components; Gradio's are around them, not inside.
INSIDE = """() => [...document.querySelectorAll('.html-container .prose *')].map((element) =>
  [element.tagName.toLowerCase(), element.getAttributeNames()])"""
TAGS = {"div", "p", "h1", "h2", "h3", "ul", "li", "span", "b", "mark", "button", "label", "input",
        "table", "thead", "tbody", "tr", "th", "td"}  # fmt: skip
ATTRIBUTES = {
    *("class", "id", "title", "style", "type", "role", "accept", "tabindex", "aria-live"),
    *("aria-hidden", "aria-label", "data-act", "data-arg", "data-seq", "data-summary"),
}
# What a payload would add anywhere on the page, the chart and the code box included.
ALIEN = """() => [...document.querySelectorAll(
    'xss, iframe, marquee, video, details, math, object, embed, img[src=x], script[src*="evil"], ' +
    'link[href*="evil"], base[href*="evil"], a[href^="javascript"], [onerror], [onload], [onfocus], [onmouseover], [ontoggle]')]
  .map((element) => element.outerHTML.slice(0, 100))"""


def inert(visitor: Visitor) -> None:
    """Check that the page holds only what we made; dialogs and requests are watched throughout."""
    found = visitor.page.evaluate(INSIDE)
    assert len(found) > 50
    assert {tag for tag, _ in found} <= TAGS
    assert {name for _, names in found for name in names} <= ATTRIBUTES
    assert visitor.page.evaluate(ALIEN) == []


def texts(visitor: Visitor, selector: str) -> list[str]:
    return visitor.page.locator(selector).all_text_contents()


def test_the_check_sees_an_injection(visitor):
    visitor.page.evaluate("document.querySelector('.pp-name').innerHTML = '<xss onload=x></xss>'")
    with pytest.raises(AssertionError):
        inert(visitor)
    assert visitor.page.evaluate(ALIEN) == ['<xss onload="x"></xss>']


def test_payloads_as_text_and_in_the_template(visitor):
    for payload in PAYLOADS:
        old = visitor.seq()
        visitor.box("classify-text").fill(payload)
        visitor.box("classify-template").fill(as_template(payload))
        visitor.until_text("#classify-details .pp-prompt", f"{payload} {payload} [MASK].")
        assert visitor.seq() > old
        assert texts(visitor, "#classify-details .pp-field") == [payload]
        assert visitor.said() == ""
        inert(visitor)


def said_of(**changes: str) -> str:
    """Return the sentence with which the inputs are refused."""
    with pytest.raises(PlaygroundError) as error:
        replace(START, **changes).prompt()
    return str(error.value)


def test_payloads_as_a_broken_template(visitor):
    """What is no template comes back in the error line, which is text as well."""
    for payload in PAYLOADS:
        broken = f"{{{payload}"
        visitor.box("classify-template").fill(broken)
        visitor.until_text("#classify-notice .pp-error", said_of(template=broken))
        inert(visitor)


def test_payloads_as_labels_and_words(visitor, monkeypatch):
    """All at once: thirty labels, and the chart of their words."""
    monkeypatch.setenv("PLAYGROUND_MAX_SPLIT_PIECES", "2000")  # they split into very many pieces
    visitor.box("classify-words").fill(MANY.to_text())
    visitor.page.wait_for_function(
        "(n) => document.querySelectorAll('#classify-result .pp-bar').length === n",
        arg=len(MANY.names),
        timeout=60_000,
    )
    assert texts(visitor, "#classify-result .pp-name") == list(MANY.names)
    assert texts(visitor, "#classify-details .pp-word") == [word.text for word in MANY.words]
    inert(visitor)
    visitor.open_fold("classify-chart")
    visitor.page.locator("#classify-chart .main-svg").first.wait_for(timeout=60_000)
    drawn = visitor.page.locator("#classify-chart .legendtext").all_text_contents()
    assert len(drawn) == len(MANY.names)
    assert drawn[0] == MANY.names[0]
    inert(visitor)


def test_payloads_as_a_label_word_that_is_refused(visitor):
    """A word under two labels, a wrong weight and a line without a colon are quoted, by turns."""
    for i, payload in enumerate(PAYLOADS):
        word = as_word(payload)
        words = (f"a: {word}\nb: {word}", f"a: x*{word}\nb: y", f"{payload}\nb: y")[i % 3]
        visitor.box("classify-words").fill(words)
        if not accepted(words):
            visitor.until_text("#classify-notice .pp-error", said_of(label_words=words))
        inert(visitor)


def accepted(words: str) -> bool:
    """A payload with a colon may be a label with its words."""
    try:
        Verbalizer.from_text(words)
    except PlaygroundError:
        return False
    return True


def test_payloads_in_a_card_file(visitor):
    for payload in PAYLOADS:
        visitor.open_card(
            {
                "name": payload,
                "description": payload,
                "source": payload,
                "templates": [as_template(payload)],
                "labels": {"yes": ["yes"], "no": ["no"]},
                "examples": [payload],
            }
        )
        visitor.until_text("#classify-about .pp-remark", f"Opened the card {payload}.")
        captions = texts(visitor, "#classify-about .pp-caption")
        assert (captions[0], captions[-1]) == (payload, f"Source: {payload}")
        assert texts(visitor, "#classify-about [data-act=example]") == [payload]
        assert texts(visitor, "#classify-about [data-act=template]") == [as_template(payload)]
        inert(visitor)


@pytest.mark.parametrize("payload", ["<img src=x onerror=alert(1)>", "${alert(1)}"])
def test_a_payload_as_a_broken_card_file(visitor, payload):
    visitor.open_card(payload.encode())
    said = "The file is not a prompt card: it is not JSON."
    visitor.until_text("#classify-notice .pp-notice", said)
    visitor.open_card(json.dumps({payload: 1}).encode())
    visitor.until_text(
        "#classify-notice .pp-notice",
        f'The prompt card has the unknown key "{payload}"; it takes name, task, language, '
        "description, templates, labels, scoring, examples, source.",
    )
    inert(visitor)


def test_payloads_in_a_link(visitor, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_MAX_SPLIT_PIECES", "2000")  # four payloads as label words
    text, other = "\n".join(PAYLOADS), " | ".join(PAYLOADS)
    sample = Verbalizer(
        {label: [word] for label, word in list(zip(LABELS, WORDS, strict=True))[:4]}
    )
    prompt = Prompt(Template("{text} {mask}"), sample, name=PAYLOADS[0], description=PAYLOADS[1])
    state = PageState(
        prompt,
        (text,),
        ("{mask} " + other[:100], "{mask} " + other[100:200]),
        tab="fill",
        compared=(ComparedPrompt(prompt), ComparedPrompt(prompt, PAYLOADS[2])),
        compared_texts=(other,),
    )
    visitor.open(f"?p={state.token()}")
    visitor.page.wait_for_function(
        "(n) => document.querySelector('#classify-result .pp-name')?.textContent === n",
        arg=LABELS[0],
    )
    visitor.until_text("#fill-result-a .pp-words", "[MASK] " + other[:100].strip())
    assert visitor.value("classify-text") == text
    assert texts(visitor, "#classify-details .pp-field") == [text]
    inert(visitor)
    visitor.open(f"?p={replace(state, tab='compare').token()}")
    visitor.until_text("#compare-result-a .pp-field", other)
    visitor.page.get_by_text(f'The model "{PAYLOADS[2]}').wait_for()
    inert(visitor)


@pytest.mark.parametrize("payload", PAYLOADS[:3])
def test_a_payload_as_a_broken_link(visitor, payload):
    visitor.open(f"?p={quote(payload)}")
    quoted = payload if len(payload) <= 40 else f"{payload[:39]}…"
    said = f'The link "{quoted}" is not a prompt link; copy it again.'
    visitor.until_text("#classify-notice .pp-notice", said)
    inert(visitor)


def test_payloads_in_fill(visitor):
    visitor.tab("Fill")
    for payload in PAYLOADS:
        visitor.box("fill-a").fill(payload)
        visitor.until_text("#fill-result-a .pp-words", payload)
        visitor.box("fill-b").fill(f"{payload} {{mask}}")
        visitor.until_text("#fill-result-b .pp-words", f"{payload} [MASK]")
        inert(visitor)


DRAWN = """() => {
  const own = document.querySelector('#ner-result .pp-entities')?.cloneNode(true);
  own?.querySelectorAll('.pp-tag').forEach((tag) => tag.remove());
  return own?.textContent;
}"""


def drawn(visitor: Visitor, text: str) -> None:
    """Wait until the drawn text, without the names of types, is ``text``."""
    visitor.page.wait_for_function(f"(text) => ({DRAWN})() === text", arg=text, timeout=15_000)


def test_payloads_as_a_text_with_names_and_as_types(visitor):
    visitor.tab("NER")
    for label, word, payload in zip(LABELS, WORDS, PAYLOADS, strict=True):
        kind = " ".join(label.split())
        visitor.box("ner-text").fill(f"Ana {payload} Rome")
        visitor.box("ner-types").fill(f"{kind}: man, {word[:12]}\nplace: city\nnone: thing")
        drawn(visitor, f"Ana {payload} Rome")
        visitor.page.wait_for_function(
            "(kind) => document.querySelector('#ner-result .pp-ent-key').textContent.startsWith(kind)",
            arg=kind,
        )
        assert texts(visitor, "#ner-span .pp-name")[0] == kind
        assert visitor.said("#ner-notice .pp-notice") == ""
        inert(visitor)


def test_payloads_as_templates_of_names_and_in_the_table_and_the_lattice(visitor):
    visitor.tab("NER")
    visitor.open_fold("ner-options")
    for payload in PAYLOADS:
        literal = payload.replace("{", "{{").replace("}", "}}")
        visitor.box("ner-templates").fill(f"{literal} {{mask}} {{span}}")
        visitor.page.wait_for_function(
            "(start) => document.querySelector('#ner-span .pp-prompt').textContent.startsWith(start)",
            arg=f"{payload} [MASK] ",
            timeout=15_000,
        )
        inert(visitor)
    text = " Ana ".join(PAYLOADS)
    visitor.box("ner-text").fill(text)
    drawn(visitor, text)
    visitor.radio("all")
    visitor.page.locator("#ner-result").get_by_text("candidate spans").wait_for()
    visitor.open_fold("ner-all")
    visitor.page.locator("#ner-table tbody tr").first.wait_for(timeout=60_000)
    visitor.open_fold("ner-lattice")
    visitor.page.locator("#ner-lattice .main-svg").first.wait_for(timeout=60_000)
    inert(visitor)


def test_payloads_as_broken_types_and_templates_of_names(visitor):
    visitor.tab("NER")
    visitor.open_fold("ner-options")
    for payload in PAYLOADS[::3]:
        visitor.box("ner-templates").fill(f"{{{payload}")
        said = said_of(template=f"{{{payload}".strip())
        visitor.until_text("#ner-notice .pp-error", said)
        inert(visitor)


def test_payloads_in_a_link_to_names(visitor):
    text = "Ana " + "\n".join(PAYLOADS) + " Rome"
    kinds = "\n".join(f"{' '.join(label.split())}: {word}" for label, word in (("man", "man"), *zip(LABELS[:3], KNOWN, strict=False)))  # fmt: skip
    state = PageState(
        Prompt(Template("{text} {mask}"), Verbalizer({"a": ["good"], "b": ["bad"]})),
        tab="ner",
        ner={"text": text, "types": f"{kinds}\nnone: thing", "templates": "{mask} {span}"},
    )
    visitor.open(f"?p={state.token()}")
    drawn(visitor, text)
    assert texts(visitor, "#ner-result .pp-ent-key")[1].startswith(" ".join(LABELS[0].split()))
    inert(visitor)
    other = PageState(state.prompt, tab="ner", ner={"candidates": PAYLOADS[2]})
    visitor.open(f"?p={other.token()}")
    visitor.until_text(
        "#ner-notice .pp-error",
        f'The link\'s candidates of NER is "{PAYLOADS[2]}"; choose one of names, names and numbers, all.',
    )
    inert(visitor)


def test_a_payload_as_the_name_of_a_model(visitor):
    box = visitor.page.locator("#model input")
    for payload in PAYLOADS[:8]:
        box.fill(payload)
        box.press("Enter")
        visitor.page.wait_for_function(
            "(p) => document.querySelector('#model-status .pp-error')?.textContent.includes(p)",
            arg=f'The model "{payload}"',
        )
        inert(visitor)
