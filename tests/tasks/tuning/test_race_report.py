"""What is told of a race: its tables say its numbers, and the picture draws each method."""

from __future__ import annotations

import csv
import io

from playground.tasks.tuning.race_report import draw, to_csv, to_markdown, to_text
from tests.tasks.tuning.races import small


def test_the_text_has_a_line_for_each_method_and_number_of_shots():
    lines = [" ".join(line.split()) for line in to_text(small()).splitlines()]
    assert lines[0] == "100 rows held out; majority label 55.0%, at random 50.0%"
    assert lines[3] == "zero-shot 0 58.0% 95 % 50.0% 67.0% 57.0%"
    assert lines[5:] == [
        "whole 4 60.0% ± 14.1% 50.0% 70.0% 1 of 2 50.0% 2.5",
        "whole 16 85.0% ± 7.1% 80.0% 90.0% 2 of 2 75.0% 2.5",
        "cls 16 50.5% ± 14.8% 40.0% 61.0% 1 of 2 40.5% 2.5",
    ]


def test_the_markdown_has_a_column_for_each_number_of_shots():
    assert to_markdown(small()).splitlines() == [
        "|  | 0 | 4 | 16 |",
        "| --- | --- | --- | --- |",
        "| zero-shot | 58.0 |  |  |",
        "| zero-shot, calibrated | 60.0 |  |  |",
        "| whole |  | 60.0 ± 14.1 (1/2) | 85.0 ± 7.1 (2/2) |",
        "| cls |  |  | 50.5 ± 14.8 (1/2) |",
        "",
        "Columns: rows of each label to tune on. Accuracy on 100 other rows, in percent: mean ± deviation "
        "over 2 seeds, and how many of them beat the better zero-shot line. The majority label gets 55.0.",
    ]


def test_the_csv_has_a_line_a_run():
    race = small()
    rows = list(csv.DictReader(io.StringIO(to_csv(race))))
    assert [(r["data"], r["method"], float(r["accuracy"])) for r in rows] == [
        ("reviews", run.method, run.accuracy) for run in race.runs
    ]


def test_the_picture_is_an_svg_also_without_a_run(tmp_path):
    for race in (small(), small(runs=())):
        draw(race, tmp_path / "race.svg")
        assert "<svg" in (tmp_path / "race.svg").read_text(encoding="utf-8")
