"""Scoring a table: right numbers in the right rows, whatever happens on the way."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from playground import Prompt, Prompting
from playground.errors import PlaygroundError
from playground.settings import Settings
from playground.tasks.partial import PartialFile
from playground.tasks.reading import read_file, read_stream
from playground.tasks.score import PromptScorer, score_table

WINDOW = 8
TEXTS = [
    f"{opening} the {thing} {ending}"
    for opening in ("I really like", "Nobody wants", "She forgot", "We paid for")
    for thing in ("film", "soup", "long and winding story about the old harbour", "seat")
    for ending in ("a lot.", "at all!", "because of the rain, the wind and the cold.", "again")
]
COLUMNS = ["id", "text", "prediction", "p_positive", "p_negative", "tokens", "dropped", "error"]


@pytest.fixture(scope="module")
def sentiment() -> Prompt:
    return Prompt.load("sentiment")


@pytest.fixture(scope="module")
def small_windows() -> Prompting:
    """The shipped model with windows of eight rows, so that small files have many."""
    return Prompting(threads=1, settings=replace(Settings(), window_rows=WINDOW))


@pytest.fixture
def rows_csv(tmp_path) -> str:
    return write_rows(tmp_path / "rows.csv", TEXTS)


def write_rows(path: Path, texts) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(texts))
    return str(path)


def scored(prompting, prompt, path: str, out, **options):
    return score_table(PromptScorer(prompting, prompt), read_file(path), out, **options)


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


# ---- numbers and places ---------------------------------------------------------------------------


def test_the_numbers_are_those_of_plain_transformers(prompting, sentiment, rows_csv):
    folder = prompting.backbone.source.location
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    words = [
        tokenizer.convert_tokens_to_ids([w.text for w in ws])
        for ws in sentiment.verbalizer.labels.values()
    ]
    out = io.BytesIO()
    scored(prompting, sentiment, rows_csv, out, limit=5)
    for text, row in zip(TEXTS, read_csv(out.getvalue()), strict=False):
        inputs = tokenizer(f"{text} It was {tokenizer.mask_token}.", return_tensors="pt")
        place = int((inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero())
        with torch.no_grad():
            shares = model(**inputs).logits[0, place].softmax(-1)
        means = torch.stack([shares[ids].mean() for ids in words])
        expected = means / means.sum()
        assert float(row["p_positive"]) == pytest.approx(float(expected[0]), abs=2e-6)
        assert float(row["p_negative"]) == pytest.approx(float(expected[1]), abs=2e-6)
        assert row["prediction"] == ("positive" if expected[0] > 0.5 else "negative")
        assert row["tokens"] == str(inputs["input_ids"].shape[1])


def test_every_row_keeps_its_place_and_its_columns(small_windows, sentiment, rows_csv):
    out = io.BytesIO()
    summary = scored(small_windows, sentiment, rows_csv, out)
    rows = read_csv(out.getvalue())
    assert (list(rows[0]), summary.rows, summary.failed) == (COLUMNS, len(TEXTS), 0)
    assert [(row["id"], row["text"]) for row in rows] == [(str(i), t) for i, t in enumerate(TEXTS)]
    scores = small_windows.classify(TEXTS, sentiment)
    assert [row["prediction"] for row in rows] == scores.predictions
    for row, expected in zip(rows, scores.probabilities, strict=True):
        assert float(row["p_positive"]) == pytest.approx(expected[0], abs=1e-5)


def test_a_row_that_fails_keeps_its_place_with_the_error(prompting, sentiment, tmp_path):
    lines = ['{"text": "good"}', "oops", '{"text": 5}', '{"other": 1}', '{"text": "bad"}']
    lines.insert(3, json.dumps({"text": "long " * 5000}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out.jsonl"
    summary = scored(prompting, sentiment, str(tmp_path / "a.jsonl"), out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert (summary.rows, summary.failed) == (6, 4)
    assert [row["error"] for row in rows] == [
        "",
        'Line 2 is not JSON: "oops".',
        'text is "5" (int); it must be text.',
        "text has 25,000 characters; the most is 20,000. The model reads 512 tokens.",
        'This row has no "text".',
        "",
    ]
    assert [row["prediction"] for row in rows] == ["positive", None, None, None, None, "negative"]
    assert rows[1]["p_positive"] is None
    assert rows[2]["text"] == 5


def test_dropped_tokens_are_told(prompting, sentiment, tmp_path):
    out = io.BytesIO()
    scored(prompting, sentiment, write_rows(tmp_path / "a.csv", ["very " * 900, "short"]), out)
    long, short = read_csv(out.getvalue())
    assert (long["tokens"], short["dropped"]) == ("512", "0")
    assert int(long["dropped"]) > 300


def test_columns_of_a_pair_are_mapped(prompting, tmp_path):
    (tmp_path / "pairs.tsv").write_text("a\tb\nA man sleeps.\tA man is awake.\n")
    out = io.BytesIO()
    columns = {"premise": "a", "hypothesis": "b"}
    prompt = Prompt.load("nli")
    scored(prompting, prompt, str(tmp_path / "pairs.tsv"), out, columns=columns, format="tsv")
    [row] = csv.DictReader(io.StringIO(out.getvalue().decode()), delimiter="\t")
    expected = prompting.classify([("A man sleeps.", "A man is awake.")], prompt)
    assert row["prediction"] == expected.predictions[0]
    assert [name for name in row if name.startswith("p_")] == [
        f"p_{label}" for label in expected.labels
    ]


def test_a_column_called_prediction_stays(prompting, sentiment, tmp_path):
    (tmp_path / "a.csv").write_text("text,prediction,error\ngood,mine,x\n")
    out, said = io.BytesIO(), []
    scored(prompting, sentiment, str(tmp_path / "a.csv"), out, notify=said.append)
    [row] = read_csv(out.getvalue())
    assert (row["prediction"], row["error"]) == ("mine", "x")
    assert (row["prediction_2"], row["error_2"]) == ("positive", "")
    assert said[0] == 'The input has a column "prediction"; the new one is "prediction_2".'


def test_fields_that_a_csv_cannot_hold_are_told(prompting, sentiment, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": "bad", "extra": 1}\n')
    path = str(tmp_path / "a.jsonl")
    assert scored(prompting, sentiment, path, tmp_path / "o.csv").lost_fields == ("extra",)
    assert scored(prompting, sentiment, path, tmp_path / "o.jsonl").lost_fields == ()
    assert json.loads((tmp_path / "o.jsonl").read_text().splitlines()[1])["extra"] == 1


def test_progress_counts_every_row(small_windows, sentiment, rows_csv):
    seen: list[int] = []
    scored(small_windows, sentiment, rows_csv, io.BytesIO(), progress=seen.append, limit=20)
    assert seen == sorted(seen)
    assert seen[-1] == 20


def test_a_prompt_that_cannot_score_writes_nothing(prompting, sentiment, rows_csv, tmp_path):
    bad = replace(sentiment, verbalizer=type(sentiment.verbalizer)({"a": ["good"], "b": ["☃☃☃"]}))
    with pytest.raises(PlaygroundError, match=r"Label word .* is unknown to this model"):
        scored(prompting, bad, rows_csv, tmp_path / "o.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


# ---- stopped runs ---------------------------------------------------------------------------------


class Stopped(BaseException):
    """Stops a run where a kill would."""


def stop_at(count: int):
    def progress(rows: int) -> None:
        if rows >= count:
            raise Stopped

    return progress


@pytest.fixture(scope="module")
def whole(small_windows, sentiment, tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    scored(small_windows, sentiment, write_rows(folder / "rows.csv", TEXTS), folder / "o.csv")
    return (folder / "o.csv").read_bytes()


@pytest.mark.parametrize("rows", range(1, len(TEXTS), 7))
def test_a_stopped_run_is_continued_to_the_same_bytes(
    small_windows, sentiment, rows_csv, tmp_path, whole, rows
):
    out = tmp_path / "o.csv"
    out.write_text("old")
    with pytest.raises(Stopped):
        scored(small_windows, sentiment, rows_csv, out, progress=stop_at(rows))
    assert out.read_text() == "old"
    with (tmp_path / "o.csv.partial").open("ab") as file:
        file.write(b"half of a ro")  # what a kill leaves behind
    done = (rows - 1) // WINDOW * WINDOW  # a window counts when it is written
    said: list[str] = []
    before = small_windows.runner.prompts_run
    summary = scored(small_windows, sentiment, rows_csv, out, notify=said.append)
    assert (summary.rows, summary.resumed) == (len(TEXTS), done)
    assert small_windows.runner.prompts_run - before == len(TEXTS) - done
    assert said == ([f'Continuing "{out}": {done} rows were done before.'] if done else [])
    assert out.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "rows.csv"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fresh": True}, "Starting anew: the 16 rows of the stopped run are dropped."),
        ({"limit": 40}, "Starting anew: the 16 rows of the stopped run are of another prompt, model or option."),
        ({"columns": {"text": "id"}}, "Starting anew: the 16 rows of the stopped run are of another prompt, model or option."),
    ],
)  # fmt: skip
def test_a_run_of_another_kind_starts_anew(
    small_windows, sentiment, rows_csv, tmp_path, change, sentence
):
    clean, out = tmp_path / "clean.csv", tmp_path / "o.csv"
    scored(small_windows, sentiment, rows_csv, clean, **change)
    with pytest.raises(Stopped):
        scored(small_windows, sentiment, rows_csv, out, progress=stop_at(20))
    said: list[str] = []
    summary = scored(small_windows, sentiment, rows_csv, out, notify=said.append, **change)
    assert (said, summary.resumed) == ([sentence], 0)
    assert out.read_bytes() == clean.read_bytes()


@pytest.mark.parametrize("card", ["template", "scoring", "words"])
def test_another_prompt_starts_anew(small_windows, sentiment, rows_csv, tmp_path, card):
    changed = {
        "template": sentiment.with_template("{text} Because it was {mask}."),
        "scoring": replace(sentiment, scoring=replace(sentiment.scoring, aggregation="max")),
        "words": replace(
            sentiment, verbalizer=type(sentiment.verbalizer)({"positive": ["good"], "negative": ["bad"]})
        ),
    }  # fmt: skip
    out = tmp_path / "o.csv"
    with pytest.raises(Stopped):
        scored(small_windows, sentiment, rows_csv, out, progress=stop_at(20))
    assert scored(small_windows, changed[card], rows_csv, out).resumed == 0


def test_another_input_starts_anew_and_a_longer_one_does_not(
    small_windows, sentiment, rows_csv, tmp_path
):
    out = tmp_path / "o.csv"
    with pytest.raises(Stopped):
        scored(small_windows, sentiment, rows_csv, out, progress=stop_at(20))
    with Path(rows_csv).open("a") as file:
        file.write("99,one more\n")
    assert scored(small_windows, sentiment, rows_csv, out).resumed == 16
    with pytest.raises(Stopped):
        scored(small_windows, sentiment, rows_csv, out, progress=stop_at(20))
    write_rows(Path(rows_csv), ["changed", *TEXTS[1:]])
    said: list[str] = []
    assert scored(small_windows, sentiment, rows_csv, out, notify=said.append).resumed == 0
    assert said == ["Starting anew: the input is not that of the stopped run (16 rows)."]
    assert read_csv(out.read_bytes())[0]["text"] == "changed"


def test_standard_input_is_continued_if_it_is_the_same(small_windows, sentiment, tmp_path, whole):
    data = Path(write_rows(tmp_path / "rows.csv", TEXTS)).read_bytes()
    out = tmp_path / "o.csv"

    def run(data: bytes, **options):
        table = read_stream(io.BytesIO(data), format="csv")
        return score_table(PromptScorer(small_windows, sentiment), table, out, **options)

    with pytest.raises(Stopped):
        run(data, progress=stop_at(20))
    with pytest.raises(PlaygroundError, match=r"^Standard input cannot be read twice; use --fresh"):
        run(data.replace(b"like", b"hate"))
    assert run(data).resumed == 16
    assert out.read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"{}", b"null", b"\xff", b'{"rows": 8}'])
def test_a_damaged_journal_starts_anew(small_windows, sentiment, rows_csv, tmp_path, whole, damage):
    out = tmp_path / "o.csv"
    with pytest.raises(Stopped):
        scored(small_windows, sentiment, rows_csv, out, progress=stop_at(20))
    (tmp_path / "o.csv.partial.json").write_bytes(damage)
    assert scored(small_windows, sentiment, rows_csv, out).resumed == 0
    assert out.read_bytes() == whole


def test_a_partial_file_that_lost_bytes_starts_anew(
    small_windows, sentiment, rows_csv, tmp_path, whole
):
    out = tmp_path / "o.csv"
    with pytest.raises(Stopped):
        scored(small_windows, sentiment, rows_csv, out, progress=stop_at(20))
    with (tmp_path / "o.csv.partial").open("r+b") as file:
        file.truncate(100)
    assert scored(small_windows, sentiment, rows_csv, out).resumed == 0
    assert out.read_bytes() == whole


def test_ctrl_c_keeps_the_rows_and_says_how_to_go_on(small_windows, sentiment, rows_csv, tmp_path):
    def interrupt(rows: int) -> None:
        if rows >= 20:
            raise KeyboardInterrupt

    out, said = tmp_path / "o.csv", []
    with pytest.raises(KeyboardInterrupt):
        scored(small_windows, sentiment, rows_csv, out, progress=interrupt, notify=said.append)
    assert said == [f'Stopped. The same command continues "{out}" where it was.']
    assert scored(small_windows, sentiment, rows_csv, out).resumed == 16


def test_two_runs_do_not_write_one_file(small_windows, sentiment, rows_csv, tmp_path):
    pytest.importorskip("fcntl")
    held = PartialFile(tmp_path / "o.csv")
    with pytest.raises(PlaygroundError, match=r"is being written by another run; wait for it"):
        scored(small_windows, sentiment, rows_csv, tmp_path / "o.csv")
    held.close()
    assert scored(small_windows, sentiment, rows_csv, tmp_path / "o.csv").rows == len(TEXTS)


def test_a_link_stays_a_link(small_windows, sentiment, rows_csv, tmp_path, whole):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "o.csv").symlink_to(tmp_path / "real.csv")
    scored(small_windows, sentiment, rows_csv, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/o.csv", r"cannot be written \(No such file or directory\); choose another place\.$"),
        ("rows.csv/o.csv", r"cannot be written \(Not a directory\); choose another place\.$"),
        ("folder.csv", r"is a folder; give a file name\.$"),
        ("o.xlsx", r'^The output ".*" ends in "\.xlsx"; end it in \.csv, \.tsv or \.jsonl\.$'),
    ],
)
def test_an_output_that_cannot_be_written(
    small_windows, sentiment, rows_csv, tmp_path, name, message
):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(PlaygroundError, match=message):
        scored(small_windows, sentiment, rows_csv, tmp_path / name)


def test_a_full_disk_keeps_the_old_file_and_the_rows_done(
    small_windows, sentiment, rows_csv, tmp_path, whole
):
    resource = pytest.importorskip("resource")
    out = tmp_path / "o.csv"
    out.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, hard))
    try:
        with pytest.raises(PlaygroundError) as caught:
            scored(small_windows, sentiment, rows_csv, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done = rows_done(tmp_path / "o.csv.partial.json")
    assert 0 < done < len(TEXTS)
    assert str(caught.value) == (
        f'The output "{out}" cannot be written (File too large); {done} rows are safe in '
        "o.csv.partial; make room and run the same command again."
    )
    assert out.read_text() == "old"
    assert scored(small_windows, sentiment, rows_csv, out).resumed == done
    assert out.read_bytes() == whole


# ---- the real thing: another process, really killed -----------------------------------------------

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str) -> subprocess.Popen:
    environment = os.environ | {"PLAYGROUND_WINDOW_ROWS": str(WINDOW), "PLAYGROUND_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "playground", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def rows_done(journal: Path) -> int:
    return json.loads(journal.read_text())["rows"] if journal.exists() else 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_is_continued_to_the_same_bytes(small_windows, sentiment, tmp_path):
    texts = [f"{text} {i}" for i in range(16) for text in TEXTS]
    path = write_rows(tmp_path / "rows.csv", texts)
    scored(small_windows, sentiment, path, tmp_path / "whole.csv")
    out, journal = tmp_path / "o.csv", tmp_path / "o.csv.partial.json"
    command = ["score", path, "--prompt", "sentiment", "-o", str(out)]
    draw = random.Random(1)
    for kill in range(2):
        goal = rows_done(journal) + draw.randint(1, 300)
        process = start(*command)
        end = time.monotonic() + 120
        while rows_done(journal) < goal and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(draw.random() / 50)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"kill {kill} came too late"
        assert not out.exists()
    done = rows_done(journal)
    assert 0 < done < len(texts)
    assert scored(small_windows, sentiment, path, out).resumed == done
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
