"""The charts as HTML: which label stands where, how wide its bar is, and what can be clicked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.app import bars
from playground.engine import Fill, WordScore
from playground.prompts import Segment
from tests.app.elements import buttons, read, select, texts
from tests.app.payloads import PAYLOADS

FAMILY = "👩‍👩‍👧"


def styles(html: str, name: str) -> list[str]:
    return [element.attributes["style"] for element in select(html, name)]


# ---- score bars ---------------------------------------------------------------------------------


def test_labels_stand_in_the_verbalizers_order_with_their_numbers(made):
    html = bars.classify_result(made(), "contextual")
    assert texts(html, "pp-name") == ["good", "bad"]
    assert texts(html, "pp-number") == ["25.0 %", "75.0 %"]
    assert texts(html, "pp-sr") == [", prior 90.0 %", ", prior 10.0 %"]
    assert styles(html, "pp-fill") == ["width:25.00%", "width:75.00%"]
    assert styles(html, "pp-prior") == ["width:90.00%", "width:10.00%"]


def test_the_best_label_alone_is_marked(made):
    rows = select(bars.classify_result(made(), "none"), "pp-bar")
    assert [row.classes for row in rows] == [{"pp-bar"}, {"pp-bar", "pp-win"}]


def test_of_equal_labels_the_first_wins(made):
    html = bars.classify_result(made(probabilities=np.array([0.5, 0.5])), "none")
    assert [row.text for row in select(html, "pp-win")] == ["good50.0 %, prior 90.0 %"]


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        ("none", "score prior, not used"),
        ("contextual", "score prior from content-free texts, divided out"),
        ("domain", "score content-free prior; the domain prompt is divided out"),
        ("corpus", "score content-free prior; the unlabelled texts are divided out"),
    ],
)
def test_the_legend_says_what_the_prior_does(made, calibration, said):
    assert texts(bars.classify_result(made(), calibration), "pp-legend") == [said]


def test_every_result_has_a_number_of_its_own(made):
    first, second = (bars.classify_result(made(), "none") for _ in range(2))
    assert first != second
    numbers = [int(select(html, "pp-result")[0].attributes["data-seq"]) for html in (first, second)]
    assert numbers[1] == numbers[0] + 1


def test_the_summary_is_the_result_best_first(made):
    found = made(
        labels=tuple("abcdef"),
        probabilities=np.array([0.1, 0.3, 0.05, 0.2, 0.25, 0.1]),
        prior=np.full(6, 1 / 6),
    )
    said = "b 30.0 %, e 25.0 %, d 20.0 %, a 10.0 %, f 10.0 %"
    assert bars.summary(found) == said
    (result,) = select(bars.classify_result(found, "none"), "pp-result")
    assert result.attributes["data-summary"] == said


# ---- label words --------------------------------------------------------------------------------


def test_words_stand_under_their_label(made):
    html = bars.classify_details(made())
    assert [e.text for e in read(html) if e.tag == "h3"] == ["good", "bad"]
    assert texts(html, "pp-word") == ["fine", "uplifting×0.5", "awful"]
    groups = [group.text for group in select(html, "pp-group")]
    assert ["awful" in group for group in groups] == [False, True]


def test_a_word_shows_its_probability_its_rank_and_a_meter_of_the_best(made):
    html = bars.classify_details(made())
    chips = select(html, "pp-chip")
    assert chips[0].text == "fine8.00 % · #3"
    assert chips[2].text == "awful4.00 % · #12,345"
    meters = [e.attributes["style"] for e in read(html) if e.attributes.get("style")]
    assert meters == ["width:100.00%", "width:25.00%", "width:50.00%"]


def test_the_vocabularys_share_is_told(made):
    (legend, _) = texts(bars.classify_details(made(mass=0.1234)), "pp-legend")
    assert legend.startswith("Together they hold 12.3 % of the probability at the mask;")


def test_a_split_word_shows_its_pieces_and_offers_whole_words(made):
    html = bars.classify_details(made())
    (split,) = select(html, "pp-split")
    assert split.text == "uplifting×0.52.00 %⚠ 2 pieces: up + ##liftingor nicewarm"
    assert split.attributes["title"] == "This word is 2 pieces to the model"
    assert buttons(html) == [
        ("swap", "uplifting|nice", "nice"),
        ("swap", "uplifting|warm", "warm"),
    ]


def test_a_split_word_without_an_offer_says_nothing_of_one(made):
    word = WordScore("uplifting", "good", 1.0, ("up", "##lifting"), -4.0, None)
    (chip,) = select(bars.classify_details(made(words=(word,))), "pp-chip")
    assert chip.text == "uplifting1.83 %⚠ 2 pieces: up + ##lifting"


# ---- the prompt ---------------------------------------------------------------------------------


def test_the_prompt_marks_the_text_and_the_mask(made):
    html = bars.classify_details(made())
    assert texts(html, "pp-prompt") == ["A film was [MASK]."]
    assert [(e.text, e.attributes["title"]) for e in select(html, "pp-field")] == [
        ("A film", "text")
    ]
    assert texts(html, "pp-mask") == ["[MASK]"]


def test_a_users_mask_sign_is_text(made):
    segments = (Segment("field", "[MASK]", "text"), Segment("mask", "[MASK]"))
    html = bars.rendered_prompt(segments)
    assert texts(html, "pp-field") == ["[MASK]"]
    assert texts(html, "pp-mask") == ["[MASK]"]


def test_the_border_of_a_pair_is_shown():
    segments = (
        Segment("field", "a", "text_a"),
        Segment("sep", " "),
        Segment("field", "b", "text_b"),
    )
    assert texts(bars.rendered_prompt(segments), "pp-prompt") == ["a ┃ b"]


def test_the_keyboard_reaches_a_prompt_that_scrolls():
    (prompt,) = select(bars.rendered_prompt((Segment("literal", "x"),)), "pp-prompt")
    assert prompt.attributes["tabindex"] == "0"


@pytest.mark.parametrize(
    ("dropped", "said"),
    [(0, "9 of 128 tokens"), (40, "9 of 128 tokens · 40 tokens of the text were cut off")],
)
def test_what_was_cut_off_is_told(made, dropped, said):
    assert texts(bars.classify_details(made(dropped=dropped)), "pp-legend")[1] == said


def test_the_models_own_guesses_and_warnings_are_shown(made):
    html = bars.classify_details(made(warnings=("Its head looks <untrained>.",)))
    assert texts(html, "pp-said") == ["so 50.0 %", "fine 8.00 %"]
    assert texts(html, "pp-warn") == ["Its head looks <untrained>."]


# ---- Fill ---------------------------------------------------------------------------------------


def test_predictions_are_buttons_whose_bars_are_shares_of_the_best():
    fills = [Fill("job", 9.0, 0.5), Fill("##s", 8.0, 0.125)]
    html = bars.fill_result("a {mask}", [fills], "Insert")
    assert buttons(html) == [
        ("mask", "0|1", "a"),
        ("pick", "0|job", "job50.0 %"),
        ("pick", "0|##s", "##s12.5 %"),
    ]
    assert styles(html, "pp-fill") == ["width:100.00%", "width:25.00%"]
    tips = [e.attributes["title"] for e in read(html) if e.attributes.get("data-act") == "pick"]
    assert tips == ["Insert job (logit 9.00)", "Insert ##s (logit 8.00)"]
    assert [row.classes for row in select(html, "pp-bar")] == [
        {"pp-bar", "pp-pick", "pp-win"},
        {"pp-bar", "pp-pick"},
    ]
    assert [e.text for e in read(html) if e.tag == "h2"] == ["Predictions"]
    assert select(html, "pp-result")[0].attributes["data-summary"] == "job 50.0 %, ##s 12.5 %"


def test_each_mask_has_its_own_predictions():
    fills = [[Fill("x", 1.0, 0.5)], [Fill("y", 1.0, 0.25)]]
    html = bars.fill_result("{mask} {mask}", fills, "Insert")
    titles = [e.text for e in read(html) if e.tag == "h2"]
    assert titles == ["Predictions for mask 1", "Predictions for mask 2"]
    assert [arg for _, arg, _ in buttons(html)] == ["0|x", "1|y"]


def test_an_empty_sentence_has_no_buttons_and_an_empty_summary():
    html = bars.fill_result("", [], "Insert")
    assert buttons(html) == []
    assert select(html, "pp-result")[0].attributes["data-summary"] == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The man, 42.", ["The", "man", "42"]),
        ("it's a well-known one–two", ["it's", "a", "well-known", "one", "two"]),
        ("it’s", ["it’s"]),
        ("cafe\u0301 noir", ["cafe\u0301", "noir"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        (f"{FAMILY} ok ❤\ufe0f", ["ok"]),
        ("𝒳 日本語 ß", ["𝒳", "日本語", "ß"]),
        ("a\u0301{mask}", ["a\u0301"]),
        ("snake_case", ["snake_case"]),
        ("", []),
        ("...", []),
    ],
)
def test_words_are_buttons_at_their_offsets(text, words):
    found = buttons(bars.word_buttons(text))
    assert [shown for _, _, shown in found] == words
    assert [act for act, _, _ in found] == ["mask"] * len(words)
    places = [tuple(map(int, argument.split("|"))) for _, argument, _ in found]
    assert [text[start:end] for start, end in places] == words


def test_masks_are_marked_and_are_no_buttons():
    html = bars.word_buttons("{mask} [MASK] <mask> MASK")
    assert texts(html, "pp-mask") == ["[MASK]"] * 3
    assert buttons(html) == [("mask", "21|25", "MASK")]


def test_what_is_no_word_stays_as_text():
    text = f"<b> {FAMILY} & \u202e{{x}} \u0301!"
    assert texts(bars.word_buttons(text), "pp-words") == [text]


@given(st.text(st.characters(exclude_characters="\r\x00")))
def test_any_sentence_is_shown_whole_and_its_offsets_hold(text):
    html = bars.word_buttons(text)
    shown = text.replace("{mask}", "[MASK]").replace("<mask>", "[MASK]")
    assert texts(html, "pp-words") == [shown]
    for _, argument, word in buttons(html):
        start, end = map(int, argument.split("|"))
        assert text[start:end] == word


# ---- hostile text -------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_adds_no_element_to_any_chart(made, payload):
    word = WordScore(payload, payload, 1.0, (payload, "##x"), -3.0, None, (payload,))
    hostile = made(
        labels=(payload, "bad"),
        words=(word,),
        top=(Fill(payload, 1.0, 0.5),),
        segments=(Segment("field", payload, "text"), Segment("literal", payload)),
        warnings=(payload,),
    )
    word = WordScore("w", "plain", 1.0, ("w", "##x"), -3.0, None, ("o",))
    plain = made(
        labels=("plain", "bad"),
        words=(word,),
        top=(Fill("w", 1.0, 0.5),),
        segments=(Segment("field", "w", "text"), Segment("literal", "w")),
        warnings=("w",),
    )
    for draw in (lambda found: bars.classify_result(found, "none"), bars.classify_details):
        attacked, calm = read(draw(hostile)), read(draw(plain))
        assert [(e.tag, set(e.attributes)) for e in attacked] == [
            (e.tag, set(e.attributes)) for e in calm
        ]
    assert texts(bars.classify_result(hostile, "none"), "pp-name") == [payload, "bad"]
    filled = read(bars.fill_result(payload, [[Fill(payload, 1.0, 0.5)]], "Insert"))
    assert {e.tag for e in filled} <= {"div", "p", "mark", "h2", "ul", "li", "button", "span"}
    assert f"Insert {payload} (logit 1.00)" in [e.attributes.get("title") for e in filled]
