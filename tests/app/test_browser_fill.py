"""The Fill tab in a browser: words become masks, predictions words, in two sentences apart."""

from __future__ import annotations

import pytest

from playground.app.bars import percent
from playground.app.tabs.fill import DEFAULT_SENTENCES, EXAMPLES
from tests.app.driver import START, Visitor

pytestmark = pytest.mark.browser

FIRST, SECOND = DEFAULT_SENTENCES
A, B = "#fill-result-a", "#fill-result-b"


@pytest.fixture
def fill(visitor) -> Visitor:
    """A visitor who opened the Fill tab."""
    visitor.tab("Fill")
    visitor.page.locator(f"{A} [data-seq]").wait_for()
    return visitor


@pytest.fixture
def best(prompting):
    """Return what the engine predicts at the first mask, as the bars show it."""

    def say(text: str, top_k: int = 8) -> dict[str, str]:
        return {f.token: percent(f.probability) for f in prompting.fill(text, top_k=top_k)}

    return say


def pick(visitor: Visitor, place: int, side: str = A) -> str:
    """Click a prediction; return its token."""
    button = visitor.page.locator(f"{side} [data-act=pick]").nth(place)
    token = button.locator(".pp-name").text_content()
    button.click()
    return token


def words(visitor: Visitor, side: str = A) -> str:
    return visitor.page.locator(f"{side} .pp-words").text_content()


def test_the_tab_opens_with_two_sentences_predicted(fill, best):
    assert (fill.value("fill-a"), fill.value("fill-b")) == DEFAULT_SENTENCES
    fill.until(best(FIRST), A)
    fill.until(best(SECOND), B)
    assert words(fill) == FIRST.replace("{mask}", "[MASK]")


def test_typing_moves_the_predictions(fill, best):
    fill.box("fill-a").fill("Paris is the ")
    fill.box("fill-a").press_sequentially("capital of {mask}.")
    fill.until(best("Paris is the capital of {mask}."), A)


def test_a_click_on_a_word_masks_it_and_one_on_a_prediction_inserts_it(fill, best):
    fill.box("fill-a").fill("The man ate soup.")
    fill.until({}, A)
    fill.click("mask", "soup", A)
    fill.until_value("fill-a", "The man ate {mask}.")
    fill.until(best("The man ate {mask}."), A)
    token = pick(fill, 2)
    assert token == list(best("The man ate {mask}."))[2]
    fill.until_value("fill-a", f"The man ate {token}.")
    fill.until({}, A)


@pytest.mark.parametrize(
    ("text", "word", "masked"),
    [
        ("👩‍👩‍👧 like soup", "soup", "👩‍👩‍👧 like {mask}"),
        ("𝒳 cafe\u0301 ok", "cafe\u0301", "𝒳 {mask} ok"),
        ("it's a well-known one", "well-known", "it's a {mask} one"),
        ("two\nlines here", "lines", "two\n{mask} here"),
    ],
)
def test_the_word_that_is_clicked_is_the_word_that_is_masked(fill, text, word, masked):
    fill.box("fill-a").fill(text)
    fill.until({}, A)
    fill.click("mask", word, A)
    fill.until_value("fill-a", masked)


def test_a_word_piece_joins_the_word_before(fill, prompting):
    """The first ## piece among the predictions goes where it belongs."""
    fill.box("fill-a").fill("They were play {mask} in the park.")
    predicted = prompting.fill("They were play {mask} in the park.", top_k=8)
    pieces = [f.token for f in predicted if f.token.startswith("##")]
    fill.until({f.token: percent(f.probability) for f in predicted}, A)
    fill.click("pick", pieces[0], A)
    fill.until_value("fill-a", f"They were play{pieces[0][2:]} in the park.")


def test_each_mask_is_filled_on_its_own(fill, prompting):
    text = "The {mask} sat on the {mask}."
    fill.box("fill-a").fill(text)
    first, second = prompting.fill_masks(text, top_k=8)
    fill.page.locator(f"{A} h2").nth(1).wait_for()
    titles = fill.page.locator(f"{A} h2").all_text_contents()
    assert titles == ["Predictions for mask 1", "Predictions for mask 2"]
    assert fill.page.locator(f"{A} .pp-name").all_text_contents() == [
        f.token for f in (*first, *second)
    ]
    token = pick(fill, 8)
    assert token == second[0].token
    fill.until_value("fill-a", f"The {{mask}} sat on the {token}.")


def test_the_two_sentences_are_apart(fill, best):
    fill.box("fill-b").fill("Rome is the capital of {mask}.")
    fill.until(best("Rome is the capital of {mask}."), B)
    assert fill.bars(A) == best(FIRST)
    assert fill.value("fill-a") == FIRST
    pick(fill, 0, B)
    fill.until({}, B)
    assert fill.value("fill-a") == FIRST


