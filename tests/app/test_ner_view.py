"""The NER tab's HTML: the text reads back letter by letter, and every mark is of its span."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.app.bars import percent
from playground.app.ner_view import COLOURS, Drawing, drawn_text, span_panel, span_table
from playground.prompts import Prompt, Template, Verbalizer
from playground.tasks.entities import THRESHOLD, Span, TypedSpans, all_spans, decode
from playground.tasks.entities.typing import margins
from tests.app.elements import buttons, read, select, texts
from tests.app.payloads import PAYLOADS
from tests.attacks import strategies as attacks

LABELS = ("person", "place", "none")
PERSON, PLACE, NONE = (0.8, 0.1, 0.1), (0.1, 0.6, 0.3), (0.2, 0.2, 0.6)
TEXT = "Ana Lima of Porto met Bo."
TAGS = {"div", "h2", "p", "span", "b", "mark", "button"}


def typed(text: str, shares: dict, labels: tuple[str, ...] = LABELS) -> TypedSpans:
    """Return spans with their type probabilities: by their words, or by their offsets."""
    spans = [
        Span(*key) if isinstance(key, tuple) else Span(text.index(key), text.index(key) + len(key))
        for key in shares
    ]
    logs = np.log(np.array(list(shares.values()), dtype=float)).reshape(-1, len(labels))
    return TypedSpans(text, tuple(spans), labels, logs, margins(logs, labels), 12, 2, 0.0314)


def drawing(found: TypedSpans, *, templates: int = 3, rest: bool = True, **how) -> Drawing:
    return Drawing(found, decode(found, **how), templates, rest, how.get("threshold", THRESHOLD))


@dataclass
class Marked:
    """One mark or dotted line: what it reports, what it covers, its tag, and which marks are around it."""

    tag: str
    place: int
    picked: bool
    around: tuple[int, ...]
    covered: str = ""
    label: str = ""
    reports: list[int] = field(default_factory=list)


class _Text(HTMLParser):
    """Reads the text of the drawing without the tags that name types."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.marks = "", []
        self.open: list[tuple[str, Marked | None]] = []
        self.inside = 0

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        classes = values.get("class", "").split()
        mark = None
        if "pp-entities" in classes:
            self.inside = len(self.open) + 1
        elif "pp-tag" in classes:
            self._marks()[-1].reports.append(int(values["data-arg"]))
        elif self.inside and values.get("data-act") == "span":
            around = tuple(one.place for one in self._marks())
            mark = Marked(tag, int(values["data-arg"]), "pp-picked" in classes, around)
            self.marks.append(mark)
        self.open.append((" ".join([tag, *classes]), mark))

    def handle_endtag(self, tag):
        if len(self.open) == self.inside:
            self.inside = 0
        self.open.pop()

    def handle_data(self, data):
        if not self.inside:
            return
        if "pp-tag" in self.open[-1][0].split():
            self._marks()[-1].label += data
            return
        self.text += data
        for mark in self._marks():
            mark.covered += data

    def _marks(self) -> list[Marked]:
        return [mark for _, mark in self.open if mark is not None]


def reading(html: str) -> tuple[str, list[Marked]]:
    """Return the text that is drawn, without the names of types, and its marks in order."""
    read(html)  # every element is closed where it must be
    reader = _Text()
    reader.feed(html)
    reader.close()
    return reader.text, reader.marks


def check(made: Drawing, chosen: int | None = None) -> list[Marked]:
    """Check that the text reads back and each mark lies on its span; return the marks."""
    text, marks = reading(drawn_text(made, chosen))
    assert text == made.typed.text
    entities = {made.place(entity.span): entity for entity in made.entities}
    assert len({mark.place for mark in marks}) == len(marks)
    assert sorted(mark.place for mark in marks if mark.tag == "mark") == sorted(entities)
    for mark in marks:
        assert mark.covered == made.typed.words(mark.place)
        assert mark.picked == (mark.place == chosen)
        if mark.tag == "mark":
            assert (mark.label, mark.reports) == (entities[mark.place].label, [mark.place])
        else:
            assert (mark.label, mark.reports) == ("", [])
        held = {other for other in entities if other != mark.place}
        span = made.typed.spans[mark.place]
        assert set(mark.around) == {k for k in held if made.typed.spans[k].holds(span)}
    return marks


