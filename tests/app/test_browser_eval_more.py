"""The folded parts of Eval: hub data sets, the sensitivity grid, and label words found from rows."""

from __future__ import annotations

import csv
import io
import json

import pytest

from playground import Prompt, resources
from tests.app.driver import PATIENCE, START, Visitor
from tests.app.looks import WIDTHS, barriers, spilled
from tests.app.serving import served
from tests.app.test_browser_eval import evaluation, give, run  # noqa: F401

pytestmark = pytest.mark.browser

LONG_RUN = 8 * PATIENCE
FILE = "text,label\n" + "".join(
    f"{row['text'].replace(',', ';')!r},{row['label']}\n"
    for row in resources.load_examples("reviews")[:60]
)


def load(visitor: Visitor, name: str, split: str = "") -> None:
    """Ask for a data set in the open fold."""
    visitor.page.locator("#eval-hub-name :is(input, textarea)").fill(name)
    visitor.page.locator("#eval-hub-split :is(input, textarea)").fill(split)
    visitor.page.locator("#eval-hub-load").click()


@pytest.fixture
def folder(tmp_path):
    lines = [f"It was film {i} & <b>fine</b>.,{('bad', 'good')[i % 2]}" for i in range(30)]
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("\n".join(["sentence,verdict", *lines]) + "\n")
    return tmp_path


# ---- hub data sets ------------------------------------------------------------------------------


def test_a_data_set_opens_and_is_measured(evaluation, folder):  # noqa: F811
    evaluation.open_fold("eval-hub")
    load(evaluation, str(folder), "test")
    preview = evaluation.page.locator("#eval-preview")
    preview.get_by_text("It was film 0 & <b>fine</b>.").wait_for(timeout=PATIENCE)
    assert evaluation.page.locator("#eval-text input").input_value() == "sentence"
    evaluation.choose("eval-label", "verdict")
    evaluation.box("eval-names").fill("good = positive\nbad = negative")
    run(evaluation)
    assert "Done: 30 of 30 rows" in evaluation.page.locator("#eval-result").text_content()


def test_one_that_is_not_there_leaves_the_page_as_it_is(evaluation):  # noqa: F811
    evaluation.open_fold("eval-hub")
    before = evaluation.page.locator("#eval-preview").text_content()
    load(evaluation, "<img src=x onerror=alert(1)>/x")
    line = "#eval-hub-notice .pp-error"
    evaluation.page.locator(line).wait_for(timeout=PATIENCE)
    assert '"<img src=x onerror=alert(1)>/x"' in evaluation.said(line)
    assert evaluation.page.locator("#eval-preview").text_content() == before
    assert evaluation.page.locator("#eval-hub-load").is_enabled()
    load(evaluation, "stanfordnlp/no-such-set")
    evaluation.until_text(
        line,
        'The data set "stanfordnlp/no-such-set" could not be fetched: there is no network, or no '
        "such data set.",
    )


def test_the_cap_is_shown_before_the_run(arrive, folder):
    with served(max_table_rows=1) as small:
        visitor = arrive(url=small.url)
        visitor.tab("Eval")
        visitor.page.locator("#eval-run").wait_for()
        assert "of up to 20 rows" in visitor.page.locator("#eval-file").text_content()
        visitor.open_fold("eval-hub")
        load(visitor, str(folder), "train")
        told = "The first 20 rows are measured; PLAYGROUND_MAX_TABLE_ROWS sets the most."
        visitor.page.locator("#eval-preview").get_by_text(told).wait_for(timeout=PATIENCE)
        visitor.leave()


@pytest.mark.parametrize(("listed", "parts"), [("", 0), ("a/b", 1)])
def test_strangers_see_the_part_only_where_sets_are_listed(arrive, listed, parts):
    with served(hosted=1, datasets=listed) as hosted:
        visitor = arrive(url=hosted.url)
        visitor.tab("Eval")
        visitor.page.locator("#eval-run").wait_for()
        assert visitor.page.locator("#eval-hub").count() == parts
        visitor.leave()


# ---- the grid -----------------------------------------------------------------------------------


def grid(visitor: Visitor) -> None:
    visitor.open_fold("eval-sensitive")
    visitor.page.locator("#sensitive-run").click()
    visitor.page.locator("#sensitive-csv").wait_for(timeout=LONG_RUN)


