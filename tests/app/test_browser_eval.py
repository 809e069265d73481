"""The Eval tab as a visitor uses it: runs, looks closely, opens a row, stops, and takes it all away."""

from __future__ import annotations

import csv
import io

import pytest

from tests.app.driver import PATIENCE, Visitor
from tests.app.looks import barriers, spilled

pytestmark = pytest.mark.browser

FILE = "body,verdict\nI love it.,1\nA wonderful day.,1\nI hate it.,0\nAn awful film.,0\n"
# more than any machine measures before Stop is pressed
MANY = "text,label\n" + "".join(
    f"Part {n} was a long and very slow film.,negative\n" for n in range(20_000)
)


@pytest.fixture
def evaluation(visitor) -> Visitor:
    visitor.tab("Eval")
    visitor.page.locator("#eval-run").wait_for()
    return visitor


def give(visitor: Visitor, content: str) -> None:
    file = {"name": "rows.csv", "mimeType": "text/csv", "buffer": content.encode()}
    visitor.page.locator("#eval-file input[type=file]").set_input_files(files=[file])


def run(visitor: Visitor) -> None:
    visitor.page.locator("#eval-run").click()
    visitor.page.locator("#eval-csv").wait_for(timeout=4 * PATIENCE)


def test_our_reviews_are_measured_and_a_row_opens_in_classify(evaluation):
    run(evaluation)
    told = evaluation.page.locator("#eval-result").text_content()
    assert "Done: 200 of 200 rows" in told
    assert "The majority label gets 50.0 %" in told
    cell = evaluation.page.locator("#eval-result [data-act=cell]").nth(2)
    count = cell.text_content()
    cell.click()
    title = f"Rows that are negative and are taken for positive: {count}"
    evaluation.page.get_by_role("heading", name=title).wait_for(timeout=PATIENCE)
    row = evaluation.page.locator("#eval-result [data-act=row]").first
    start = row.text_content()[:80]
    row.click()
    evaluation.page.locator("#classify-text textarea").wait_for(timeout=PATIENCE)
    evaluation.page.wait_for_function(
        "(start) => document.querySelector('#classify-text textarea').value.startsWith(start)",
        arg=start.rstrip("…"),
        timeout=PATIENCE,
    )


def test_the_report_is_one_page_that_opens_offline(evaluation, browser, tmp_path):
    run(evaluation)
    with evaluation.page.expect_download() as saved:
        evaluation.page.locator("#eval-report").click()
    assert saved.value.suggested_filename == "evaluation.html"
    path = tmp_path / "evaluation.html"
    saved.value.save_as(path)
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.locator("h1").text_content() == "Our 200 reviews"
    assert "Done: 200 of 200 rows" in page.locator("main").text_content()
    assert page.locator("tr").count() > 10
    assert asked == [path.as_uri()]
    page.close()


def test_a_file_with_other_names_is_mapped_and_measured(evaluation):
    give(evaluation, FILE)
    evaluation.page.locator("#eval-preview").get_by_text("I love it.").wait_for(timeout=PATIENCE)
    assert evaluation.page.locator("#eval-text input").input_value() == "body"
    assert evaluation.page.locator("#eval-label input").input_value() == "verdict"
    evaluation.page.locator("#eval-run").click()
    line = "#eval-notice .pp-error"
    evaluation.page.locator(line).wait_for(timeout=PATIENCE)
    assert 'The label "1" is none of the prompt\'s' in evaluation.said(line)
    evaluation.box("eval-names").fill("1 = positive\n0 = negative")
    run(evaluation)
    with evaluation.page.expect_download() as saved:
        evaluation.page.locator("#eval-csv").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text("utf-8"))))
    assert [row["gold"] for row in rows] == ["positive", "positive", "negative", "negative"]
    assert rows[0]["text"] == "I love it."


def test_a_run_is_stopped_and_keeps_what_it_has(evaluation):
    give(evaluation, MANY)
    evaluation.page.get_by_text("20,000 rows").wait_for(timeout=PATIENCE)
    evaluation.page.locator("#eval-run").click()
    evaluation.page.locator("#eval-result progress").wait_for(timeout=PATIENCE)
    evaluation.page.locator("#eval-stop").click()
    evaluation.page.locator("#eval-csv").wait_for(timeout=PATIENCE)
    evaluation.page.locator("#eval-result").get_by_text("Stopped after ").wait_for(timeout=PATIENCE)
    evaluation.page.wait_for_timeout(1000)  # nothing that was on its way paints over it
    assert "Stopped after " in evaluation.page.locator("#eval-result").text_content()


def test_the_tab_has_no_barrier(visitor):
    visitor.tab("Eval")
    visitor.radio("all templates of the card")
    run(visitor)
    visitor.page.locator("#eval-result [data-act=cell]").first.click()
    visitor.page.get_by_role("heading", name="Rows that are positive").wait_for(timeout=PATIENCE)
    assert barriers(visitor) == []


def test_nothing_spills_on_a_phone(arrive):
    phone = arrive(width=390, height=844)
    phone.tab("Eval")
    run(phone)
    button, result = (
        phone.page.locator(s).bounding_box()["y"] for s in ("#eval-run", "#eval-result")
    )
    assert button < result
    assert spilled(phone, 390) == []