# ---- the text -----------------------------------------------------------------------------------


def test_entities_are_marks_and_what_is_none_is_a_dotted_line():
    found = typed(TEXT, {"Ana Lima": PERSON, "Porto": NONE, "Bo": PERSON})
    marks = check(drawing(found), chosen=2)
    assert [(m.tag, m.covered, m.label, m.picked) for m in marks] == [
        ("mark", "Ana Lima", "person", False),
        ("button", "Porto", "", False),
        ("mark", "Bo", "person", True),
    ]


def test_the_span_that_is_none_and_looked_at_is_marked_so():
    found = typed(TEXT, {"Ana Lima": PERSON, "Porto": NONE})
    assert [mark.picked for mark in check(drawing(found), chosen=1)] == [False, True]


def test_of_spans_that_are_none_the_longest_is_drawn_and_none_over_an_entity():
    found = typed(TEXT, {"Ana": NONE, "Ana Lima": NONE, "Porto met Bo": NONE, "Porto": PLACE})
    assert [(m.tag, m.covered) for m in check(drawing(found, threshold=0))] == [
        ("button", "Ana Lima"),
        ("mark", "Porto"),
    ]


def test_all_spans_are_not_drawn_where_they_would_cover_the_text():
    found = typed(TEXT, {"Ana": NONE, "Porto": PLACE, "met": NONE})
    assert [m.covered for m in check(drawing(found, rest=False, threshold=0))] == ["Porto"]


def test_nested_entities_are_nested_marks():
    shares = {"Ana Lima of Porto": PERSON, "Porto": PLACE, "Lima of Porto": PERSON, "Bo": PERSON}
    marks = check(drawing(typed(TEXT, shares), nested=True, threshold=0))
    assert [(m.covered, m.around) for m in marks] == [
        ("Ana Lima of Porto", ()),
        ("Lima of Porto", (0,)),
        ("Porto", (0, 2)),
        ("Bo", ()),
    ]


def test_neighbours_that_touch_stay_apart():
    found = typed("AnaBo", {(0, 3): PERSON, (3, 5): PLACE})
    marks = check(drawing(found, threshold=0, nested=True))
    assert [(m.covered, m.label, m.around) for m in marks] == [
        ("Ana", "person", ()),
        ("Bo", "place", ()),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no name",
        "  Ana\n\n\tBo\r\nTom  ",
        "Ana 👩‍👩‍👧 e\u0301 Bo 🏴\u200d ａｂ \u202eTom\u202c",
        "\ud800Ana\x00 {span} [MASK] ${x} `Bo`",
        "Ana &amp; Bo &lt;b&gt; &#123;",
    ],
)
def test_any_letter_reads_back(text):
    shares = {name: share for name, share in (("Ana", PERSON), ("Bo", NONE)) if name in text}
    marks = check(drawing(typed(text, shares)))
    assert len(marks) == len(shares)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_and_types_are_only_text(payload):
    text = f"{payload} Ana {payload}\n{payload}"
    whole, name = (0, len(payload)), (len(payload) + 1, len(payload) + 4)
    labels = (payload, "place", "none")
    made = drawing(typed(text, {whole: PLACE, name: PERSON}, labels), threshold=0)
    (first, second) = check(made)
    assert (first.covered, first.label) == (payload, "place")
    assert (second.covered, second.label) == ("Ana", payload)
    drawn = drawn_text(made)
    assert texts(drawn, "pp-ent-key") == [f"{payload} 1", "place 1"]
    assert select(drawn, "pp-result")[0].attributes["data-summary"] == (
        f"{payload}: place, Ana: {payload}"
    )
    for html in (drawn, span_table(made)):
        elements = read(html)
        assert {e.tag for e in elements} <= TAGS | {"table", "thead", "tbody", "tr", "th", "td"}
        assert not {name for e in elements for name in e.attributes if name.startswith("on")}
        assert not any(sign in html for sign in ("${", "{{", "`"))