def test_the_grid_is_drawn_and_a_cell_opens_in_classify(evaluation, truth):  # noqa: F811
    give(evaluation, FILE)
    evaluation.page.locator("#eval-preview").get_by_text("60 rows").wait_for(timeout=PATIENCE)
    evaluation.choose("eval-label", "label")
    grid(evaluation)
    result = evaluation.page.locator("#sensitive-result")
    assert "Done: 60 of 60 rows" in result.text_content()
    with evaluation.page.expect_download() as saved:
        evaluation.page.locator("#sensitive-csv").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text("utf-8"))))
    place = next(i for i, row in enumerate(rows) if row["words"].startswith("word 2"))
    cell = result.locator(f"[data-act=variant][data-arg='{place}']")
    cell.focus()
    evaluation.page.keyboard.press("Enter")
    evaluation.page.locator("#classify-text textarea").wait_for(timeout=PATIENCE)
    evaluation.until_value("classify-template", rows[place]["template"])
    card = Prompt.load("sentiment").verbalizer
    words = "\n".join(f"{label}: {own[1].text}" for label, own in card.labels.items())
    evaluation.until_value("classify-words", words)
    evaluation.until(
        truth(template=rows[place]["template"], label_words=words, calibration=rows[place]["calibration"])
    )  # fmt: skip
    assert evaluation.value("classify-text") == START.text


def test_the_grid_is_stopped_and_keeps_what_it_has(evaluation):  # noqa: F811
    give(evaluation, "text,label\n" + "It was a long and very slow film.,negative\n" * 4000)
    evaluation.page.get_by_text("4,000 rows").wait_for(timeout=PATIENCE)
    evaluation.open_fold("eval-sensitive")
    evaluation.page.locator("#sensitive-run").click()
    evaluation.page.locator("#sensitive-result progress").wait_for(timeout=LONG_RUN)
    evaluation.page.locator("#sensitive-stop").click()
    evaluation.page.locator("#sensitive-csv").wait_for(timeout=LONG_RUN)
    evaluation.page.locator("#sensitive-result").get_by_text("Stopped after ").wait_for(timeout=PATIENCE)  # fmt: skip


# ---- label words --------------------------------------------------------------------------------


def find_words(visitor: Visitor) -> None:
    visitor.open_fold("eval-words")
    visitor.page.locator("#words-run").click()
    visitor.page.locator("#words-result .pp-table").wait_for(timeout=LONG_RUN)


def test_words_are_found_and_each_is_added_to_its_label(evaluation, truth):  # noqa: F811
    find_words(evaluation)
    told = evaluation.page.locator("#words-result").text_content()
    assert "on 168 rows that the search has not seen" in told
    chip = evaluation.page.locator("#words-result [data-act=word]").first
    label, word = json.loads(chip.get_attribute("data-arg"))
    chip.click()
    evaluation.until_text("#words-notice .pp-note", f"Added {word} to {label} in Classify.")
    evaluation.tab("Classify")
    line = next(r for r in evaluation.value("classify-words").splitlines() if r.startswith(label))
    assert line.endswith(f", {word}")
    evaluation.until(truth(label_words=evaluation.value("classify-words")))
    evaluation.tab("Eval")
    evaluation.page.locator("#words-result [data-act=all]").click()
    evaluation.until_text("#words-notice .pp-note", "They are the label words of Classify now.")
    evaluation.tab("Classify")
    words = evaluation.value("classify-words")
    assert [len(line.split(",")) for line in words.splitlines()] == [5, 5]
    evaluation.until(truth(label_words=words))


def test_too_few_rows_say_so(evaluation):  # noqa: F811
    give(evaluation, "text,label\nI love it.,positive\nI hate it.,negative\n")
    evaluation.page.locator("#eval-preview").get_by_text("2 rows").wait_for(timeout=PATIENCE)
    evaluation.open_fold("eval-words")
    evaluation.page.locator("#words-run").click()
    line = "#words-notice .pp-error"
    evaluation.page.locator(line).wait_for(timeout=PATIENCE)
    assert "give more rows or draw fewer of a label" in evaluation.said(line)
    assert evaluation.page.locator("#words-run").is_enabled()


# ---- looks --------------------------------------------------------------------------------------


def test_the_folded_parts_have_no_barrier_and_nothing_spills(visitor):
    visitor.tab("Eval")
    visitor.page.locator("#eval-run").wait_for()
    visitor.open_fold("eval-hub")
    grid(visitor)
    find_words(visitor)
    assert barriers(visitor) == []
    assert spilled(visitor, *WIDTHS) == []
