"""Hub data sets of the page: which ones open, how much of them, and what is said of the others."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from playground.app import hub_sets
from playground.app.hub_sets import check_allowed, open_dataset
from playground.app.opened_files import MOST_BYTES
from playground.app.tabs.evaluate import from_hub, guessed
from playground.errors import PlaygroundError
from playground.settings import Settings
from playground.tasks.reading import Record, Table

LOCAL = Settings()
HOSTED = replace(LOCAL, hosted=True, datasets="a/b, c")
CLASS = replace(LOCAL, host="0.0.0.0")


@pytest.fixture
def folder(tmp_path):
    """A data set in a folder: two splits as CSV."""
    for split, rows in (("train", 30), ("test", 4)):
        lines = [f"It was film {i}.,{i % 2},{i}" for i in range(rows)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["sentence,label,number", *lines]) + "\n")
    return tmp_path


def refusal(settings: Settings, name: str, **more: object) -> str:
    with pytest.raises(PlaygroundError) as error:
        open_dataset(settings, name, "", "", **more)
    return str(error.value)


# ---- which ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/b", " c "])
def test_a_hosted_app_opens_what_it_lists(name):
    assert check_allowed(HOSTED, name) == name.strip()


@pytest.mark.parametrize("name", ["a", "b", "A/B", "/etc", "..", "http://evil.example/x", "a/b/c"])
def test_a_hosted_app_opens_nothing_else(name):
    said = refusal(HOSTED, name)
    assert said == f'The data set "{name}" is not offered here; choose one of a/b, c.'


@pytest.mark.parametrize(
    "name", ["/etc", "..", "~/x", "a/../b", "http://evil.example/x", "hf://datasets/x", "a/b/c", "a b"]
)  # fmt: skip
def test_a_class_opens_no_folder_of_the_teacher(name):
    said = refusal(CLASS, name)
    assert said.startswith(f'"{name}" is no hub data set, and folders open only where the app is')


def test_a_class_opens_no_folder_beside_the_app(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert refusal(CLASS, folder.name).startswith(f'"{folder.name}" is no hub data set')
    assert check_allowed(CLASS, "stanfordnlp/sst2") == "stanfordnlp/sst2"


@pytest.mark.parametrize("name", ["", "  ", None])
def test_no_name_is_no_data_set(name):
    assert refusal(LOCAL, name) == (
        "There is no name of a data set; write one, such as stanfordnlp/sst2."
    )


# ---- how much -----------------------------------------------------------------------------------


def test_a_split_of_a_folder_opens_whole(folder):
    found = open_dataset(LOCAL, str(folder), "", "test")
    assert (found.rows, found.cut) == (4, False)
    assert found.table.columns == ("sentence", "label", "number")
    assert [record.values["number"] for record in found.table.records()] == [0, 1, 2, 3]
    assert [record.values["number"] for record in found.table.records()] == [0, 1, 2, 3]  # again
    opened = from_hub(found, LOCAL.max_table_rows)
    assert (opened.rows, opened.remark) == (4, "")
    assert guessed(opened.columns) == ("sentence", None, "label")


def test_a_long_one_is_cut_at_the_cap_and_says_so(folder):
    found = open_dataset(replace(LOCAL, max_table_rows=1), str(folder), "", "train")
    assert (found.rows, found.cut) == (20, True)  # twenty times the setting on one's own machine
    assert from_hub(found, 20).remark == (
        "The first 20 rows are measured; PLAYGROUND_MAX_TABLE_ROWS sets the most."
    )
    assert from_hub(replace(found, total=30), 20).remark.startswith("The first 20 of 30 rows are")
    whole = open_dataset(replace(LOCAL, max_table_rows=30), str(folder), "", "train")
    assert (whole.rows, whole.cut) == (30, False)


def test_large_rows_are_cut_by_their_size_and_only_plain_values_stay(monkeypatch):
    text = "x" * (MOST_BYTES // 4)
    rows = [Record({"text": text, "picture": b"", "tags": ["a"], "label": i}) for i in range(9)]
    monkeypatch.setattr(
        hub_sets, "read_dataset", lambda *_, **__: Table("The test", lambda: iter(rows))
    )
    found = open_dataset(replace(LOCAL, host="0.0.0.0"), "a/b", "", "")
    assert (found.rows, found.cut) == (3, True)
    assert found.table.columns == ("text", "label")
    assert from_hub(found, 5_000).remark == "The first 3 rows are measured."


# ---- what is said -------------------------------------------------------------------------------


def test_a_data_set_that_is_not_there_is_one_sentence():
    assert refusal(LOCAL, "stanfordnlp/no-such-set") == (
        'The data set "stanfordnlp/no-such-set" could not be fetched: there is no network, or no '
        "such data set."
    )


def test_a_split_is_asked_for_without_the_command_lines_words(folder):
    said = refusal(LOCAL, str(folder))
    assert said.endswith("has several parts; choose one: train, test.")


def test_a_hub_that_does_not_answer_is_given_up(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(hub_sets, "read_dataset", lambda *_, **__: answered.wait(30))
    said = refusal(LOCAL, "a/b", patience=0.05)
    answered.set()
    assert said == 'The data set "a/b" did not answer within 0 seconds; try again, or open a file.'