@given(st.data())
def test_any_text_with_any_spans_reads_back(data):
    text = data.draw(st.one_of(attacks.attacks, attacks.texts).filter(bool))
    edges = st.integers(0, len(text))
    pairs = data.draw(st.sets(st.tuples(edges, edges).filter(lambda p: p[0] < p[1]), max_size=8))
    share = st.sampled_from([PERSON, PLACE, NONE, (0.4, 0.3, 0.3)])
    found = typed(text, {pair: data.draw(share) for pair in sorted(pairs)})
    how = {"decoding": data.draw(st.sampled_from(["greedy", "best total"]))}
    for nested in (False, True):
        made = drawing(found, rest=data.draw(st.booleans()), threshold=0, nested=nested, **how)
        check(made, data.draw(st.integers(0, len(found) - 1)) if len(found) else None)


# ---- around the text ----------------------------------------------------------------------------


def test_the_legend_counts_each_type_and_leaves_out_none():
    found = typed(TEXT, {"Ana Lima": PERSON, "Porto": NONE, "Bo": PERSON})
    drawn = drawn_text(drawing(found))
    assert texts(drawn, "pp-ent-key") == ["person 2", "place 0"]
    assert [sorted(e.classes) for e in select(drawn, "pp-ent-key")] == [
        ["pp-ent-key", "pp-k0"],
        ["pp-ent-key", "pp-k1"],
    ]
    assert {c for e in select(drawn, "pp-ent") for c in e.classes if c.startswith("pp-k")} == {
        "pp-k0"
    }


def test_colours_repeat_after_the_last():
    labels = (*(f"t{k}" for k in range(COLOURS + 1)), "none")
    drawn = drawn_text(drawing(typed("x", {}, labels)))
    classes = [e.classes for e in select(drawn, "pp-ent-key")]
    assert "pp-k0" in classes[0]
    assert classes[0] == classes[COLOURS] != classes[1]


def test_the_cost_is_told_in_full():
    found = typed(TEXT, {"Ana Lima": PERSON, "Bo": PERSON})
    assert texts(drawn_text(drawing(found)), "pp-legend")[-1] == (
        "2 candidate spans × 3 templates: 12 different prompts in 2 forward passes, 31 ms. "
        "Click a span for its scores."
    )
    one = TypedSpans(TEXT, found.spans[:1], LABELS, found.log_probs[:1], found.margins[:1], 1, 1)
    assert texts(drawn_text(drawing(one, templates=1)), "pp-legend")[-1].startswith(
        "1 candidate span × 1 template: 1 different prompt in 1 forward pass, 0 ms."
    )


def test_the_summary_is_what_is_read_out():
    def said(shares: dict) -> str:
        result = select(drawn_text(drawing(typed(TEXT, shares))), "pp-result")[0]
        return result.attributes["data-summary"]

    assert said({"Ana Lima": PERSON, "Porto": NONE, "Bo": PERSON}) == "Ana Lima: person, Bo: person"
    assert said({"Ana Lima": NONE}) == "no entities"
    assert said({}) == "no entities"


def test_each_drawing_is_a_new_one():
    made = drawing(typed(TEXT, {}))
    first, second = (
        int(select(drawn_text(made), "pp-result")[0].attributes["data-seq"]) for _ in range(2)
    )
    assert second > first


def test_the_tags_tip_is_probability_and_margin():
    drawn = drawn_text(drawing(typed(TEXT, {"Porto": PLACE}), threshold=0))
    (tag,) = select(drawn, "pp-tag")
    assert tag.attributes["title"] == f"60.0 %, {np.log(0.6 / 0.3):+.1f} over none"


# ---- one span -----------------------------------------------------------------------------------


def asked(*templates: str) -> list[tuple[Prompt, dict[str, str]]]:
    words = Verbalizer({"person": ["man"], "none": ["thing"]})
    row = {"span": "Ana", "before": "", "after": " & co", "text": "Ana & co"}
    prompts = [Prompt(Template(source), words) for source in templates]
    return [(p, {slot: row[slot] for slot in p.template.slots}) for p in prompts]


