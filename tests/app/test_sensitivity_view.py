"""The sensitivity grid as HTML and CSV: every variant in its cell, chance told from a difference."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from playground import Prompt, Template, Verbalizer
from playground.app import sensitivity_view
from playground.app.markup import percent
from playground.tasks.sensitivity import Sensitivity, Variant, sensitivity_parts, variants
from tests.app.elements import buttons, read, select
from tests.app.payloads import PAYLOADS
from tests.tasks.test_evaluation import labelled

TAGS = {"div", "progress", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span", "button"}
ROWS = ["I love this film.", "A wonderful evening.", "A terrible waste.", "The food was awful."]
GOLD = ["positive", "positive", "negative", "negative"]


@pytest.fixture(scope="module")
def parts(prompting) -> list[Sensitivity]:
    words = Verbalizer({"positive": ["great", "good"], "negative": ["awful", "bad"]})
    prompt = Prompt(Template("{text} It was {mask}."), words,
                    alternatives=(Template("{text} All {mask}."),))  # fmt: skip
    rows = labelled(prompt, ROWS, GOLD)
    return list(sensitivity_parts(prompting, variants(prompt), rows, rows_at_once=3))


def test_every_variant_has_its_cell_with_the_engines_number(parts):
    end = parts[-1]
    made = buttons(sensitivity_view.grid(end))
    assert [argument for _, argument, _ in made] == [str(k) for k in range(len(end.variants))]
    for (_, _, text), result in zip(made, end.results, strict=True):
        assert percent(result.metrics.accuracy) in text
    assert made[end.best][2].startswith("★ ")
    assert sum(text.startswith("★") for _, _, text in made) == 1
    (best,) = select(sensitivity_view.grid(end), "pp-best")
    assert percent(end.results[end.best].metrics.accuracy) in best.text


def test_a_real_difference_has_another_sign_than_chance(parts):
    end = parts[-1]
    one, other = (k for k in range(len(end.variants)) if k != end.best and k < 3)
    p_values = [1.0] * len(end.variants)
    p_values[one] = 0.001
    made = buttons(sensitivity_view.grid(replace(end, p_values=tuple(p_values))))
    assert made[one][2].startswith("▼ ")
    assert made[other][2].startswith("≈ ")
    titles = [e.attributes["title"] for e in read(sensitivity_view.grid(replace(end, p_values=tuple(p_values)))) if e.tag == "button"]  # fmt: skip
    assert ": really worse than the best, p 0.001." in titles[one]
    assert ": could be chance, p 1.000." in titles[other]


def test_a_run_says_how_far_it_is(parts):
    first, end = parts
    assert "Running: 3 of 4 rows" in sensitivity_view.grid(first)
    assert "Stopped after 3 of 4 rows" in sensitivity_view.grid(first, stopped=True)
    assert "Done: 4 of 4 rows" in sensitivity_view.grid(end, stopped=True)


def test_the_summary_says_what_is_at_stake(parts):
    end = parts[-1]
    said = sensitivity_view.summary(end)
    lowest, highest = min(end.accuracies), max(end.accuracies)
    assert said.startswith(
        f"The same task gets from {percent(lowest)} to {percent(highest)}, as one writes the prompt: "
        f"{(highest - lowest) * 100:.1f} points. Of the other {len(end.variants) - 1} prompts, 0 are"
    )
    means = list(end.means("template").values())
    assert f"template {(means[0] - means[-1]) * 100:.1f}, " in said


def test_the_grid_leaves_as_a_table(parts):
    end = parts[-1]
    rows = list(csv.DictReader(io.StringIO(sensitivity_view.grid_csv(end))))
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(end.accuracies)
    assert [(row["template"], row["words"], row["calibration"]) for row in rows] == [
        (v.template, v.words, v.calibration) for v in end.variants
    ]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_templates_and_words_are_only_text(parts, payload):
    end = parts[-1]
    named = tuple(Variant(payload if v.template == end.variants[0].template else v.template,
                          payload if v.words == "all words" else v.words, v.calibration, v.prompt)
                  for v in end.variants)  # fmt: skip
    drawn = sensitivity_view.grid(replace(end, variants=named))
    assert {element.tag for element in read(drawn)} <= TAGS
    assert len(buttons(drawn)) == len(end.variants)
