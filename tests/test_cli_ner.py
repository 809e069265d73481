"""``playground ner`` from end to end: texts in, entities out, measured, and one sentence an error."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from playground import Prompt, resources
from playground.cli import main
from playground.errors import PlaygroundError
from playground.tasks.entities import THRESHOLD, Entity, EntityTyper, decode
from playground.tasks.entities.evaluation import evaluate_entities
from playground.tasks.entities.labelled import read_labelled_texts
from playground.tasks.partial import PartialFile
from playground.tasks.reading import read_file

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [
    "Maria Lopez moved from Norway to Madrid.",
    'She said, "Ana met Bo";\nthen =1+1 👩‍👩‍👧 in Rome.',
    "nobody is here",
    "",
    "Google wrote to Angela Merkel in Berlin.",
]
CARD = {
    "name": "mine",
    "task": "entity",
    "templates": ["The {mask} {span}.", "{before}{mask} {span}{after}"],
    "labels": {"person": ["man", "friend"], "place": ["city", "country"], "none": ["thing"]},
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_THREADS", "1")
    monkeypatch.setenv("PLAYGROUND_DEVICE", "cpu")


@pytest.fixture(scope="module")
def typer(prompting) -> EntityTyper:
    return EntityTyper(prompting, Prompt.load("entity"))


@pytest.fixture
def card(tmp_path) -> str:
    (tmp_path / "mine.json").write_text(json.dumps(CARD))
    return str(tmp_path / "mine.json")


def write(path: Path, texts=TEXTS, column: str = "text") -> str:
    """Write the texts with their numbers in the format of the file's name."""
    if path.suffix == ".jsonl":
        lines = (json.dumps({"id": k, column: text}) for k, text in enumerate(texts))
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([("id", column), *enumerate(texts)])
    return str(path)


def read(data: str, kind: str) -> list[dict]:
    """Return the rows of an output, their entities as objects."""
    if kind == "jsonl":
        return [json.loads(line) for line in data.splitlines()]
    rows = list(csv.DictReader(io.StringIO(data), delimiter="\t" if kind == "tsv" else ","))
    return [row | {"entities": json.loads(row["entities"])} for row in rows]


def agree(rows: list[dict], expected: list[list[Entity]], column: str = "entities") -> None:
    """Compare the entities of rows with the engine's, number by number."""
    for row, entities in zip(rows, expected, strict=True):
        assert [(e["start"], e["end"], e["label"], e["text"]) for e in row[column]] == [
            (e.start, e.end, e.label, e.text) for e in entities
        ]
        for one, entity in zip(row[column], entities, strict=True):
            assert list(one) == ["start", "end", "label", "text", "margin", "probability"]
            assert one["margin"] == pytest.approx(entity.margin, abs=1e-4)
            assert one["probability"] == pytest.approx(entity.probability, abs=1e-5)


def found(typer: EntityTyper, texts=TEXTS, **how) -> list[list[Entity]]:
    return [decode(typer.type_text(t), **how) if t.strip() else [] for t in texts]


def sentences(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("playground")]


# ---- help ---------------------------------------------------------------------------------------


