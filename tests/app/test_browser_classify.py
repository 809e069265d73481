"""The Classify tab in a browser: every edit moves the bars to what the engine says."""

from __future__ import annotations

import re

import pytest

from playground.app import samples
from playground.prompts import Prompt
from tests.app.driver import START, Visitor

pytestmark = pytest.mark.browser

NO_MASK = "The template has no {mask}; put {mask} where a label word should stand."
WORDS = "good: great, fine*0.5\nbad: awful\nunsure: mixed"


def opacity(visitor: Visitor, selector: str) -> str:
    return visitor.page.locator(selector).first.evaluate("e => getComputedStyle(e).opacity")


def test_the_page_opens_filled_and_scored(visitor, truth, prompting):
    visitor.until(truth())
    assert visitor.value("classify-text") == "What a warm, clever and beautiful little play!"
    assert visitor.value("classify-template") == "{text} It was {mask}."
    assert visitor.value("classify-words") == START.label_words
    assert visitor.said() == ""
    assert visitor.page.title() == "Prompt Playground"
    assert not visitor.box("classify-text-b").is_visible()
    status = visitor.page.locator("#model-status .pp-status")
    assert status.text_content() == prompting.backbone.describe()


def test_typing_moves_the_bars(visitor, truth):
    box = visitor.box("classify-text")
    box.press("End")
    box.press_sequentially(" The end was dull.")
    visitor.until(truth(text=f"{START.text} The end was dull."))


def test_backspace_and_delete_move_the_bars(visitor, truth):
    box = visitor.box("classify-text")
    box.press("Control+End")
    for _ in range(7):
        box.press("Backspace")
    visitor.until(truth(text=START.text[:-7]))
    box.press("Control+Home")
    for _ in range(9):
        box.press("Delete")
    visitor.until(truth(text=START.text[9:-7]))


def test_cut_paste_and_undo_move_the_bars(visitor, truth):
    box = visitor.box("classify-text")
    box.press("Control+a")
    box.press("Control+x")
    visitor.until(truth(text=""))
    assert visitor.clipboard() == START.text
    box.press("Control+v")
    box.press("Control+v")
    visitor.until(truth(text=START.text * 2))
    box.press("Control+z")
    visitor.until(truth(text=START.text))


def test_clearing_the_text_leaves_the_prior(visitor, truth):
    visitor.box("classify-text").fill("")
    visitor.until(truth(text=""))
    assert visitor.said() == ""


def test_a_burst_of_keys_ends_on_the_right_result(visitor, truth):
    text = "It was the worst film that I have ever seen and I would not go again. " * 3
    visitor.box("classify-text").fill("")
    visitor.box("classify-text").press_sequentially(text)
    visitor.until(truth(text=text))
    visitor.page.wait_for_timeout(700)  # nothing that was on its way may come after it
    assert visitor.bars() == truth(text=text)


def test_an_example_is_taken(visitor, truth):
    visitor.click("example", "The soup was cold and the waiter was rude.")
    visitor.until(truth(text="The soup was cold and the waiter was rude."))
    assert visitor.value("classify-text") == "The soup was cold and the waiter was rude."


def test_a_sample_is_drawn_and_remarked_on(visitor, truth):
    old = visitor.seq()
    visitor.click("sample", "irony")
    visitor.until_new(old)
    text = visitor.value("classify-text")
    visitor.until(truth(text=text))
    remark = visitor.page.locator("#classify-about .pp-remark").text_content()
    assert re.fullmatch(
        r"Drawn: “.{1,48}”, a review \(irony\) that we labelled (positive|negative)\.", remark
    )
    assert remark.startswith(f"Drawn: “{text[:40]}")


def test_a_template_is_taken(visitor, truth):
    visitor.click("template", "It was {mask}. {text}")
    visitor.until(truth(template="It was {mask}. {text}"))


def test_label_words_are_edited(visitor, truth):
    visitor.box("classify-words").fill(WORDS)
    visitor.until(truth(label_words=WORDS))
    assert list(visitor.bars()) == ["good", "bad", "unsure"]
    chips = visitor.page.locator("#classify-details .pp-word").all_text_contents()
    assert chips == ["great", "fine×0.5", "awful", "mixed"]


@pytest.mark.parametrize(
    ("choice", "change"),
    [
        ("none", {"calibration": "none"}),
        ("domain", {"calibration": "domain"}),
        ("sum", {"aggregation": "sum"}),
        ("geometric", {"aggregation": "geometric"}),
        ("max", {"aggregation": "max"}),
        ("logit_sum", {"aggregation": "logit_sum"}),
    ],
)
def test_a_choice_moves_the_bars(visitor, truth, choice, change):
    visitor.open_fold("classify-scoring")
    boxes = visitor.page.get_by_role("radio", name=choice, exact=True)
    boxes.first.click()  # "sum" is an aggregation first, and a way to score pieces
    visitor.until(truth(**change))


def test_a_corpus_is_asked_for_and_then_used(visitor, truth):
    visitor.open_fold("classify-scoring")
    visitor.radio("corpus")
    visitor.until_text(
        "#classify-notice .pp-notice",
        "Corpus calibration has no unlabelled texts; give some, one a line.",
    )
    texts = "A play.\nA dull book.\nThe best of all songs."
    visitor.page.get_by_label("Unlabelled texts").fill(texts)
    visitor.until(truth(calibration="corpus", prior_texts=texts))
    visitor.until_text("#classify-notice .pp-notice", "")