def test_a_pair_to_compare_is_taken(fill, best):
    first, second = EXAMPLES[2]
    fill.page.locator("#fill-examples [data-act=pair]").nth(2).click()
    fill.until(best(first), A)
    fill.until(best(second), B)
    assert (fill.value("fill-a"), fill.value("fill-b")) == (first, second)


def test_more_predictions_are_shown_on_demand(fill, best):
    number = fill.page.locator("#fill-count input[type=number]")
    number.fill("12")
    number.press("Enter")
    fill.until(best(FIRST, 12), A)
    fill.until(best(SECOND, 12), B)


def test_a_prediction_joins_a_label_of_classify(fill, best, truth):
    fill.radio("Add it to a label")
    label = fill.page.locator("#fill-label input")
    label.wait_for()
    assert label.input_value() == "positive"
    tip = f"Add to the label: {next(iter(best(FIRST)))} (logit "
    fill.page.locator(f'{A} [data-act=pick][title^="{tip}"]').wait_for()
    token = pick(fill, 0)
    fill.until_text("#fill-notice .pp-notice", f"Added {token} to positive in Classify.")
    fill.choose("fill-label", "negative")
    other = pick(fill, 3)
    fill.until_text("#fill-notice .pp-notice", f"Added {other} to negative in Classify.")
    assert fill.value("fill-a") == FIRST
    positive, negative = START.label_words.splitlines()
    changed = f"{positive}, {token}\n{negative}, {other}"
    fill.tab("Classify")
    assert fill.value("classify-words") == changed
    fill.until(truth(label_words=changed))


def test_a_word_that_a_label_has_is_not_added_twice(fill):
    fill.radio("Add it to a label")
    fill.page.locator(f'{A} [data-act=pick][title^="Add to the label:"]').first.wait_for()
    token = pick(fill, 0)
    fill.until_text("#fill-notice .pp-notice", f"Added {token} to positive in Classify.")
    pick(fill, 0)
    said = f'Label word "{token}" stands twice under "positive"; keep one.'
    fill.until_text("#fill-notice .pp-notice", said)


def test_the_labels_are_those_that_classify_has_now(visitor):
    visitor.box("classify-words").fill("good: great\nbad: awful")
    visitor.tab("Fill")
    visitor.radio("Add it to a label")
    label = visitor.page.locator("#fill-label input")
    label.wait_for()
    visitor.page.wait_for_function(
        "document.querySelector('#fill-label input').value === 'good'", timeout=5000
    )
    label.click()
    options = visitor.page.get_by_role("option").all_text_contents()
    assert [option.strip(" ✓\n") for option in options] == ["good", "bad"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{mask} " * 5, "The sentence has 5 masks; the page shows up to 4."),
        ("the " * 600 + "{mask}", "The text is longer than the 512 tokens that the model reads; shorten it."),
    ],
    ids=["masks", "long"],
)  # fmt: skip
def test_an_error_stands_on_its_side_and_dims_that_side(fill, best, text, said):
    fill.box("fill-a").fill(text)
    fill.until_text("#fill-notice-a .pp-notice", said)
    assert fill.said("#fill-notice-b .pp-notice") == ""
    assert fill.bars(A) == best(FIRST)
    fill.page.wait_for_function(
        "getComputedStyle(document.querySelector('#fill-result-a .pp-track')).opacity === '0.35'"
    )
    other = fill.page.locator(f"{B} .pp-track").first
    assert other.evaluate("e => getComputedStyle(e).opacity") == "1"
    fill.box("fill-a").fill(SECOND)
    fill.until(best(SECOND), A)
    assert fill.said("#fill-notice-a .pp-notice") == ""


def test_an_empty_sentence_shows_nothing(fill):
    fill.box("fill-b").fill("")
    fill.until({}, B)
    assert words(fill, B) == ""


def test_a_link_restores_both_sentences_and_the_tab(fill, arrive, best, truth):
    fill.box("fill-a").fill("Paris is the {mask} of France.")
    fill.box("fill-b").fill("Rome is the {mask} of Italy.")
    fill.until(best("Rome is the {mask} of Italy."), B)
    fill.page.locator("#fill-link").click()
    fill.until_text("#fill-notice .pp-notice", "The link is copied and in the address bar.")
    fill.page.wait_for_url("**/?p=1.*")
    assert fill.clipboard() == fill.page.url

    friend = arrive(fill.page.url.removeprefix(f"{fill.url}/"))
    friend.box("fill-a").wait_for()  # the tab is open
    friend.until(best("Paris is the {mask} of France."), A)
    friend.until(best("Rome is the {mask} of Italy."), B)
    assert friend.value("fill-a") == "Paris is the {mask} of France."
    friend.tab("Classify")
    friend.until(truth())
