"""What the Train tab draws: numbers as they are, unfinished things in their place, texts as text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import Prompt, Template, Verbalizer
from playground.app import train_view
from playground.app.train_view import Asked
from playground.engine.tuning.delta import Delta
from playground.engine.tuning.loop import Estimate, Step
from playground.engine.tuning.recipe import Recipe
from playground.tasks.evaluation import LabelledRows, Result
from playground.tasks.metrics import measure
from playground.tasks.tuning.shots import Draw
from playground.tasks.tuning.watched import Outcome, Plan, Watched
from tests.app.elements import read, select, texts
from tests.app.payloads import PAYLOADS

PROMPT = Prompt(Template("{text} {mask}."), Verbalizer({"good": ["fine"], "bad": ["poor"]}))
ROWS = LabelledRows("Our rows", ("good", "bad"), [{"text": f"row {k}"} for k in range(40)],
                    np.array([0, 1] * 20))  # fmt: skip


def part(*places: int) -> LabelledRows:
    return replace(ROWS, rows=[ROWS.rows[k] for k in places], gold=ROWS.gold[list(places)])


def result(name: str, right: int) -> Result:
    """A result that has the first ``right`` of the forty rows right."""
    shares = np.full((40, 2), 0.2)
    for k in range(40):
        shares[k, ROWS.gold[k] if k < right else 1 - ROWS.gold[k]] = 0.8
    return Result(name, shares, measure(shares, ROWS.gold))


STEPS = tuple(
    Step(k, None if k == 0 else 0.7 - k / 10, 1e-3 * k, 0.5 + k / 10, 0.7, True) for k in range(3)
)
REPORT = {"steps": 6, "best_step": 2, "dev_accuracy": 0.7, "rows": 4, "recipe": {"seed": 0}}
PLAN = Plan(
    PROMPT,
    Recipe(method="lora", steps=6),
    (Draw(0, part(0, 1), part(2, 3)), Draw(1, part(4, 5), None)),
    PROMPT,
    ROWS,
)
BEFORE = (result("zero-shot", 20), result("zero-shot, calibrated", 22))


def outcome(seed: int, right: int | None) -> Outcome:
    own = None if right is None else result(f"lora, seed {seed}", right)
    return Outcome(seed, STEPS, {**REPORT, "recipe": {"seed": seed}}, 2048, own)


def state(html: str) -> str:
    return texts(html, "pp-state")[0]


def rows(html: str) -> list[str]:
    return [e.text for e in read(html) if e.tag == "tr"]


def test_it_tells_what_is_being_done():
    now = Watched(PLAN, rows=(64, 200))
    assert state(train_view.report(now)) == (
        "Measuring the prompt before tuning: 64 of 200 held-out rows."
    )
    now = replace(now, doing="tuning", before=BEFORE)
    assert state(train_view.report(now)) == "Seed 0 (1 of 2): reading a private copy of the model."
    now = replace(now, steps=STEPS, left=8.4)
    assert state(train_view.report(now)) == (
        "Seed 0 (1 of 2): step 2 of 6 · loss 0.500 · best on dev 70.0 % at step 2 · learning rate 2.0e-03 · "
        "about 8 s left"
    )
    now = replace(now, doing="measuring", outcomes=(outcome(0, 30),))
    assert state(train_view.report(now)) == (
        "Seed 1 (2 of 2): measuring what was kept: 64 of 200 held-out rows."
    )


@pytest.mark.parametrize(
    ("now", "value"),
    [
        (Watched(PLAN), "0"),
        (Watched(PLAN, doing="tuning", steps=STEPS), "17"),
        (Watched(PLAN, doing="measuring", steps=STEPS), "50"),
        (Watched(PLAN, doing="tuning", steps=STEPS, outcomes=(outcome(0, 9),)), "67"),
        (Watched(PLAN, doing="done", outcomes=(outcome(0, 9),), best=outcome(0, 9)), "100"),
    ],
)
def test_the_bar_counts_the_steps_of_all_seeds(now, value):
    [bar] = [e for e in read(train_view.report(now)) if e.tag == "progress"]
    assert bar.attributes["value"] == value


def test_the_end_names_the_seed_the_step_and_the_size():
    seeds = (outcome(0, 30), outcome(1, 36))
    now = Watched(PLAN, doing="done", before=BEFORE, outcomes=seeds, best=seeds[1])
    assert state(train_view.report(now)) == (
        "Done after step 6. Seed 1 is the one to use: step 2 was kept (best on its dev rows, 70.0 %), a "
        "change of 2 KiB."
    )
    assert state(train_view.report(replace(now, stopped=True))).startswith("Stopped after step 6.")
    early = replace(seeds[1], report={**REPORT, "steps": 4})
    assert state(train_view.report(replace(now, best=early))).startswith(
        "Ended early, as the dev rows gained no more, after step 4."
    )
    bare = replace(seeds[1], report={"steps": 6, "best_step": 6, "dev_accuracy": None})
    assert "(the last, as there are no dev rows)" in state(
        train_view.report(replace(now, best=bare))
    )
    gone = replace(now, outcomes=(), best=None, stopped=True)
    assert state(train_view.report(gone)) == "Stopped before anything was tuned."


def test_numbers_stand_beside_the_zero_shot_prompt_with_a_test():
    seeds = (outcome(0, 23), outcome(1, 40))
    now = Watched(PLAN, doing="done", before=BEFORE, outcomes=seeds, best=seeds[1])
    _, *lines = rows(train_view.report(now))
    assert len(lines) == 4
    for line, share in zip(lines, ("50.0 %", "55.0 %", "57.5 %", "100.0 %"), strict=True):
        assert share in line
    assert lines[2].endswith("could be chance+2.5 points p 1.000")
    assert lines[3].endswith("really better+45.0 points p 0.000")
    [mean] = texts(train_view.report(now), "pp-verdict")
    # (57.5 + 100) / 2, and half of the distance times the root of 2
    assert mean == "Mean of 2 seeds: 78.8 %, ± 30.1 points (from 57.5 % to 100.0 %)."
    assert "Each seed drew other rows" in train_view.report(now)
    same = replace(PLAN, draws=(PLAN.draws[0], replace(PLAN.draws[0], seed=1)))
    assert "All seeds have the same rows" in train_view.report(replace(now, plan=same))
    assert "The majority label gets 50.0 %" in train_view.report(now)
    assert [e.text[:12] for e in select(train_view.report(now), "pp-chosen")] == ["lora, seed 1"]
    worse = replace(now, outcomes=(outcome(0, 3),), best=outcome(0, 3))
    assert "really worse-47.5 points" in rows(train_view.report(worse))[3]


def test_what_is_still_to_come_keeps_its_place():
    moments = [
        Watched(PLAN),
        Watched(PLAN, before=BEFORE, doing="tuning", steps=STEPS),
        Watched(PLAN, before=BEFORE, doing="tuning", outcomes=(outcome(0, 30),)),
        Watched(PLAN, before=BEFORE, doing="done", outcomes=(outcome(0, None),), stopped=True),
    ]
    assert [len(rows(train_view.report(now))) for now in moments] == [5] * 4
    assert [line.split("seed")[1] for line in rows(train_view.report(moments[-1]))[3:]] == [
        " 0not measured",
        " 1not tuned",
    ]


def test_without_rows_to_measure_on_it_says_so():
    html = train_view.report(Watched(replace(PLAN, held_out=None), doing="tuning", steps=STEPS))
    assert "Nothing is measured: no rows were chosen for it." in html
    assert rows(html) == []


def test_one_in_line_sees_the_place():
    assert "You are second in line." in train_view.waiting(1, "lora", 6, 2)
    assert "You are number 12 in line." in train_view.waiting(11, "lora", 6, 2)


def test_the_frame_is_there_before_during_and_in_line():
    frames = [
        train_view.idle("lora", 6, 2),
        train_view.waiting(1, "lora", 6, 2),
        train_view.report(Watched(PLAN)),
    ]
    for html in frames:
        tags = [e.tag for e in read(html) if e.tag in ("progress", "svg")]
        assert tags == ["progress", "svg"]
        assert len(texts(html, "pp-state")) == 1


def test_an_estimate_counts_all_seeds():
    html = train_view.estimate(Estimate(32_768, 77 << 20, 9.4), 3, 8_400_000)
    [line] = texts(html, "pp-caption")
    assert line == (
        "32,768 parameters (0.39 % of the model's) are tuned. 3 seeds take about 28 s and 77 MiB of memory "
        "here, and the time to measure."
    )
    whole = train_view.estimate(Estimate(8_400_000, 1 << 30, 0.4), 1, 8_400_000)
    assert "parameters</b> are tuned. It takes <b>less than a second</b>" in whole


@pytest.mark.parametrize(
    ("nbytes", "said"),
    [
        (800, "800 bytes"),
        (2048, "2 KiB"),
        (131_072, "128 KiB"),
        (6_737_128, "6.43 MiB"),
        (211_051_392, "201 MiB"),
        (1_300 << 20, "1.3 GiB"),
    ],
)
def test_sizes_as_people_say_them(nbytes, said):
    assert train_view.size(nbytes) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "less than a second"), (8.4, "8 s"), (180, "3 min")]
)
def test_times_as_people_say_them(seconds, said):
    assert train_view.duration(seconds) == said


def test_rows_that_were_drawn_are_listed_by_seed_and_use():
    html = train_view.drawn_rows(PLAN.draws)
    assert [e.text for e in read(html) if e.tag == "h3"] == ["Seed 0", "Seed 1"]
    assert rows(html)[1:5] == [
        "row 0goodtuned on",
        "row 1badtuned on",
        "row 2gooddev",
        "row 3baddev",
    ]
    many = Draw(0, part(*list(range(40)) * 4), part(0))
    assert "And 61 more." in train_view.drawn_rows([many])


def delta(**changes: object) -> Delta:
    values = {
        "method": "bias", "base": "mini", "revision": "r", "prompt": PROMPT,
        "tensors": {"change:x.bias": torch.zeros(2)}, "report": {**REPORT, "dev_rows": 8, "start_dev_accuracy": 0.5},
    }  # fmt: skip
    return Delta(**(values | changes))


@pytest.mark.parametrize(
    ("report", "title"),
    [
        (REPORT, "tuned: bias, 2 shots, seed 0"),
        ({"rows": 5, "recipe": {"seed": 3}}, "tuned: bias, 5 rows, seed 3"),
        ({}, "tuned: bias, 0 rows, seed 0"),
    ],
)
def test_a_tuned_model_has_a_title(report, title):
    assert train_view.title(delta(report=report)) == title


def test_an_opened_file_tells_its_claims_as_claims():
    html = train_view.opened(delta(), [Asked("After tuning", ("good", "bad"), (0.75, 0.25))])
    assert "on 8 dev rows went from 50.0 % to 70.0 %; that was not measured here." in html
    assert texts(html, "pp-number") == ["75.0 %", "25.0 %"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_labels_and_names_are_only_text(payload):
    labels = (f"good {payload}", "bad")
    held = replace(ROWS, name=payload, labels=labels, rows=[{"text": payload}] * 40)
    own = replace(PLAN, held_out=held, draws=(Draw(0, held, None),))
    asked = [Asked(payload, labels, (0.5, 0.5))]
    found = Watched(
        own, doing="done", before=BEFORE, outcomes=(outcome(0, 30),), best=outcome(0, 30)
    )
    opened = delta(base=payload)
    allowed = {"div", "progress", "p", "b", "svg", "line", "text", "polyline", "circle", "span", "h2", "h3",
               "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "br"}  # fmt: skip
    for html in (
        train_view.report(found, asked),
        train_view.drawn_rows(own.draws),
        train_view.opened(opened, asked),
        train_view.remark(payload),
    ):
        assert {e.tag for e in read(html)} <= allowed