def test_an_error_dims_the_bars_and_they_come_back(visitor, truth):
    before = visitor.bars()
    assert opacity(visitor, "#classify-result .pp-track") == "1"
    visitor.box("classify-template").fill("{text} It was.")
    visitor.until_text("#classify-notice .pp-notice", NO_MASK)
    assert visitor.page.get_by_role("alert").text_content() == NO_MASK
    visitor.page.wait_for_function(
        "getComputedStyle(document.querySelector('#classify-result .pp-track')).opacity === '0.35'"
    )
    assert visitor.bars() == before
    visitor.box("classify-template").fill("{text} Because it was {mask}.")
    visitor.until(truth(template="{text} Because it was {mask}."))
    visitor.until_text("#classify-notice .pp-notice", "")
    visitor.page.wait_for_function(
        "getComputedStyle(document.querySelector('#classify-result .pp-track')).opacity === '1'"
    )


def test_a_split_word_is_replaced_by_a_whole_one(visitor, truth):
    words = "positive: unputdownable*0.5, great\nnegative: awful"
    visitor.box("classify-words").fill(words)
    visitor.until(truth(label_words=words))
    chip = visitor.page.locator("#classify-details .pp-split")
    assert "⚠ 4 pieces: unp + ##ut + ##down + ##able" in chip.text_content()
    offer = chip.locator("[data-act=swap]").first
    word = offer.text_content()
    offer.click()
    swapped = f"positive: {word}*0.5, great\nnegative: awful"
    visitor.until_value("classify-words", swapped)
    visitor.until(truth(label_words=swapped))
    assert visitor.page.locator("#classify-details .pp-split").count() == 0


def test_a_card_with_a_pair_shows_two_boxes(visitor, truth):
    card = Prompt.load("nli")
    example = card.examples[0]
    visitor.choose("classify-card", "nli")
    wanted = truth(
        text=example["premise"],
        second_text=example["hypothesis"],
        template=card.template.source,
        label_words=card.verbalizer.to_text(),
    )
    visitor.until(wanted)
    assert visitor.page.get_by_label("Premise", exact=True).input_value() == example["premise"]
    assert (
        visitor.page.get_by_label("Hypothesis", exact=True).input_value() == example["hypothesis"]
    )
    visitor.box("classify-text-b").fill("A girl is asleep.")
    visitor.until(
        truth(
            text=example["premise"],
            second_text="A girl is asleep.",
            template=card.template.source,
            label_words=card.verbalizer.to_text(),
        )
    )
    visitor.choose("classify-card", "sentiment")
    visitor.until(truth())
    visitor.box("classify-text-b").wait_for(state="hidden")
    assert visitor.page.get_by_label("Text", exact=True).input_value() == START.text


@pytest.mark.parametrize("name", ["topic", "entity", "yes_no_multi"])
def test_a_card_opens_with_its_first_example_and_its_samples(visitor, truth, name):
    card = Prompt.load(name)
    visitor.choose("classify-card", name)
    values = list(card.template.bind(card.examples[0]).values())
    text, second = [*values, ""][:2]
    wanted = truth(
        text=text,
        second_text=second,
        template=card.template.source,
        label_words=card.verbalizer.to_text(),
    )
    visitor.until(wanted)
    offered = visitor.page.locator("#classify-about [data-act=sample]").all_text_contents()
    assert tuple(offered) == samples.kinds(name)[1]


def test_the_result_is_read_out_once_one_stops_typing(visitor, truth):
    visitor.box("classify-text").fill("A dull and boring book.")
    wanted = truth(text="A dull and boring book.")
    visitor.until(wanted)
    ranked = sorted(wanted.items(), key=lambda pair: -float(pair[1].removesuffix(" %")))
    visitor.until_text("#pp-live", ", ".join(f"{label} {share}" for label, share in ranked))
    assert visitor.page.locator("#pp-live").get_attribute("aria-live") == "polite"


def test_two_visitors_are_apart(arrive, truth):
    first, second = arrive(), arrive()
    first.box("classify-text").fill("A dull book.")
    second.box("classify-words").fill(WORDS)
    first.until(truth(text="A dull book."))
    second.until(truth(label_words=WORDS))
    assert second.value("classify-text") == START.text
    assert first.value("classify-words") == START.label_words


def test_a_model_that_is_not_there_is_told_and_the_page_goes_on(visitor, truth, prompting):
    box = visitor.page.locator("#model input")
    box.fill("no such model!")
    box.press("Enter")
    said = (
        'The model "no such model!" is neither a folder here nor a hub id such as '
        "bert-base-uncased; shipped models: playground-mini."
    )
    visitor.until_text("#model-status .pp-status", said)
    visitor.until_text("#classify-notice .pp-notice", said)
    box.fill("playground-mini")
    box.press("Enter")
    visitor.until_text("#model-status .pp-status", prompting.backbone.describe())
    visitor.until_text("#classify-notice .pp-notice", "")
    visitor.until(truth())
