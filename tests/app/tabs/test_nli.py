"""The NLI tab's own functions: what is judged, what an example holds, and what leaves the page."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import pytest

from playground import NliClassifier, resources
from playground.app import nli_view
from playground.app.bars import percent, svg
from playground.app.registry import Registry
from playground.app.tabs.nli import START, chosen_pair, judged, one_pair
from playground.errors import PlaygroundError
from playground.settings import Settings
from playground.tasks.nli.cloze import ask_cloze, cloze_prompt, cloze_row
from tests.app.elements import buttons, read, texts
from tests.app.payloads import PAYLOADS

PAIR = ("A man is asleep on a bench.", "A man is awake.")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(Settings())


def test_the_bars_are_the_classifier_and_the_cloze_prompt(registry):
    verdict, cloze = judged(registry, "", "", *PAIR)
    scores = NliClassifier().classify([PAIR])
    for label, share in zip(scores.labels, scores.probabilities[0], strict=True):
        assert f"{label}</span>" in verdict
        assert percent(share) in verdict
    found = ask_cloze(registry.get(), *PAIR)
    assert found.labels == scores.labels
    assert all(percent(share) in cloze for share in found.probabilities)
    assert "playground-mini" in cloze


def test_the_summary_names_the_winner_first(registry):
    scores = one_pair(registry, "", *PAIR)
    said = f'data-summary="{scores.predictions[0]} {percent(scores.probabilities[0].max())}'
    assert said in nli_view.verdict(scores)


def test_the_cloze_prompt_ends_the_premise_with_its_own_mark():
    assert cloze_row("A man sleeps.", "He rests.")["premise"] == "A man sleeps"
    filled = cloze_prompt().template.fill(cloze_row(" Is it so?! ", "Yes."))
    assert filled == "Is it so? [MASK], Yes."
    assert cloze_prompt().scoring.calibration == "contextual"


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (("", "x"), "The premise is empty; write a sentence."),
        (("x", " \n"), "The hypothesis is empty; write a sentence."),
        (("x", None), "The hypothesis is empty; write a sentence."),
        (("x" * 20_001, "y"), "The premise has 20,001 characters; the most is 20,000."),
    ],
)
def test_a_pair_without_a_side_says_which(registry, pair, sentence):
    with pytest.raises(PlaygroundError) as error:
        one_pair(registry, "", *pair)
    assert str(error.value) == sentence


def test_what_is_cut_is_said(registry):
    scores = one_pair(registry, "", "a dog runs. " * 200, "A dog runs.")
    assert scores.dropped[0] > 0
    assert f"{scores.dropped[0]} tokens of the pair were cut off" in nli_view.verdict(scores)


def test_every_example_is_a_pair_that_is_judged(registry):
    made = buttons(nli_view.example_buttons())
    pairs = [argument for act, argument, _ in made if act == "pair"]
    assert len(pairs) == len(nli_view.EXAMPLES) + len(nli_view.TRAPS) >= 8
    for argument in pairs:
        premise, hypothesis = chosen_pair("pair", argument)
        assert one_pair(registry, "", premise, hypothesis).errors == {}
    assert chosen_pair("pair", pairs[0]) == START
    kinds = {argument for act, argument, _ in made if act == "draw"}
    assert kinds == {row["kind"] for row in resources.load_examples("nli")} == set(nli_view.KINDS)


def test_a_draw_is_of_its_kind():
    drawn = {chosen_pair("draw", "numbers") for _ in range(60)}
    own = {
        (row["premise"], row["hypothesis"])
        for row in resources.load_examples("nli")
        if row["kind"] == "numbers"
    }
    assert len(drawn) > 1
    assert drawn <= own


@pytest.mark.parametrize("argument", ["", "{}", "[1, 2]", "[" * 100_000, '"a"', "null"])
def test_a_button_that_was_made_up_is_refused(argument):
    with pytest.raises(PlaygroundError, match=r"^That example cannot be read; type a pair\.$"):
        chosen_pair("pair", argument)
    with pytest.raises(PlaygroundError, match=r"^There is no such sample; pick another\.$"):
        chosen_pair("draw", argument)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_pair_is_only_text(registry, payload):
    drawn = judged(registry, "", "", payload, payload)[1]
    assert payload in texts(drawn, "pp-field")
    tags = {element.tag for element in read(drawn)}
    assert tags <= {"div", "h2", "ul", "li", "span", "p", "b", "mark"}


@pytest.mark.parametrize("pair", [PAIR, ('He said "\\".', "It's\n{odd} ${x}"), ("=1+1", "+x")])
def test_the_program_gives_the_numbers_of_the_page(pair, registry, capsys):
    program = nli_view.program(*pair, "")
    names: dict[str, object] = {}
    exec(compile(program, "program", "exec"), names)  # noqa: S102 - our own text
    assert names["scores"].probabilities == pytest.approx(
        one_pair(registry, "", *pair).probabilities, abs=1e-6
    )
    assert "prediction" in capsys.readouterr().out


def test_the_program_names_another_classifier():
    program = nli_view.program(*PAIR, "org/model $(x)")
    assert "NliClassifier('org/model $(x)')" in program
    assert "--model 'org/model $(x)'" in program


def test_the_csv_holds_the_pair_and_its_shares(registry):
    pair = ("=1+1", "He said, yes.")
    scores = one_pair(registry, "", *pair)
    (row,) = csv.DictReader(io.StringIO(nli_view.pair_csv(scores, *pair)))
    assert (row["premise"], row["hypothesis"]) == ("'=1+1", "He said, yes.")
    assert row["prediction"] == scores.predictions[0]
    shares = [float(row[f"p_{label}"]) for label in scores.labels]
    assert shares == pytest.approx(scores.probabilities[0], abs=1e-5)


def test_the_picture_of_a_pair_has_no_prior(registry):
    scores = one_pair(registry, "", *PAIR)
    root = ElementTree.fromstring(svg(scores.labels, scores.probabilities[0].tolist(), "a / b"))
    texts = [element.text for element in root if element.tag.endswith("text")]
    assert texts[-1] == "bar: score · Prompt Playground"
    assert texts[1::2][:3] == list(scores.labels)
