"""A finished folder in use: rows, tables, and folders that are none."""

from __future__ import annotations

import json
import shutil

import pytest

from playground.errors import PlaygroundError
from playground.tasks.heads import Finetuned
from playground.tasks.heads.head import NOTE
from playground.tasks.heads.predicting import TablePredictor
from playground.tasks.reading import read_file
from playground.tasks.score import run_windows
from tests.tasks.heads.lessons import MAKERS, write


@pytest.fixture(scope="module")
def model_of(trained, settings):
    return lambda kind: Finetuned(trained(kind)[0].folder, settings=settings)


def score(model, file, out, columns=None) -> tuple[list[dict], list[str]]:
    predictor, said = TablePredictor(model), []
    table = read_file(str(file))
    layout = predictor.layout(table, columns or {}, "jsonl", said.append)
    run_windows(predictor, predictor, layout, table, str(out))
    return [json.loads(line) for line in out.read_text().splitlines()], said


@pytest.mark.parametrize("kind", MAKERS)
def test_each_row_is_answered_alone_as_in_company(kind, model_of):
    model, rows = model_of(kind), MAKERS[kind](10, 4)
    together = model.predict(rows.inputs)
    for given, found in zip(rows.inputs, together, strict=True):
        alone = model.head.show(given, model.predict([given])[0])
        for name, value in model.head.show(given, found).items():
            assert alone[name] == (
                pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
            )
    assert model.predict([]) == []


@pytest.mark.parametrize("kind", MAKERS)
def test_a_table_gains_the_prediction_of_each_row(kind, model_of, tmp_path):
    model, rows = model_of(kind), MAKERS[kind](20, 4)
    file = write(rows, tmp_path / "rows.jsonl")
    with file.open("a") as stream:
        stream.write('{"other": 1}\nno json\n')
    found, said = score(model, file, tmp_path / "out.jsonl")
    assert said == ['The input has a column "start"; the new one is "start_2".'] * (
        kind == "answer"
    )
    for row, given, prediction in zip(found, rows.inputs, model.predict(rows.inputs), strict=False):
        shown = model.head.show(given, prediction)
        assert row["error"] == ""
        for name, value in shown.items():
            column = f"{name}_2" if kind == "answer" and name == "start" else name
            assert row[column] == (
                pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
            )
    assert [row["error"][:9] for row in found[20:]] == [found[20]["error"][:9], "Line 22 i"]
    assert found[20]["error"].endswith("it must be text.") or found[20]["error"].endswith(
        "list of words."
    )
    assert found[20]["prediction"] is None


def test_a_column_that_is_taken_is_told(model_of, tmp_path):
    file = write(MAKERS["answer"](2), tmp_path / "rows.jsonl")
    model = model_of("answer")
    said: list[str] = []
    layout = TablePredictor(model).layout(read_file(str(file)), {}, "csv", said.append)
    assert said == ['The input has a column "start"; the new one is "start_2".']
    assert layout.columns[-5:] == ("prediction", "start_2", "margin", "probability", "error")


def test_a_tagger_reads_texts_too(model_of, tmp_path):
    (tmp_path / "rows.csv").write_text("id,body\n1,great film\n2,awful film\n3,\n")
    found, _ = score(
        model_of("tag"), tmp_path / "rows.csv", tmp_path / "out.jsonl", {"text": "body"}
    )
    assert [row["words"] for row in found] == [["great", "film"], ["awful", "film"], None]
    assert [row["prediction"] and row["prediction"][1] for row in found] == ["UP", "DOWN", None]
    assert found[2]["error"] == "The text is empty; it must be text."


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("classify", {"body": "a"}, r'has no column "text or sentence or sentence1 or text_a"'),
        ("regress", {"text": "a"}, r"^The model reads two texts a row; name the second with --columns"),
        ("answer", {"question": "a"}, r"Name the one that holds the context with --columns context="),
        ("tag", {"body": "a"}, r'has no column "text or '),
    ],
)  # fmt: skip
def test_a_table_without_the_columns_is_told(kind, row, message, model_of, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(PlaygroundError, match=message):
        score(model_of(kind), tmp_path / "rows.jsonl", tmp_path / "out.jsonl")


def test_rows_of_another_kind_or_label_are_refused(model_of):
    with pytest.raises(PlaygroundError, match=r"^The model is for classify, the rows for tag\.$"):
        model_of("classify").evaluate(MAKERS["tag"](2))
    rows = MAKERS["classify"](2)
    rows.golds[0] = "FINE"
    with pytest.raises(
        PlaygroundError, match=r'^The data has the label "FINE", which the training rows lack'
    ):
        model_of("classify").evaluate(rows)
    with pytest.raises(
        PlaygroundError, match=r'^The model "\w+" reads two texts a row; give as many\.$'
    ):
        model_of("regress").predict([("one",)])


@pytest.mark.parametrize(
    "damage", ["gone", "nothing", "kind", "type", "labels", "tokens", "config"]
)
def test_a_folder_that_is_none_is_one_sentence(damage, trained, settings, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained("tag")[0].folder, folder)
    (folder / "SHA256SUMS").unlink()
    config = json.loads((folder / "config.json").read_text())
    message = (
        r'^The model "model" was not made by playground finetune, or its config\.json is damaged'
    )
    if damage == "gone":
        folder, message = (
            tmp_path / "none" / "such" / "folder",
            "is neither a folder here nor a hub id",
        )
    elif damage == "nothing":
        del config[NOTE]
    elif damage == "kind":
        config[NOTE]["kind"] = "rank"
    elif damage == "type":
        config[NOTE]["max_tokens"] = "32"
    elif damage == "labels":
        config["id2label"] = {}
    elif damage == "tokens":
        config[NOTE]["max_tokens"] = 4_000
        message = r'^The model "model" notes inputs of 4000 tokens and reads fewer'
    if damage == "config":
        (folder / "config.json").write_text("{")
    elif damage != "gone":
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PlaygroundError, match=message):
        Finetuned(folder, settings=settings)


def test_a_shipped_model_without_a_head_and_a_hub_name_are_refused(settings):
    with pytest.raises(
        PlaygroundError, match=r'^The model "playground-mini" was not made by playground'
    ):
        Finetuned("playground-mini", settings=settings)
    with pytest.raises(PlaygroundError, match=r'^"someone/tagger" is no folder here; '):
        Finetuned("someone/tagger", settings=settings)
