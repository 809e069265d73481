"""The time-lapse as HTML: every frame is on the page, numbers are the file's, and strings are only text."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import pytest

from playground.app.bars import percent
from playground.app.lapse_view import amount, lapse_csv, lapse_result, lapse_table, sentence
from playground.tasks.pretraining.timelapse import Probe, Timelapse
from tests.app.elements import read, select, texts
from tests.app.payloads import PAYLOADS
from tests.tasks.pretraining.lapses import small


def frames(html: str) -> list[dict[str, str]]:
    return [e.attributes for e in read(html) if "data-frame" in e.attributes]


def test_the_last_checkpoint_is_shown_first():
    lapse = small()
    html = lapse_result(lapse, lapse.probes[0])
    assert texts(html, "pp-name") == ["france", "paris"]
    assert texts(html, "pp-number") == ["75.0 %", "20.0 %"]
    fills = [e.attributes["style"] for e in select(html, "pp-fill")]
    assert fills == ["width:75.00%", "width:20.00%"]
    (when,) = texts(html, "pp-when")
    assert when == "Step 400 · 102 k tokens read · held-out loss 2.50 nats · perplexity 12"
    assert round(math.exp(2.5)) == 12
    (slide,) = [e.attributes for e in read(html) if e.tag == "input"]
    assert (slide["min"], slide["max"], slide["value"]) == ("0", "2", "2")
    (result,) = select(html, "pp-lapse")
    assert result.attributes["data-summary"] == "at the last checkpoint: france 75.0 %"


def test_a_note_is_shown_as_text():
    lapse = replace(small(), note="A <b>second</b> run.")
    assert "A &lt;b&gt;second&lt;/b&gt; run." in lapse_result(lapse, lapse.probes[0])
    assert len(texts(lapse_result(lapse, lapse.probes[0]), "pp-legend")) == (
        len(texts(lapse_result(small(), small().probes[0]), "pp-legend")) + 1
    )


def test_the_table_holds_all_frames():
    lapse = small()
    html = lapse_table(lapse, lapse.probes[0])
    cells = [e.attributes for e in read(html) if "data-token" in e.attributes]
    assert [(c["data-token"], float(c["data-share"]), c["data-said"]) for c in cells] == [
        (token, share, percent(share)) for row in lapse.probes[0].top for token, share in row
    ]
    assert [row["data-told"].split(" · ")[0] for row in frames(html)] == [
        "Step 0",
        "Step 200",
        "Step 400",
    ]
    assert [row.get("class", "") for row in frames(html)] == ["", "", "pp-now"]
    # what the model says in the end is framed wherever it stands
    framed = [e.text for e in select(html, "pp-final")]
    assert framed == ["france", "france", "Framed"]
    assert [e.text for e in read(html) if "data-go" in e.attributes] == ["0", "51 k", "102 k"]


def test_a_row_of_fewer_tokens_keeps_the_columns():
    lapse = small()
    html = lapse_table(lapse, lapse.probes[1])
    rows = [e for e in read(html) if e.tag in ("tr", "td", "th")]
    wide: list[int] = []
    for element in rows:
        if element.tag == "tr":
            wide.append(0)
        else:
            wide[-1] += 1
    assert wide == [3, 3, 3, 3]


def test_the_marks_of_the_curve_stand_at_the_checkpoints():
    lapse = small()
    html = lapse_result(lapse, lapse.probes[0])
    table = lapse_table(lapse, lapse.probes[0])
    dots = [e.attributes for e in select(html, "pp-dot")]
    assert [(dot["cx"], dot["cy"]) for dot in dots] == [
        (row["data-x"], row["data-y"]) for row in frames(table)
    ]
    x = [float(dot["cx"]) for dot in dots]
    y = [float(dot["cy"]) for dot in dots]
    assert x == sorted(x)  # later is farther right
    assert y == sorted(y)  # a lower loss is lower
    # tokens stand on a logarithmic axis, half a decade for none
    first, last = math.log10(25_600) - 0.4, math.log10(102_400)
    assert x[1] == pytest.approx(44 + (math.log10(51_200) - first) / (last - first) * 424, abs=0.1)
    # losses from 2 to 9 nats between 190 and 12
    assert y[1] == pytest.approx(12 + (9 - 5.5) / 7 * 178, abs=0.1)
    (line,) = [e.attributes["points"] for e in select(html, "pp-train")]
    assert len(line.split()) == 3
    (curve,) = select(html, "pp-curve")
    assert curve.attributes["aria-label"] == (
        "The held-out loss falls from 8.50 to 2.50 nats over the tokens read"
    )


def test_a_long_curve_is_thinned():
    lapse = small()
    point = lapse.curve[0]
    many = tuple(replace(point, step=k, tokens=k * 100) for k in range(1, 5001))
    html = lapse_result(replace(lapse, curve=many), lapse.probes[0])
    (line,) = [e.attributes["points"] for e in select(html, "pp-train")]
    assert 300 < len(line.split()) <= 400


def test_perplexity_is_explained_with_the_number():
    html = lapse_result(small(), small().probes[0])
    said = [t for t in texts(html, "pp-legend") if "Perplexity" in t]
    assert said == [
        "Loss is the surprise at a hidden word. Perplexity, e to its power, is the number of equally "
        "likely words among which it would be as hard to choose: 12 in the end. By corpus: films 3.00, "
        "facts 2.00."
    ]


def test_many_corpora_are_not_all_named():
    lapse = small()
    last = replace(lapse.checkpoints[-1], loss={f"c{k}": 1.0 for k in range(10)})
    html = lapse_result(
        replace(lapse, checkpoints=(*lapse.checkpoints[:-1], last)), lapse.probes[0]
    )
    assert "By corpus: c0 1.00, c1 1.00" in html
    assert "c7 1.00, and 2 more." in html


def test_nothing_held_out_and_no_curve_are_drawn_too():
    lapse = small()
    bare = [replace(point, loss={}, mean_loss=None) for point in lapse.checkpoints]
    html = lapse_result(replace(lapse, curve=(), checkpoints=tuple(bare)), lapse.probes[0])
    assert texts(html, "pp-when") == ["Step 400 · 102 k tokens read"]
    assert select(html, "pp-dot") == []
    assert "Perplexity" not in html


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0"), (999, "999"), (1000, "1.0 k"), (9_949, "9.9 k"), (9_950, "10 k"), (13_107_200, "13 M"), (1_610_612_736, "1.6 B"), (10**12, "1,000 B")],
)  # fmt: skip
def test_amounts_are_said_shortly(count, said):
    assert amount(count) == said


def test_the_mask_is_marked():
    assert sentence("A <b> [MASK]!") == 'A &lt;b&gt; <mark class="pp-mask">[MASK]</mark>!'


def test_payloads_in_the_file_are_text():
    """A model's folder may come from anywhere: its sentences, tokens and corpora are quoted."""
    lapse = small()
    probes = tuple(Probe(f"{payload} [MASK]", (((payload, 0.5),),) * 3) for payload in PAYLOADS)
    corpora = {payload[:40]: 1.0 for payload in PAYLOADS[:8]}
    points = tuple(replace(point, loss=corpora) for point in lapse.checkpoints)
    hostile = Timelapse(lapse.curve, points, probes)
    for probe, payload in zip(probes, PAYLOADS, strict=True):
        html = lapse_result(hostile, probe) + lapse_table(hostile, probe)
        elements = read(html)
        assert {e.tag for e in elements} <= {
            *("div", "p", "button", "input", "ul", "li", "span", "h3", "svg", "line", "text", "mark"),
            *("polyline", "circle", "b", "table", "thead", "tbody", "tr", "th", "td"),
        }  # fmt: skip
        assert not any(name.startswith("on") for e in elements for name in e.attributes)
        assert texts(html, "pp-name") == [payload]
        assert "${" not in html


def test_the_csv_has_a_row_a_token():
    lapse = small()
    rows = list(csv.reader(io.StringIO(lapse_csv(lapse, lapse.probes[1]))))
    assert rows[0] == [
        "text",
        "step",
        "tokens_read",
        "held_out_loss",
        "rank",
        "token",
        "probability",
    ]
    assert rows[1:] == [
        [lapse.probes[1].text, "0", "0", "8.5", "1", "a", "0.01"],
        [lapse.probes[1].text, "200", "51200", "5.5", "1", "sun", "0.5"],
        [lapse.probes[1].text, "200", "51200", "5.5", "2", "day", "0.25"],
        [lapse.probes[1].text, "400", "102400", "2.5", "1", "<i>", "0.6"],
        [lapse.probes[1].text, "400", "102400", "2.5", "2", "##s", "1e-05"],
    ]


def test_the_csv_holds_no_formula():
    lapse = small()
    probe = Probe("=1+1 [MASK]", ((("@SUM(1)", 0.5),),) * 3)
    row = next(csv.reader(io.StringIO(lapse_csv(lapse, probe).partition("\n")[2])))
    assert (row[0], row[5]) == ("'=1+1 [MASK]", "'@SUM(1)")
