"""The NLI tab as a visitor uses it: types, swaps, draws, shares, and gives it a whole table."""

from __future__ import annotations

import csv
import io

import pytest

from playground import NliClassifier, Prompting
from playground.app.bars import percent
from playground.app.tabs.nli import START
from playground.tasks.nli.cloze import ask_cloze
from tests.app.driver import PATIENCE, Visitor
from tests.app.looks import barriers, spilled
from tests.app.payloads import PAYLOADS

pytestmark = pytest.mark.browser

RESULT, CLOZE = "#nli-result", "#nli-cloze"
HEAD = "premise,hypothesis,label\n"


@pytest.fixture(scope="module")
def classifier() -> NliClassifier:
    return NliClassifier()


@pytest.fixture
def nli(visitor) -> Visitor:
    visitor.tab("NLI")
    visitor.page.locator(f"{RESULT} [data-seq]").wait_for()
    return visitor


def says(classifier: NliClassifier, premise: str, hypothesis: str) -> dict[str, str]:
    """Return the numbers that the bars should show."""
    scores = classifier.classify([(premise, hypothesis)])
    return dict(zip(scores.labels, map(percent, scores.probabilities[0]), strict=True))


def give(visitor: Visitor, content: str | bytes, name: str = "pairs.csv") -> None:
    data = content if isinstance(content, bytes) else content.encode()
    file = {"name": name, "mimeType": "text/csv", "buffer": data}
    visitor.page.locator("#nli-file input[type=file]").set_input_files(files=[file])


def test_the_tab_opens_filled_and_judged(nli, classifier):
    assert (nli.value("nli-premise"), nli.value("nli-hypothesis")) == START
    nli.until(says(classifier, *START), RESULT)


def test_each_edit_moves_both_charts(nli, classifier, prompting: Prompting):
    nli.box("nli-hypothesis").fill("")
    nli.box("nli-hypothesis").press_sequentially("Nobody is on a horse")
    nli.until(says(classifier, START[0], "Nobody is on a horse"), RESULT)
    nli.box("nli-hypothesis").press("Backspace")
    nli.until(says(classifier, START[0], "Nobody is on a hors"), RESULT)
    found = ask_cloze(prompting, START[0], "Nobody is on a hors")
    shares = dict(zip(found.labels, map(percent, found.probabilities), strict=True))
    nli.until(shares, CLOZE)


def test_swap_turns_the_question_round(nli, classifier):
    nli.page.locator("#nli-swap").click()
    nli.until_value("nli-premise", START[1])
    nli.until_value("nli-hypothesis", START[0])
    nli.until(says(classifier, START[1], START[0]), RESULT)


def test_an_example_is_taken_with_one_click(nli, classifier):
    nli.page.locator("#nli-examples [data-act=pair]").nth(4).click()
    nli.until_value("nli-hypothesis", "The cat is brown.")
    nli.until(says(classifier, nli.value("nli-premise"), "The cat is brown."), RESULT)
    nli.click("draw", "numbers", "#nli-examples")
    nli.page.wait_for_function(
        "() => document.querySelector('#nli-hypothesis textarea').value !== 'The cat is brown.'",
        timeout=PATIENCE,
    )
    pair = nli.value("nli-premise"), nli.value("nli-hypothesis")
    nli.until(says(classifier, *pair), RESULT)


def test_an_empty_side_keeps_the_last_bars_and_says_what_is_missing(nli, classifier):
    before = nli.bars(RESULT)
    nli.box("nli-premise").fill("")
    nli.until_text("#nli-notice .pp-notice", "The premise is empty; write a sentence.")
    assert nli.bars(RESULT) == before
    nli.box("nli-premise").fill("A dog runs.")
    nli.until(says(classifier, "A dog runs.", START[1]), RESULT)
    nli.until_text("#nli-notice .pp-notice", "")


def test_a_link_opens_the_pair_for_another_visitor(nli, arrive, classifier):
    nli.box("nli-premise").fill("Two dogs <b>run</b> & bark.")
    nli.page.locator("#nli-link").click()
    nli.until_text("#nli-notice .pp-notice", "The link is copied and in the address bar.")
    query = nli.page.url.partition("/?")[2]
    other = arrive(f"?{query}")
    other.until_value("nli-premise", "Two dogs <b>run</b> & bark.")
    other.page.locator(f"{RESULT} [data-seq]").wait_for()
    other.until(says(classifier, "Two dogs <b>run</b> & bark.", START[1]), RESULT)


def test_the_program_and_the_files_leave_the_page(nli):
    nli.page.locator("#nli-python").click()
    nli.page.locator("#nli-code .cm-line").first.wait_for()
    assert nli.clipboard().startswith("from playground import NliClassifier\n")
    for button, name in (("nli-csv", "pair.csv"), ("nli-svg", "pair.svg")):
        with nli.page.expect_download() as saved:
            nli.page.locator(f"#{button}").click()
        assert saved.value.suggested_filename == name


