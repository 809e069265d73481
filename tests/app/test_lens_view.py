"""Layers and attention as HTML: the engine's numbers, every string escaped, maps that are pictures."""

from __future__ import annotations

import base64
import csv
import io
import runpy

import numpy as np
import pytest
from PIL import Image

from playground.app import lens_view
from playground.app.bars import percent
from playground.engine import AttentionMap, Fill, LayerView
from tests.app.elements import buttons, read, select, texts
from tests.app.payloads import PAYLOADS


@pytest.fixture
def view() -> LayerView:
    return LayerView(
        layers=(
            (Fill(".", 3.0, 0.3), Fill("and", 2.0, 0.1)),
            (Fill("sun", 4.0, 0.25), Fill("day", 3.9, 0.2)),
            (Fill("day", 9.0, 0.9), Fill("sun", 5.0, 0.05)),
        ),
        winner="day",
        probabilities=np.array([0.00002, 0.2, 0.9]),
        ranks=(1234, 2, 1),
        tokens=6,
    )


@pytest.fixture
def found() -> AttentionMap:
    """Two layers of one head over four tokens: the first looks at itself, the second at one or all."""
    broad = np.full((4, 4), 0.25)
    broad[2] = [0.02, 0.98, 0, 0]
    weights = np.stack([np.eye(4), broad])[:, None].astype(np.float32)
    return AttentionMap(("[CLS]", "a", "[MASK]", "[SEP]"), weights, (2,))


def test_each_layer_has_its_tokens_and_the_winners_share(view):
    html = lens_view.layers_result(view)
    assert texts(html, "pp-guess") == [".", "and", "sun", "day", "day", "sun"]
    assert texts(html, "pp-final") == ["day", "day"]
    names = [e.text for e in read(html) if e.attributes.get("scope") == "row"]
    assert names == ["input", "1", "2"]
    assert texts(html, "pp-grows") == ["< 0.01 % #1,234", "20.0 % #2", "90.0 % #1"]
    assert [e.attributes["style"] for e in select(html, "pp-fill")][1:] == ["width:20.00%", "width:90.00%"]  # fmt: skip
    (result,) = select(html, "pp-result")
    assert result.attributes["data-summary"] == "day 90.0 %, first of all at layer 2"


def test_a_head_is_lines_and_shares(found):
    html = lens_view.attention_result(found, 2, 1)
    looks = [e for e in read(html) if "data-look" in e.attributes]
    assert [e.text for e in looks] == list(found.tokens)
    assert [e.attributes["aria-pressed"] for e in looks] == ["false", "false", "true", "false"]
    shares = [[float(w) for w in e.attributes["data-weights"].split()] for e in looks]
    np.testing.assert_allclose(shares, found.weights[1, 0], atol=5e-4)
    assert texts(html, "pp-to") == ["[CLS]2.0 %", "a98.0 %", "[MASK]< 0.1 %", "[SEP]< 0.1 %"]
    assert texts(html, "pp-looks") == ["[MASK] looks at a 98.0 %, [CLS] 2.0 %, [MASK] < 0.1 %"]
    lines = [(e.attributes["data-from"], e.attributes.get("class")) for e in read(html) if e.tag == "line"]  # fmt: skip
    # faint ones are left out: 12 of the three tokens that look everywhere, and one of the mask
    assert len(lines) == 13
    assert [line for line in lines if line[0] == "2"] == [("2", "pp-on")]


def test_a_text_without_a_mask_starts_at_its_first_token(found):
    bare = AttentionMap(found.tokens, found.weights)
    assert texts(lens_view.attention_result(bare, 1, 1), "pp-looks")[0].startswith("[CLS] looks at")


def test_the_heads_are_buttons_with_maps_and_entropies(found):
    html = lens_view.heads_grid(found, 2, 1)
    assert buttons(html) == [("head", "1|1", "layer 1, head 1"), ("head", "2|1", "layer 2, head 1")]
    titles = [e.attributes["title"] for e in select(html, "pp-thumb")]
    sharp = (3 * 2 - (0.02 * np.log2(0.02) + 0.98 * np.log2(0.98))) / 4
    assert titles == [
        "Layer 1, head 1: entropy 0.0 of 2.0 bits",
        f"Layer 2, head 1: entropy {sharp:.1f} of 2.0 bits",
    ]
    assert [e.attributes["title"] for e in select(html, "pp-picked")] == titles[1:]
    for element, weights in zip(select(html, "pp-map"), found.weights[:, 0], strict=True):
        style = element.attributes["style"]
        data = style.removeprefix("--pp-map:url(data:image/png;base64,").removesuffix(")")
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
        np.testing.assert_allclose(picture[..., 1] / 255, np.sqrt(weights), atol=0.003)


