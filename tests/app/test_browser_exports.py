"""What leaves the page is whole: a link restores it, files are valid, and the program runs."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from playground.app.session import Inputs
from playground.app.share import PageState
from playground.app.tabs.classify import default_prompt
from playground.prompts import Prompt, ScoringOptions, Template, Verbalizer, link
from tests.app.driver import START, Visitor
from tests.app.serving import served

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
TEXT = 'A "dull", long =1+1 book; {mask} [MASK] <b>&amp; 👩‍👩‍👧'
WORDS = "good: great, fine*0.5\nbad: awful"
COPIED = "The link is copied and in the address bar."


def follow(visitor: Visitor, button: str, said: str) -> None:
    visitor.page.locator(f"#{button}").click()
    visitor.until_text("#classify-notice .pp-notice", said)


def download(visitor: Visitor, button: str) -> tuple[str, str]:
    """Return the name and the text of the file that a button gives."""
    with visitor.page.expect_download() as file:
        visitor.page.locator(f"#{button}").click()
    return file.value.suggested_filename, Path(file.value.path()).read_text(encoding="utf-8")


def test_a_link_restores_everything_for_somebody_else(visitor, arrive, truth):
    chosen = {
        "text": TEXT,
        "template": "{text} All in all, it was {mask}.",
        "label_words": WORDS,
        "aggregation": "max",
        "calibration": "corpus",
        "domain": "It was {mask}.",
        "prior_texts": "A play.\nA dull book.",
        "fill_order": "parallel",
        "pieces": "mean",
    }
    page = visitor.page
    visitor.box("classify-text").fill(TEXT)
    visitor.box("classify-template").fill(chosen["template"])
    visitor.box("classify-words").fill(WORDS)
    visitor.open_fold("classify-scoring")
    visitor.radio("domain")  # each box stands on the page with the calibration that reads it
    page.get_by_label("Domain prompt").fill(chosen["domain"])
    visitor.radio("corpus")
    page.get_by_label("Unlabelled texts").fill(chosen["prior_texts"])
    page.get_by_label("Domain prompt").wait_for(state="detached")
    for choice in ("max", "parallel"):
        visitor.radio(choice)
    page.get_by_role("radio", name="mean", exact=True).last.click()
    wanted = truth(**chosen)
    visitor.until(wanted)
    follow(visitor, "classify-link", COPIED)
    page.wait_for_url("**/?p=1.*")
    assert visitor.clipboard() == page.url

    friend = arrive(page.url.removeprefix(f"{visitor.url}/"))
    friend.until(wanted)
    assert [friend.value(f"classify-{name}") for name in ("text", "template", "words")] == [
        *(TEXT, chosen["template"], WORDS),
    ]
    friend.open_fold("classify-scoring")
    checked = friend.page.locator("#classify-scoring input[type=radio]:checked")
    checked.nth(3).wait_for()
    assert [radio.get_attribute("value") for radio in checked.all()] == [
        *("corpus", "max", "parallel", "mean"),
    ]
    assert friend.page.get_by_label("Unlabelled texts").input_value() == chosen["prior_texts"]
    friend.radio("domain")
    assert friend.page.get_by_label("Domain prompt").input_value() == chosen["domain"]
    assert friend.page.locator("#classify-card input").input_value() == ""
    assert friend.page.locator("#classify-about .pp-remark").text_content() == "Opened from a link."


def test_a_link_to_a_pair_opens_with_two_boxes(arrive, truth):
    card = Prompt.load("nli")
    visitor = arrive(card.link())
    example = card.examples[0]
    wanted = truth(
        text=example["premise"],
        second_text=example["hypothesis"],
        template=card.template.source,
        label_words=card.verbalizer.to_text(),
        calibration="none",
    )
    visitor.until(wanted)
    assert visitor.page.get_by_label("Premise", exact=True).input_value() == example["premise"]
    second = visitor.page.get_by_label("Hypothesis", exact=True)
    assert second.input_value() == example["hypothesis"]


def test_a_link_to_a_model_that_is_not_offered_opens_with_the_one_that_is(arrive, truth):
    state = PageState(default_prompt(), ("A dull book.",), model="bert-base-uncased")
    with served(hosted=1) as hosted:
        visitor = arrive(f"?p={state.token()}", url=hosted.url)
        visitor.until(truth(text="A dull book."))
        visitor.until_text(
            "#model-status .pp-status",
            'The model "bert-base-uncased" is not offered here; choose one of playground-mini.',
        )
        assert visitor.page.locator("#model input").input_value() == "playground-mini"
        assert visitor.said() == ""
        visitor.leave()


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hello", 'The link "hello" is not a prompt link; copy it again.'),
        ("1.eJxx", "The link is damaged: its end may have been cut when it was copied; copy it again."),
        (link.pack({"card": {}}), 'The prompt card needs "templates", a list with at least one.'),
    ],
    ids=["word", "cut", "card"],
)  # fmt: skip
def test_a_link_that_does_not_open_says_why_and_leaves_the_page(visitor, truth, token, said):
    visitor.open(f"?p={token}")
    visitor.until_text("#classify-notice .pp-notice", said)
    assert visitor.value("classify-text") == START.text
    assert visitor.bars() == truth()


def test_the_table_holds_the_results_numbers(visitor, truth, prompting):
    visitor.box("classify-text").fill(TEXT)
    visitor.until(truth(text=TEXT))
    name, table = download(visitor, "classify-csv")
    assert name == "scores.csv"
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    chosen = Inputs(**(vars(START) | {"text": TEXT}))
    found = prompting.explain(TEXT, chosen.prompt())
    labels = [row for row in rows if row["kind"] == "label"]
    assert [row["label"] for row in labels] == list(found.labels)
    np.testing.assert_allclose(
        [float(row["probability"]) for row in labels], found.probabilities, atol=1e-5
    )
    assert [row["word"] for row in rows if row["kind"] == "word"] == [w.text for w in found.words]
    assert {row["text"] for row in rows} == {TEXT}


def test_the_card_is_the_prompt_and_opens_again(visitor, truth):
    visitor.box("classify-text").fill(TEXT)
    visitor.box("classify-words").fill(WORDS)
    visitor.until(truth(text=TEXT, label_words=WORDS))
    name, content = download(visitor, "classify-json")
    assert name == "prompt.json"
    saved = Prompt.from_json(json.loads(content))
    assert saved == Prompt(
        Template(START.template),
        Verbalizer.from_text(WORDS),
        ScoringOptions(calibration="contextual"),
        examples=(({"text": TEXT}),),
    )
    visitor.open()
    visitor.open_card(content.encode())
    visitor.until(truth(text=TEXT, label_words=WORDS))
    visitor.until_text("#classify-about .pp-remark", "Opened the card prompt.")


def test_a_card_file_sets_the_scoring_too(visitor, truth):
    visitor.open_card(
        {
            "name": "mine",
            "templates": ["A {mask} thing: {text}", "{text} {mask}"],
            "labels": {"up": ["great"], "down": [{"word": "bad", "weight": 2}]},
            "scoring": {"aggregation": "sum", "calibration": "none"},
            "examples": ["A small example."],
        }
    )
    visitor.until(
        truth(
            text="A small example.",
            template="A {mask} thing: {text}",
            label_words="up: great\ndown: bad*2.0",
            aggregation="sum",
            calibration="none",
        )
    )
    visitor.until_text("#classify-about .pp-remark", "Opened the card mine.")
    assert visitor.page.locator("#classify-card input").input_value() == ""
    templates = visitor.page.locator("#classify-about [data-act=template]").all_text_contents()
    assert templates == ["A {mask} thing: {text}", "{text} {mask}"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\r\n", "The file is not a prompt card: it is not JSON."),
        (b" " * (2 << 20), "The card is larger than 1 MiB; it was not opened."),
        (b'{"templates": ["{mask}"]}', 'The prompt card needs "labels", a list of words for each label.'),
    ],
    ids=["picture", "large", "labels"],
)  # fmt: skip
def test_a_file_that_is_no_card_says_why_and_leaves_the_page(visitor, truth, content, said):
    visitor.open_card(content)
    visitor.until_text("#classify-notice .pp-notice", said)
    assert visitor.value("classify-text") == START.text
    assert visitor.bars() == truth()


def test_the_picture_is_drawn_of_the_result(visitor, truth):
    visitor.box("classify-text").fill(TEXT)
    wanted = truth(text=TEXT)
    visitor.until(wanted)
    name, picture = download(visitor, "classify-svg")
    assert name == "scores.svg"
    texts = [
        e.text for e in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert texts[0] == f"{TEXT} It was [MASK]."
    assert texts[1:-1] == [part for pair in wanted.items() for part in pair]


def test_the_copied_program_runs_and_finds_the_same_winner(visitor, truth):
    visitor.box("classify-text").fill(TEXT)
    visitor.box("classify-words").fill(WORDS)
    wanted = truth(text=TEXT, label_words=WORDS)
    visitor.until(wanted)
    follow(visitor, "classify-python", "Copied.")
    visitor.page.locator("#classify-code").wait_for(state="visible")
    program = visitor.clipboard()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    winner = max(wanted, key=lambda label: float(wanted[label].removesuffix(" %")))
    assert done.stdout.splitlines()[0].split() == [
        *("prediction", "good", "bad", "tokens", "dropped", "error"),
    ]
    cells = done.stdout.splitlines()[1].split()
    assert cells[1] == winner
    shares = [f"{float(cell):.1%}".replace("%", " %") for cell in cells[2:4]]
    assert shares == list(wanted.values())


def test_the_program_is_of_this_prompt_and_goes_away_with_an_edit(visitor, truth):
    follow(visitor, "classify-python", "Copied.")
    visitor.page.locator("#classify-code").wait_for(state="visible")
    visitor.box("classify-text").fill("Another text.")
    visitor.until(truth(text="Another text."))
    visitor.page.locator("#classify-code").wait_for(state="hidden")


def test_nothing_leaves_while_something_is_missing(visitor):
    visitor.box("classify-template").fill("no gap")
    said = "The template has no {mask}; put {mask} where a label word should stand."
    visitor.until_text("#classify-notice .pp-notice", said)
    address = visitor.page.url
    visitor.page.locator("#classify-link").click()
    visitor.page.locator("#classify-csv").click()
    visitor.until_text("#classify-notice .pp-notice", said)
    assert visitor.page.url == address


def test_the_chart_is_drawn_on_demand(visitor, truth):
    assert visitor.page.locator("#classify-chart .main-svg").count() == 0
    visitor.open_fold("classify-chart")
    visitor.page.locator("#classify-chart .main-svg").first.wait_for()
    title = visitor.page.locator("#classify-chart .gtitle")
    assert title.text_content() == f"{START.text} It was [MASK]."
    names = visitor.page.locator("#classify-chart .legendtext").all_text_contents()
    assert names == ["positive", "negative"]
