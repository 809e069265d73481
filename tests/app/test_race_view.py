"""A race's HTML: each method's picture and table cell say its numbers, and all text is escaped."""

from __future__ import annotations

import re

import pytest

from playground.app.race_view import no_race, race_html
from tests.app.elements import texts
from tests.tasks.tuning.races import small


def svgs(html: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", html)


def test_each_method_has_a_picture_with_its_seeds_and_its_band():
    whole, cls = svgs(race_html(small()))
    assert (whole.count("pp-seed"), cls.count("pp-seed")) == (4, 2)
    assert (whole.count("pp-mean-dot"), cls.count("pp-mean-dot")) == (2, 1)
    said = re.search(r'aria-label="([^"]*)"', whole)[1]
    assert said == (
        "whole: 60.0 % with 4 rows a label, from 50.0 % to 70.0 %; 85.0 % with 16 rows a label, from 80.0 % "
        "to 90.0 %. Zero-shot: 60.0 %"
    )
    # the axis goes from 40 to 90 %, in 148 units from 12 to 160
    zero = float(re.search(r'class="pp-zero"[^>]* y1="([\d.]+)"', whole)[1])
    assert zero == pytest.approx(12 + (0.9 - 0.6) / 0.5 * 148, abs=0.06)
    means = re.search(r'class="pp-mean" points="([^"]*)"', whole)[1].split()
    assert [float(pair.split(",")[1]) for pair in means] == pytest.approx(
        [12 + (0.9 - mean) / 0.5 * 148 for mean in (0.6, 0.85)], abs=0.06
    )
    band = re.search(r'class="pp-band" points="([^"]*)"', whole)[1].split()
    assert len(band) == 4


def test_the_table_has_a_row_a_method_and_what_comes_before():
    html = race_html(small())
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert [re.sub("<[^>]*>", "", cell) for cell in cells] == [
        "58.0 %", "", "",
        "60.0 %", "", "",
        "", "60.0 ± 14.1 % 1 of 2 above zero-shot", "85.0 ± 7.1 % 2 of 2 above zero-shot",
        "", "", "50.5 ± 14.8 % 1 of 2 above zero-shot",
    ]  # fmt: skip
    assert texts(html, "pp-small")[0].strip() == "95 %: 50.0 % to 67.0 %"


def test_what_raced_is_told_and_escaped():
    html = race_html(small(data="<b>reviews</b>", runs=small().runs[:1]))
    assert "<b>reviews" not in html
    assert "&lt;b&gt;reviews&lt;/b&gt;, tiny: every method tunes 20 steps" in html
    assert "one draw of them" in html
    assert svgs(race_html(small(runs=()))) == []
    assert "playground tune race makes one" in no_race()