def test_our_sample_pairs_are_judged_and_saved(nli, classifier):
    nli.open_fold("nli-table")
    nli.page.locator("#nli-file [data-act=sample]").click()
    nli.page.locator("#nli-save").wait_for(timeout=PATIENCE)
    assert "Done: 60 of 60 pairs" in nli.page.locator("#nli-progress").text_content()
    with nli.page.expect_download() as saved:
        nli.page.locator("#nli-save").click()
    assert saved.value.suggested_filename == "answers.csv"
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text("utf-8"))))
    pairs = [(row["premise"], row["hypothesis"]) for row in rows]
    assert [row["prediction"] for row in rows] == classifier.classify(pairs).predictions
    assert len(rows) == 60


def test_a_table_is_stopped_and_what_it_has_is_kept(nli):
    nli.open_fold("nli-table")
    give(nli, HEAD + "A dog runs in the snow near a house.,An animal moves.,entailment\n" * 20_000)
    nli.page.locator("#nli-progress progress").wait_for(timeout=PATIENCE)
    nli.page.locator("#nli-stop").click()
    nli.page.locator("#nli-save").wait_for(timeout=PATIENCE)
    nli.page.locator("#nli-progress").get_by_text("Stopped after ").wait_for(timeout=PATIENCE)
    nli.page.wait_for_timeout(1000)  # nothing that was on its way paints over it
    told = nli.page.locator("#nli-progress").text_content().strip()
    assert told.startswith("Stopped after ")
    with nli.page.expect_download() as saved:
        nli.page.locator("#nli-save").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text("utf-8"))))
    assert 0 < len(rows) < 20_000
    assert told.startswith(f"Stopped after {len(rows):,} of 20,000 pairs")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n", "The file has no column premise; its columns are a, b."),
        (b"PK\x03\x04\x00\x00", "The file is not text; save the table as CSV in UTF-8."),
        (b"premise,hypothesis\ncaf\xe9,x\n", "The file is not UTF-8 text;"),
        (HEAD + "a,b,neutral\n" * 100_001, "The file has more than 100,000 rows;"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(nli, content, sentence):
    nli.open_fold("nli-table")
    give(nli, content)
    line = "#nli-table-notice .pp-error"
    nli.page.locator(line).wait_for(timeout=PATIENCE)
    assert nli.said(line).startswith(sentence)


def test_what_is_typed_and_what_a_file_holds_is_only_text(nli, classifier):
    """The visitor of this page meets no dialog, no request and no error of the console."""
    nli.open_fold("nli-table")
    for payload in PAYLOADS[::6]:
        nli.box("nli-premise").fill(payload)
        nli.box("nli-hypothesis").fill(payload)
        nli.until(says(classifier, payload, payload), RESULT)
    table = io.StringIO()
    csv.writer(table).writerows([("premise", "hypothesis"), *((p, p) for p in PAYLOADS)])
    give(nli, table.getvalue())
    nli.page.locator("#nli-save").wait_for(timeout=PATIENCE)
    assert nli.page.locator("#nli-progress td").first.text_content() == PAYLOADS[0]
    assert nli.page.locator("#nli-tab script, #nli-progress img").count() == 0


def test_two_visitors_never_see_each_others_pair(nli, arrive, classifier):
    other = arrive()
    other.tab("NLI")
    other.box("nli-premise").fill("Snow is falling.")
    nli.box("nli-premise").fill("It is hot.")
    other.until(says(classifier, "Snow is falling.", START[1]), RESULT)
    nli.until(says(classifier, "It is hot.", START[1]), RESULT)
    assert other.value("nli-premise") == "Snow is falling."


def test_the_tab_has_no_barrier_with_everything_open(visitor):
    visitor.tab("NLI")
    visitor.page.locator(f"{RESULT} [data-seq]").wait_for()
    visitor.open_fold("nli-table")
    visitor.page.locator("#nli-file [data-act=sample]").click()
    visitor.page.locator("#nli-save").wait_for(timeout=PATIENCE)
    visitor.open_fold("nli-card")
    # the first figure of a process costs the import of Plotly
    visitor.page.locator("#nli-card .main-svg").first.wait_for(timeout=4 * PATIENCE)
    visitor.page.locator("#nli-card-text h1").first.wait_for(timeout=PATIENCE)
    assert barriers(visitor) == []


def test_a_phone_shows_the_bars_first_and_nothing_spills(arrive):
    phone = arrive(width=390, height=844)
    phone.tab("NLI")
    phone.page.locator(f"{RESULT} [data-seq]").wait_for()
    tops = [phone.page.locator(s).bounding_box()["y"] for s in (RESULT, "#nli-premise", CLOZE)]
    assert tops == sorted(tops)
    assert spilled(phone, 390) == []
