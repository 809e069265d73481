"""A race as data: what its cells say, and that a file which is none is refused in one sentence."""

from __future__ import annotations

import json
import statistics

import pytest

from playground import PlaygroundError
from playground.tasks.tuning.race import Race
from tests.tasks.tuning.races import small

CANNOT = "The race cannot be shown: {}; make it again with playground tune race."


def test_a_cell_is_the_mean_and_the_sample_deviation_over_seeds():
    race = small()
    assert (race.methods, race.shots) == (("whole", "cls"), (4, 16))
    assert [(c.method, c.shots, c.seeds) for c in race.cells] == [
        ("whole", 4, 2), ("whole", 16, 2), ("cls", 16, 2),
    ]  # fmt: skip
    cell = race.cell("whole", 16)
    assert cell.mean == pytest.approx(statistics.mean([0.8, 0.9]))
    assert cell.deviation == pytest.approx(statistics.stdev([0.8, 0.9]))
    assert (cell.least, cell.most, cell.macro_f1) == (0.8, 0.9, pytest.approx(0.75))
    assert race.cell("cls", 4) is None
    assert small(runs=small().runs[:1]).cells[0].deviation is None


def test_a_seed_has_to_beat_the_better_of_the_untuned_prompts():
    race = small()
    assert race.start == 0.6
    assert [cell.above for cell in race.cells] == [1, 2, 1]  # 0.7; both; 0.61


def test_a_race_is_read_back_as_it_was_saved(tmp_path):
    race = small()
    race.save(tmp_path / "race.json")
    assert Race.load(tmp_path / "race.json") == race
    assert [path.name for path in tmp_path.iterdir()] == ["race.json"]


def changed(**changes):
    return {**small().to_json(), **changes}


def run(**changes):
    data = json.loads(json.dumps(small().to_json()))
    data["runs"][0] |= changes
    return data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "it is no race of this version"),
        (changed(format=2), "it is no race of this version"),
        (changed(more=1), "its entries are not those of a race"),
        (changed(labels="ab"), "labels, untuned and runs must be lists"),
        (changed(runs=[{}] * 5001), "it has more than 5,000 entries"),
        (changed(labels=["a", "a"]), "it has fewer than two labels"),
        (changed(untuned=[]), "what the prompt gives before tuning is missing"),
        (changed(data=""), 'data is "", which is no text of 1 to 2,000 characters'),
        (changed(data="\ud800"), "data holds half a character"),
        (changed(rows=0), 'rows is "0", which is no whole number from 1'),
        (changed(rows=True), 'rows is "True", which is no whole number from 1'),
        (changed(majority=1.5), 'majority is "1.5", which is no number from 0 to 1'),
        (changed(random=float("nan")), 'random is "nan", which is no number from 0 to 1'),
        (changed(runs=[[]]), "one of its entries is no run"),
        (run(method="<b>"), 'a method is called "<b>"'),
        (run(accuracy="0.5"), 'accuracy is "0.5", which is no number from 0 to 1'),
        (run(seed=1), "one of its runs stands there twice"),
        (run(more=1), "one of its entries is no run"),
    ],
)  # fmt: skip
def test_what_is_no_race_is_one_sentence(data, reason, tmp_path):
    path = tmp_path / "race.json"
    path.write_text(json.dumps(json.loads(json.dumps(data))), encoding="utf-8")
    with pytest.raises(PlaygroundError) as caught:
        Race.load(path)
    assert str(caught.value) == CANNOT.format(reason)


def test_a_file_that_is_missing_large_or_no_json_is_told(tmp_path):
    path = tmp_path / "race.json"
    with pytest.raises(PlaygroundError) as caught:
        Race.load(path)
    assert str(caught.value) == (
        'The race "race.json" cannot be read (No such file or directory); give a race.json that '
        "playground tune race wrote."
    )
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(PlaygroundError) as caught:
        Race.load(path)
    assert str(caught.value) == CANNOT.format('"race.json" is no JSON')
    path.write_bytes(b" " * ((2 << 20) + 1))
    with pytest.raises(PlaygroundError) as caught:
        Race.load(path)
    assert str(caught.value) == 'The race "race.json" is larger than 2 MiB; it is not opened.'