def test_the_command_is_explained_with_examples_at_once():
    program = (
        "import sys\nfrom playground.cli import main\n"
        "assert main(['ner', '--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'gradio', 'datasets', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "examples:\n  playground ner" in done.stdout


def test_the_help_names_the_defaults_that_are(capsys):
    """The command loads no model for its help, so it names the choices itself."""
    from playground.cli import ner
    from playground.tasks.entities import CANDIDATES, DECODINGS, PRIORS

    assert (*(tuple(CANDIDATES), tuple(DECODINGS), tuple(PRIORS)),) == (
        ner._CANDIDATES,
        ner._DECODINGS,
        ner._PRIORS,
    )
    assert main(["ner", "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"margin over none, nats ({THRESHOLD:g})" in shown


# ---- from texts to entities ---------------------------------------------------------------------


@pytest.mark.parametrize("source", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("target", ["csv", "tsv", "jsonl"])
def test_every_row_keeps_its_columns_and_gains_its_entities(
    source, target, typer, tmp_path, capsys
):
    path, out = write(tmp_path / f"in.{source}"), tmp_path / f"out.{target}"
    assert main(["ner", path, "-o", str(out)]) == 0
    rows = read(out.read_bytes().decode(), target)
    assert [list(row) for row in rows] == [["id", "text", "entities", "error"]] * len(TEXTS)
    assert [(str(row["id"]), row["text"]) for row in rows] == [
        (str(k), text) for k, text in enumerate(TEXTS)
    ]
    expected = found(typer)
    assert [len(one) > 0 for one in expected] == [True, True, False, False, True]
    agree(rows, expected)
    assert {row["error"] for row in rows} == {""}
    told = sentences(capsys)
    assert told[-1].startswith(f"playground: Scored 5 rows to {out}, 0 with an error (")


def test_offsets_are_code_points_of_the_text(tmp_path, typer):
    path = write(tmp_path / "in.jsonl", ["👩‍👩‍👧 e\u0301 Ana\r\nand 🏴 Bo in Rome"])
    assert main(["ner", path, "-o", str(tmp_path / "out.jsonl"), "--threshold", "-50"]) == 0
    [row] = read((tmp_path / "out.jsonl").read_bytes().decode(), "jsonl")
    assert [e["text"] for e in row["entities"]] == ["Ana", "Bo", "Rome"]
    assert all(row["text"][e["start"] : e["end"]] == e["text"] for e in row["entities"])


def test_every_option_reaches_the_typer(prompting, card, tmp_path):
    texts = ["Ana Lima of Porto met Bo", "my cousin found a job in tulsa"]
    path = write(tmp_path / "in.jsonl", texts, column="body")
    out = tmp_path / "out.jsonl"
    command = ["ner", path, "-o", str(out), "--text-column", "body", "--prompt", card]
    command += ["--candidates", "all", "--most-words", "2", "--prior", "span", "--threshold", "-1"]
    typer = EntityTyper(prompting, Prompt.load(card), prior="span")
    typed = [typer.type_text(text, candidates="all", most_words=2) for text in texts]
    for options, how in (
        ([], {}),
        (["--decoding", "best total", "--nested"], {"decoding": "best total", "nested": True}),
    ):
        assert main([*command, *options]) == 0
        agree(read(out.read_text(), "jsonl"), [decode(one, threshold=-1, **how) for one in typed])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_standard_input_and_output(kind, typer, tmp_path, monkeypatch, capfdbinary):
    data = Path(write(tmp_path / f"in.{kind}")).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["ner", "-", "--format", kind, "--limit", "2"]) == 0
    out, told = capfdbinary.readouterr()
    rows = read(out.decode(), kind)
    agree(rows, found(typer, TEXTS[:2]))
    assert b"Scored 2 rows, 0 with an error" in told


def test_a_limit_takes_the_first_rows(typer, tmp_path):
    path, out = write(tmp_path / "in.csv"), tmp_path / "out.jsonl"
    assert main(["ner", path, "-o", str(out), "--limit", "1"]) == 0
    agree(read(out.read_text(), "jsonl"), found(typer, TEXTS[:1]))


def test_columns_of_our_names_stay(typer, tmp_path, capsys):
    rows = [{"text": TEXTS[0], "entities": "mine", "error": 5, "entities_2": None}]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    out = tmp_path / "out.jsonl"
    assert main(["ner", str(tmp_path / "in.jsonl"), "-o", str(out)]) == 0
    [row] = read(out.read_text(), "jsonl")
    assert {key: row[key] for key in rows[0]} == rows[0]
    added = [key for key in row if key not in rows[0]]
    assert len(added) == 2
    agree([row], found(typer, TEXTS[:1]), column=added[0])
    told = sentences(capsys)
    assert told[:2] == [
        f'playground: The input has a column "entities"; the new one is "{added[0]}".',
        f'playground: The input has a column "error"; the new one is "{added[1]}".',
    ]


# ---- rows with errors ---------------------------------------------------------------------------


def test_a_row_that_fails_costs_no_other(typer, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PLAYGROUND_MAX_SPANS", "3")
    many = "Ana met Bo and Tom and Max."
    lines = [
        json.dumps({"text": TEXTS[0]}),
        '{"text": 5}',
        "oops",
        json.dumps({"text": many}),
        '{"other": "x"}',
        '{"text": null}',
        json.dumps({"text": "x" * 20_001}),
        '{"text": "\\ud800 Ana in Rome"}',
        json.dumps({"text": TEXTS[4]}),
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out.jsonl"
    assert main(["ner", str(tmp_path / "in.jsonl"), "-o", str(out)]) == 0
    rows = read(out.read_text(), "jsonl")
    assert [row["error"] for row in rows] == [
        "",
        'text is "5" (int); it must be text.',
        'Line 3 is not JSON: "oops".',
        "The text has 4 candidate spans and the most is 3; shorten it, take fewer words a span, or "
        "candidates that look like names.",
        'This row has no "text".',
        'text is "None" (NoneType); it must be text.',
        "The text has 20,001 characters; the most is 20,000.",
        "",
        "",
    ]
    good = [0, 7, 8]
    agree([rows[k] for k in good], found(typer, [TEXTS[0], "\ud800 Ana in Rome", TEXTS[4]]))
    assert [row["entities"] for k, row in enumerate(rows) if k not in good] == [[]] * 6
    assert rows[1]["text"] == 5
    assert ", 6 with an error (" in sentences(capsys)[-1]


def test_a_field_that_a_csv_cannot_hold_is_told(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text('{"text": "Ana"}\n{"text": "Bo", "more": 1}\n')
    assert main(["ner", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.csv")]) == 0
    told = sentences(capsys)
    assert 'playground: Fields that the first row does not have were left out: "more"; .jsonl keeps them.' in told  # fmt: skip


# ---- spaCy --------------------------------------------------------------------------------------


def test_spacys_training_data_are_texts_with_offsets(typer, tmp_path, capsys):
    lines = [*(json.dumps({"text": text, "id": 1}) for text in TEXTS[:2]), '{"text": 5}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    out = tmp_path / "train.jsonl"
    assert main(["ner", str(tmp_path / "in.jsonl"), "--spacy", "-o", str(out)]) == 0
    expected = found(typer, TEXTS[:2])
    assert read(out.read_text(), "jsonl") == [
        {"text": text, "entities": [[e.start, e.end, e.label.upper()] for e in entities]}
        for text, entities in zip(TEXTS, expected, strict=False)
    ]
    assert "Scored 3 rows" in sentences(capsys)[-1]  # the one with an error is no example


def test_nested_spans_are_a_span_group_of_spacy(prompting, card, tmp_path):
    path, out = write(tmp_path / "in.csv", ["Ana Lima of Porto met Bo"]), tmp_path / "train.jsonl"
    command = ["ner", path, "--prompt", card, "--candidates", "all", "--threshold", "-5"]
    assert main([*command, "--nested", "--spacy", "-o", str(out)]) == 0
    typed = EntityTyper(prompting, Prompt.load(card)).type_text(
        "Ana Lima of Porto met Bo", candidates="all"
    )
    entities = decode(typed, threshold=-5, nested=True)
    assert any(a.span != b.span and a.span.overlaps(b.span) for a in entities for b in entities)
    [line] = read(out.read_text(), "jsonl")
    assert line == {
        "text": typed.text,
        "spans": {"sc": [[e.start, e.end, e.label.upper()] for e in entities]},
    }


def test_spacys_lines_go_to_a_pipe_whatever_the_input_is(typer, tmp_path, capfdbinary):
    assert main(["ner", write(tmp_path / "in.csv", TEXTS[:1]), "--spacy"]) == 0
    [line] = read(capfdbinary.readouterr().out.decode(), "jsonl")
    assert [e[:2] for e in line["entities"]] == [[e.start, e.end] for e in found(typer)[0]]


# ---- stopped and continued ----------------------------------------------------------------------


def start(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "playground", "ner", *arguments],
        cwd=ROOT, env=os.environ | {"PLAYGROUND_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def rows_done(journal: Path) -> int:
    return json.loads(journal.read_text())["rows"] if journal.exists() else 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_is_continued_to_the_same_bytes(tmp_path, capsys):
    names = ("Ana", "Bo Lima", "Tom", "Rome", "Madrid", "Google", "Angela Merkel")
    draw = random.Random(3)
    texts = [
        f"{draw.choice(names)} wrote {k} letters to {draw.choice(names)} of {draw.choice(names)}."
        for k in range(600)
    ]
    texts[400] = "x" * 20_001
    path, out = write(tmp_path / "in.csv", texts), tmp_path / "out.csv"
    assert main(["ner", path, "-o", str(tmp_path / "whole.csv")]) == 0
    journal = tmp_path / "out.csv.partial.json"
    process = start(path, "-o", str(out))
    end = time.monotonic() + 120
    while rows_done(journal) < 128 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "the kill came too late"
    assert not out.exists()
    done = rows_done(journal)
    assert 0 < done < len(texts)
    capsys.readouterr()
    assert main(["ner", path, "-o", str(out)]) == 0
    told = sentences(capsys)
    assert (
        told[0] == f"playground: Continuing {json.dumps(str(out))}: {done} rows were done before."
    )
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_option_starts_anew(tmp_path, capsys):
    """What rows of one file have in common tells two runs apart."""
    texts = ["Ana met Bo in Rome."] * 70
    path, out = write(tmp_path / "in.csv", texts), tmp_path / "out.csv"
    for options in (["--threshold", "3"], ["--nested"], ["--prior", "span"], ["--most-words", "2"]):
        stop_early(path, out)
        capsys.readouterr()
        assert main(["ner", path, "-o", str(out), *options]) == 0
        assert sentences(capsys)[0] == (
            "playground: Starting anew: the 64 rows of the stopped run are of another prompt, model or "
            "option."
        )


def stop_early(path: str, out: Path) -> None:
    """Leave what a run leaves that is stopped after its first window of 64 rows."""
    kept = PartialFile.append

    def stop_behind(self, data, journal):
        kept(self, data, journal)
        if journal.rows:
            raise PlaygroundError("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartialFile, "append", stop_behind)
        assert main(["ner", path, "-o", str(out)]) == 2
    assert rows_done(out.with_name(f"{out.name}.partial.json")) == 64


# ---- one sentence an error ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Give one input: a file, - for standard input, or --dataset for a hub data set."),
        (["no.csv"], 'The file "no.csv" is not there; check its name.'),
        (["FILE", "--prompt", "nope"], "nope"),
        (["FILE", "--prompt", "sentiment"], 'The template "{text} It was {mask}." has no {span}; put {span} where the name should stand.'),
        (["FILE", "--prompt", "nli"], "one that types spans takes {span}, {text}, {before} and {after}."),
        (["FILE", "--text-column", "body"], 'There is no column "body"; the columns are "id", "text". Name the text\'s with --text-column.'),
        (["FILE", "--types", "PER=person"], "--types and --json belong to --eval; add it, or leave them out."),
        (["FILE", "--json", "n.json"], "--types and --json belong to --eval; add it, or leave them out."),
        (["FILE", "--eval", "-o", "out.csv"], "-o, --fresh and --spacy do not belong to --eval; --json writes its numbers to a file."),
        (["FILE", "--eval", "--spacy"], "-o, --fresh and --spacy do not belong to --eval; --json writes its numbers to a file."),
        (["FILE", "--columns", "text=body"], "A row has one text; name its column with --text-column."),
        (["FILE", "--most-words", "0"], "--most-words is 0; a span has at least 1 word."),
        (["FILE", "--threshold", "nan"], "--threshold is nan; it must be a finite number."),
        (["FILE", "--threshold=-inf"], "--threshold is -inf; it must be a finite number."),
        (["FILE", "--spacy", "-o", "OUT.csv"], 'OUT.csv" is csv; end its name in .jsonl.'),
        (["FILE", "-o", "out.xlsx"], 'The output "out.xlsx" ends in ".xlsx"; end it in'),
        (["FILE", "-o", "FILE"], " is the input; give another name."),
        (["FILE", "--model", "nope nope"], 'The model "nope nope" is neither a folder here nor a hub id'),
        (["FILE", "--device", "toaster"], 'The device "toaster" is not there; use auto, cpu, cuda or mps.'),
        (["FILE", "--eval"], "labelled entities are text and entities (start, end, label), or tokens and ner_tags."),
        (["FILE", "--split", "test"], "--split and --config belong to --dataset; leave them out for a file."),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_run_is_one_sentence(options, message, tmp_path, capsys):
    path = write(tmp_path / "file.csv")
    given = [path if o == "FILE" else o.replace("OUT", str(tmp_path / "OUT")) for o in options]
    assert main(["ner", *given]) == 2
    out, told = capsys.readouterr()
    lines = [line for line in told.splitlines() if line.startswith("playground: ")]
    assert message in lines[-1]
    assert ("Traceback" in told, out) == (False, "")
    assert [p.name for p in tmp_path.iterdir()] == ["file.csv"]  # nothing is left behind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--candidates", "some"], "invalid choice: 'some'"),
        (["--prior", "magic"], "invalid choice: 'magic'"),
        (["--decoding", "worst"], "invalid choice: 'worst'"),
        (["--threshold", "high"], "invalid float value"),
        (["--limit", "0"], '"0" is not a number of rows above 0'),
    ],
)
def test_a_wrong_argument_is_exit_2(options, message, capsys):
    assert main(["ner", "a.csv", *options]) == 2
    assert message in capsys.readouterr().err


# ---- measured -----------------------------------------------------------------------------------

TYPES = ("person", "location", "organization")
GOLD = [
    {"text": "Maria Lopez moved to Norway.", "entities": [{"start": 0, "end": 11, "label": "person"}, {"start": 21, "end": 27, "label": "location"}]},
    {"text": "The Red Cross hired Tom.", "entities": [{"start": 4, "end": 13, "label": "corporation"}, {"start": 20, "end": 23, "label": "person"}, {"start": 0, "end": 3, "label": "thing"}]},
    {"text": "Google wrote to Berlin.", "entities": [{"start": 0, "end": 6, "label": "group"}, {"start": 16, "end": 22, "label": "location"}]},
    {"text": "nobody is here", "entities": []},
]  # fmt: skip


@pytest.fixture
def gold(tmp_path) -> str:
    (tmp_path / "gold.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in GOLD))
    return str(tmp_path / "gold.jsonl")


def numbers(score) -> dict:
    return {
        "name": score.name, "precision": score.precision, "recall": score.recall, "f1": score.f1,
        "interval": list(score.interval), "true": score.true, "predicted": score.predicted,
        "gold": score.gold,
    }  # fmt: skip


def test_eval_prints_and_writes_what_the_engine_measures(gold, typer, tmp_path, capsys):
    names = {"corporation": "organization", "group": "organization"}
    command = ["ner", gold, "--eval", "--types", *(f"{k}={v}" for k, v in names.items())]
    assert main([*command, "--threshold", "0.5", "--json", str(tmp_path / "n.json")]) == 0
    out, told = capsys.readouterr()
    labelled = read_labelled_texts(read_file(gold), TYPES, names=names)
    report = evaluate_entities(typer, labelled.rows, threshold=0.5)
    saved = json.loads((tmp_path / "n.json").read_text())
    typing, expected = saved.pop("typing"), report.typing.to_json()
    for key in ("accuracy", "macro_f1", "calibration_error", "majority"):
        assert typing[key] == pytest.approx(expected[key], abs=1e-6)
    assert typing["confusion"] == [list(row) for row in expected["confusion"]]
    assert saved == json.loads(
        json.dumps(
            {
                "texts": 4,
                "entities": 6,
                "left_out": {"thing": 1},
                "types": list(TYPES),
                "candidate_recall": report.candidate_recall,
                "found": numbers(report.found),
                "by_type": [numbers(score) for score in report.by_type],
                "baselines": [numbers(score) for score in report.baselines],
                "ladder": [{"threshold": limit, **numbers(one)} for limit, one in report.ladder],
            }
        )
    )
    assert 'playground: Entities of other types are no gold here: "thing" 1.' in told
    lines = out.splitlines()
    assert lines[0].startswith(f"4 texts, 6 entities; {report.prompts:,} prompts in ")
    assert f"gold spans typed: {report.typing.accuracy:.1%} right (95 %: " in lines[2]
    assert lines[3] == f"gold spans among the candidates: {report.candidate_recall:.1%}"
    shown = {line[:34].strip(): re.findall(r"[\d.]+%", line) for line in lines if "%" in line}
    for score in (report.found, *report.by_type):
        low, high = score.interval
        assert shown[score.name] == [
            f"{one:.1%}" for one in (score.precision, score.recall, score.f1, low, high)
        ]
    assert any(line.startswith(report.baselines[0].name) for line in lines)
    matrix = lines[-3:]
    assert [re.findall(r"\d+", row.partition(" ")[2]) for row in matrix] == [
        [str(count) for count in row[:3]] for row in report.typing.confusion
    ]


def test_eval_of_the_shipped_sample(typer, tmp_path):
    rows = resources.load_examples("names")[:30]
    path = tmp_path / "names.jsonl"
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    command = ["ner", str(path), "--eval", "--json", str(tmp_path / "n.json")]
    assert main([*command, "--limit", "20"]) == 0
    labelled = read_labelled_texts(read_file(str(path)), TYPES, limit=20)
    report = evaluate_entities(typer, labelled.rows)
    saved = json.loads((tmp_path / "n.json").read_text())
    assert (saved["texts"], saved["found"]) == (20, json.loads(json.dumps(numbers(report.found))))
    assert saved["found"]["f1"] > 0.2


def test_tokens_with_bio_tags_are_gold_too(gold, typer, tmp_path):
    rows = [
        {"tokens": ["Maria", "Lopez", "moved", "to", "Norway", "."], "ner_tags": ["B-PER", "I-PER", "O", "O", "B-location", "O"]},
        {"tokens": ["Tom", "left"], "ner_tags": ["B-PER"]},
    ]  # fmt: skip
    (tmp_path / "bio.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    command = ["ner", str(tmp_path / "bio.jsonl"), "--eval", "--types", "PER=person"]
    assert main([*command, "--json", str(tmp_path / "n.json")]) == 0
    saved = json.loads((tmp_path / "n.json").read_text())
    text = "Maria Lopez moved to Norway ."
    entities = {(e.text, e.label) for e in decode(typer.type_text(text))}
    right = {("Maria Lopez", "person"), ("Norway", "location")}
    assert (saved["texts"], saved["entities"]) == (1, 2)
    assert saved["found"]["true"] == len(entities & right)
    assert saved["found"]["predicted"] == len(entities)


def test_rows_that_cannot_be_used_are_told(gold, tmp_path, capsys):
    with open(gold, "a") as file:
        file.write('{"text": "x", "entities": [{"start": 0, "end": 9, "label": "person"}]}\n')
    assert main(["ner", gold, "--eval"]) == 0
    told = sentences(capsys)
    assert told[0] == (
        'playground: 1 row is left out: row 5: the entity from "0" to "9" does not lie in its text of '
        "1 characters."
    )
    assert told[1] == 'playground: Entities of other types are no gold here: "corporation" 1, "thing" 1, "group" 1.'  # fmt: skip


def test_an_unknown_type_is_refused(gold, capsys):
    assert main(["ner", gold, "--eval", "--types", "group=food"]) == 2
    said = 'The prompt has no type "food"; it has person, location, organization.'
    assert said in sentences(capsys)[-1]
    assert main(["ner", gold, "--eval", "--types", "group"]) == 2
    assert (
        '--types has "group"; write THEIRS=OURS, and FILE before --types.' in sentences(capsys)[-1]
    )


def test_numbers_that_cannot_be_written_are_told_behind_the_numbers(gold, tmp_path, capsys):
    assert main(["ner", gold, "--eval", "--json", str(tmp_path)]) == 2
    out, told = capsys.readouterr()
    assert out.startswith("4 texts, ")
    assert "The numbers cannot be written to" in told.splitlines()[-1]
    assert told.splitlines()[-1].endswith("(Is a directory).")


def test_a_folder_that_is_not_there_is_told_before_any_work(gold, tmp_path, capsys):
    assert main(["ner", gold, "--eval", "--json", str(tmp_path / "no" / "n.json")]) == 2
    out, told = capsys.readouterr()
    assert told.endswith("is not there; make it first, or give another.\n")
    assert out == ""


def test_numbers_may_lie_at_home(gold, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["ner", gold, "--eval", "--json", "~/n.json"]) == 0
    assert json.loads((tmp_path / "n.json").read_text())["texts"] == 4


def test_what_ner_finds_is_what_eval_counts(gold, typer, tmp_path):
    """The output's entities, scored by hand against gold, are the measured counts."""
    out, saved = tmp_path / "out.jsonl", tmp_path / "n.json"
    (tmp_path / "texts.jsonl").write_text(
        "".join(f"{json.dumps({'text': row['text']})}\n" for row in GOLD)
    )
    assert main(["ner", str(tmp_path / "texts.jsonl"), "-o", str(out)]) == 0
    assert main(["ner", gold, "--eval", "--json", str(saved)]) == 0
    true = predicted = 0
    for row, line in zip(GOLD, read(out.read_text(), "jsonl"), strict=True):
        own = {(e["start"], e["end"], e["label"]) for e in row["entities"]}
        predicted += len(line["entities"])
        true += sum((e["start"], e["end"], e["label"]) in own for e in line["entities"])
    measured = json.loads(saved.read_text())["found"]
    assert (measured["true"], measured["predicted"]) == (true, predicted)
    assert true > 0