def test_a_map_of_many_tokens_stays_small():
    weights = np.zeros((1, 1, 128, 128), np.float32)
    weights[0, 0, :, 77] = 1
    found = AttentionMap(("x",) * 128, weights)
    html = lens_view.heads_grid(found, 1, 1)
    (picture,) = select(html, "pp-map")
    data = picture.attributes["style"].partition("base64,")[2].rstrip(")")
    alpha = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))[..., 1]
    assert alpha.shape == (32, 32)
    assert np.flatnonzero(alpha.max(0)).tolist() == [77 // 4]
    assert len(html) < 3_000


def test_a_telling_head_is_not_one_that_looks_at_a_neighbour():
    weights = np.zeros((1, 3, 6, 6), np.float32)
    weights[0, 0, 4, 3] = 1  # its neighbour
    weights[0, 1, 4, 0] = 1  # the first token
    weights[0, 2, 4, [1, 4]] = 0.5  # a word of the text
    tokens = ("[CLS]", "a", "b", "c", "[MASK]", "[SEP]")
    assert lens_view.telling(AttentionMap(tokens, weights, (4,))) == (1, 3)


def test_the_sharpest_head_stands_where_nothing_tells(found):
    assert lens_view.telling(AttentionMap(found.tokens, found.weights)) == (1, 1)
    assert lens_view.telling(found) == (1, 1)  # no word but the neighbour
    assert lens_view.sharpest(found) == (1, 1)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_are_text(payload, view, found):
    """Tokens are a tokenizer's, and a tokenizer comes with a model."""
    fills = ((Fill(payload, 1.0, 0.5),),) * 3
    hostile = LayerView(fills, payload, view.probabilities, view.ranks, 6)
    tokens = AttentionMap((payload,) * 4, found.weights, (2,))
    html = lens_view.layers_result(hostile) + lens_view.attention_result(tokens, 1, 1)
    html += lens_view.heads_grid(tokens, 1, 1)
    elements = read(html)
    assert {e.tag for e in elements} <= {
        *("div", "p", "button", "span", "h2", "h3", "svg", "line", "b", "table"),
        *("thead", "tbody", "tr", "th", "td"),
    }  # fmt: skip
    assert not any(name.startswith("on") for e in elements for name in e.attributes)
    assert texts(html, "pp-guess") == [payload] * 3
    assert texts(html, "pp-from") == [payload] * 4
    assert "${" not in html


def test_the_layers_leave_as_csv(view):
    rows = list(csv.reader(io.StringIO(lens_view.layers_csv(view, "=1 [MASK]"))))
    assert rows[0] == ["text", "layer", "rank", "token", "logit", "probability"]
    assert rows[1] == ["'=1 [MASK]", "0", "1", ".", "3", "0.3"]
    assert rows[-1] == ["'=1 [MASK]", "2", "2", "sun", "5", "0.05"]
    assert len(rows) == 7


def test_a_head_leaves_as_csv(found):
    rows = list(csv.reader(io.StringIO(lens_view.attention_csv(found, 2, 1))))
    assert rows[0] == ["layer 2 head 1", "[CLS]", "a", "[MASK]", "[SEP]"]
    assert rows[3] == ["[MASK]", "0.02", "0.98", "0", "0"]


def test_the_program_runs_and_says_the_same(prompting, capsys, tmp_path):
    text = "Paris is the capital of [MASK]."
    (tmp_path / "program.py").write_text(lens_view.program(text, "", 2, 3), encoding="utf-8")
    runpy.run_path(str(tmp_path / "program.py"))
    said = capsys.readouterr().out.splitlines()
    view = prompting.layers(text)
    for layer, top in enumerate(view.layers):
        assert said[layer] == f"{layer} {[(f.token, round(f.probability, 4)) for f in top]}"
    assert str(prompting.attention(text).weights[1, 2].round(3)) in "\n".join(said)
    assert percent(view.probabilities[-1]) in lens_view.layers_result(view)
