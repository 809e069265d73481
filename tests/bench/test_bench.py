"""The measurements' own arithmetic: texts, baselines, metrics and tables. Times are not tested."""

from __future__ import annotations

import gzip
import json
from itertools import islice

import numpy as np
import pytest

from playground import Prompt, bench
from playground.bench.baselines import Baselines
from playground.bench.quality import measure_quality, read_labelled
from playground.bench.report import Report, Table
from playground.bench.sentences import long_texts, sentences, short_texts
from playground.bench.timing import Contestant, Times, in_turn
from playground.errors import PlaygroundError


@pytest.fixture(scope="module")
def sentiment() -> Prompt:
    return Prompt.load("sentiment")


@pytest.fixture(scope="module")
def plain(prompting, sentiment) -> Baselines:
    return Baselines(prompting, sentiment)


def test_sentences_are_the_same_for_the_same_seed():
    assert short_texts(20) == short_texts(20)
    assert short_texts(20) == list(islice(sentences(0), 20))
    assert short_texts(20) != short_texts(20, seed=1)


def test_long_texts_are_the_longest_that_fit():
    def fits(text: str) -> bool:
        return len(text) <= 500

    for text in long_texts(5, fits):
        assert 470 < len(text) <= 500


def test_short_prompts_have_about_25_tokens(prompting, sentiment):
    tokens = prompting.classify(short_texts(200), sentiment, words=False).tokens
    assert 20 <= tokens.mean() <= 32


def test_the_pipeline_agrees_with_the_engine(prompting, sentiment, plain):
    texts = short_texts(6)
    expected = prompting.classify(texts, sentiment).probabilities
    found = plain.pipeline_targets([plain.fill(text) for text in texts])
    assert found == pytest.approx(expected, abs=1e-5)
    assert plain.pipeline_targets([plain.fill(texts[0])]) == pytest.approx(expected[:1], abs=1e-5)


def test_the_tutorials_code_agrees_with_logit_sum(prompting, sentiment, plain):
    card = sentiment.to_json() | {"scoring": {"aggregation": "logit_sum"}}
    [expected] = prompting.classify(short_texts(1), Prompt.from_json(card)).probabilities
    found = plain.tutorial(plain.fill(short_texts(1)[0]))
    assert found == pytest.approx(expected, abs=1e-4)


def test_contestants_take_turns_and_both_ends_of_a_round():
    called: list[tuple[str, int]] = []

    def contestant(name: str, texts: int) -> Contestant:
        return Contestant(lambda turn: called.append((name, turn)), texts)

    rounds: list[int] = []
    times = in_turn(
        {"a": contestant("a", 1), "b": contestant("b", 10)}, rounds=2, before=rounds.append
    )
    assert called == [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert rounds == [0, 1, 2]
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_paired():
    times = Times({"slow": [10.0, 2.0, 30.0], "fast": [5.0, 1.0, 1.0]})
    assert times.ratio("slow", "fast") == 2.0
    assert times.median("slow") == 10.0


def write_labelled(path, rows):
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)


def test_labelled_rows_are_drawn_with_a_seed(tmp_path):
    rows = [{"text": str(i), "label": i % 2} for i in range(50)]
    write_labelled(tmp_path / "a.jsonl.gz", rows)
    texts, gold = read_labelled(tmp_path / "a.jsonl.gz", {0: "no", 1: "yes"}, 10)
    assert len(set(texts)) == 10
    assert gold == ["yes" if int(text) % 2 else "no" for text in texts]
    assert texts == read_labelled(tmp_path / "a.jsonl.gz", {0: "no", 1: "yes"}, 10)[0]
    with pytest.raises(
        PlaygroundError, match=r'^"a\.jsonl\.gz" has the unknown label "1"; its labels'
    ):
        read_labelled(tmp_path / "a.jsonl.gz", {0: "no"}, None)


def test_quality_measures_what_is_there_and_says_what_is_not(tmp_path, prompting, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")
    texts = ["A great film.", "A boring film.", "Fantastic!", "It was awful."]
    rows = [{"text": text, "label": 1 - i % 2} for i, text in enumerate(texts)]
    write_labelled(tmp_path / "sst2" / "dev.jsonl.gz", rows)
    said: list[str] = []
    report = measure_quality(model=None, data=str(tmp_path), rows=None, say=said.append)
    public, reviews, headlines, entities = report.tables
    assert [row[:3] for row in public.rows] == [("SST-2 dev (sentiment)", 4, 0.5)]
    scores = prompting.classify(texts, Prompt.load("sentiment"))
    right = [p == ("positive", "negative")[i % 2] for i, p in enumerate(scores.predictions)]
    assert public.rows[0][3] == pytest.approx(np.mean(right))
    assert [row[0] for row in reviews.rows] == ["all", "plain", "mixed", "negation", "irony"]
    assert (reviews.rows[0][1], headlines.rows[0][1]) == (200, 100)
    assert sum("is skipped" in sentence for sentence in said) == 3
    [(name, texts, *_)] = entities.rows
    assert (name, texts) == ("shipped sentences", 60)


TABLE = Table(
    "Title", {"": "", "ms": ".2f", "n": "d"}, (("a", 1.234, None), ("longer", 10.0, 5)), ("Note.",)
)


def test_a_table_is_aligned():
    assert TABLE.to_text().splitlines() == [
        "Title",
        "             ms  n",
        "  a        1.23",
        "  longer  10.00  5",
        "  Note.",
    ]


def test_a_report_is_saved_as_json(tmp_path):
    report = Report("speed", "model", (TABLE,), {"cores": 2})
    report.save(tmp_path / "a.json")
    [table] = json.loads((tmp_path / "a.json").read_text())["tables"]
    assert table["rows"] == [{"": "a", "ms": 1.234, "n": None}, {"": "longer", "ms": 10.0, "n": 5}]
    with pytest.raises(
        PlaygroundError, match=r"^The numbers cannot be written to .* \(No such file"
    ):
        report.save(tmp_path / "no" / "a.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"what": "nope"}, r'^There is no measurement "nope"; choose speed, quality, nli, pretrain, app or load\.$'),
        ({"what": "speed", "rows": 3}, r"^--data, --rows and --texts belong to bench quality, not to bench speed\.$"),
        ({"what": "quality", "data": "no/folder"}, r'^The folder "no/folder" is not there; check --data\.$'),
    ],
)  # fmt: skip
def test_a_wrong_measurement_is_refused(arguments, message):
    with pytest.raises(PlaygroundError, match=message):
        bench.measure(**arguments)


def test_entity_sentences_have_25_words():
    from playground.bench.entities import _texts
    from playground.tasks.entities import words

    texts = list(islice(_texts(), 20))
    assert {len(words(text)) for text in texts} == {25}
    assert len(set(texts)) == 20