def test_a_span_shows_all_its_scores_and_its_prompts():
    made = drawing(typed(TEXT, {"Ana Lima": PERSON, "Porto": PLACE, "Bo": NONE}))
    shown = span_panel(made, 1, asked("The {mask} {span}.", "{before}{mask} {span}{after}"))
    assert texts(shown, "pp-name") == list(LABELS)
    assert texts(shown, "pp-number") == [percent(share) for share in PLACE]
    assert [sorted(e.classes) for e in select(shown, "pp-bar")][1] == ["pp-bar", "pp-win"]
    assert texts(shown, "pp-prompt") == ["The [MASK] Ana.", "[MASK] Ana & co"]
    assert "<h2>Closely: Porto</h2>" in shown


@pytest.mark.parametrize(
    ("threshold", "said"),
    [(0, "is an entity"), (1, "is not over the threshold of 1")],
)
def test_a_span_says_whether_it_is_an_entity(threshold, said):
    made = drawing(typed(TEXT, {"Porto": PLACE}), threshold=threshold)
    assert texts(span_panel(made, 0, ()), "pp-legend") == [
        f"place is {np.log(2):+.2f} over none (nats: each 2.3 is ten times as likely), so the span {said}."
    ]


def test_a_span_that_gives_way_says_to_which():
    made = drawing(typed("Rio Porto", {"Porto": PLACE, (0, 9): (0.05, 0.9, 0.05)}), threshold=0)
    assert texts(span_panel(made, 0, ()), "pp-legend")[0].endswith(
        "so the span gives way to “Rio Porto” (place, +2.89), which it overlaps."
    )


def test_without_none_the_margin_is_over_all_other_types():
    made = drawing(typed("Porto", {"Porto": (0.25, 0.75)}, ("person", "place")), threshold=0)
    assert texts(span_panel(made, 0, ()), "pp-legend") == [
        f"place is {np.log(3):+.2f} over all other types together (nats: each 2.3 is ten times as "
        "likely), so the span is an entity."
    ]


def test_without_a_span_the_page_says_what_to_do():
    made = drawing(typed("no name here", {}))
    assert texts(span_panel(made, None, ()), "pp-legend") == [
        "No span to look at: no word looks like a name. Take all spans as candidates, or type a name."
    ]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_span_and_template_are_only_text(payload):
    literal = payload.replace("{", "{{").replace("}", "}}")
    found = typed(payload, {(0, len(payload)): PERSON}, (payload, "place", "none"))
    shown = span_panel(drawing(found), 0, asked(f"{literal} {{span}} {{mask}}"))
    assert texts(shown, "pp-name")[0] == payload
    assert texts(shown, "pp-prompt") == [f"{payload} Ana [MASK]"]
    assert {e.tag for e in read(shown)} <= TAGS | {"h3", "ul", "li"}


# ---- the table ----------------------------------------------------------------------------------


def cells(html: str) -> list[list[str]]:
    found = [e.text for e in read(html) if e.tag == "td"]
    return [found[k : k + 6] for k in range(0, len(found), 6)]


def test_the_table_has_the_widest_margin_first():
    made = drawing(typed(TEXT, {"Bo": NONE, "Porto": PLACE, "Ana Lima": PERSON}))
    assert cells(span_table(made)) == [
        ["Ana Lima", "person", f"{np.log(8):+.2f}", "80.0 %", "0 to 8", "yes"],
        ["Porto", "place", f"{np.log(2):+.2f}", "60.0 %", "12 to 17", "no"],
        ["Bo", "person", f"{-np.log(3):+.2f}", "20.0 %", "22 to 24", "no"],
    ]
    assert buttons(span_table(made)) == [
        ("span", "2", "Ana Lima"),
        ("span", "1", "Porto"),
        ("span", "0", "Bo"),
    ]


@pytest.mark.parametrize(
    ("words", "more"), [(60, []), (61, ["The first 60 of 61; the CSV has all."])]
)
def test_a_long_table_is_cut_and_says_so(words, more):
    text = " ".join(f"w{k}" for k in range(words))
    spans = all_spans(text, most_words=1)
    table = span_table(drawing(typed(text, {(s.start, s.end): NONE for s in spans})))
    assert len(cells(table)) == 60
    assert texts(table, "pp-legend") == more


def test_a_table_of_nothing_has_its_heads():
    table = span_table(drawing(typed("x", {})))
    assert (cells(table), table.count("<th>")) == ([], 6)
